"""The command line: what `python -m airouter` does before and around gunicorn."""
