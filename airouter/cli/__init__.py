"""The commands of `python -m airouter`, which start and control gunicorn."""
