"""What the dashboard shows: requests in flight and backends of all workers, and what the index of
requests says about the past."""
