"""What happened: the record of an exchange, log lines, metrics."""
