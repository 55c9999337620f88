"""Telemetry: the record of an exchange, log lines, metrics."""
