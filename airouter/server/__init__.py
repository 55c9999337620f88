"""The gunicorn worker and the process's own folders and descriptors."""
