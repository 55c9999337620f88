"""gunicorn's own settings, taken from ours. Validates the configuration in the master, before any worker is forked."""

import sys

from airouter.errors import ConfigError
from airouter.load_settings import load_settings

try:
    from app import check

    _settings = load_settings()
    check(_settings)
except ConfigError as error:
    print(f"ai-router: {error.message}", file=sys.stderr)
    sys.exit(1)

_server = _settings.server
wsgi_app = "app:create_app()"
bind = f"[{_server.host}]:{_server.port}" if ":" in _server.host else f"{_server.host}:{_server.port}"
worker_class = "gthread"
workers = _server.workers
threads = _server.threads
worker_connections = _server.threads * 2
keepalive = 75
timeout = 0  # a gthread worker that serves a long stream is alive; deadlines are ours
graceful_timeout = 120
backlog = 2048
control_socket_disable = True  # nothing of ours in the user's home
accesslog = None
errorlog = "-"
loglevel = "warning"


def worker_exit(_server: object, worker: object) -> None:
    """Write out sessions and log lines that are still waiting."""
    app = getattr(worker, "wsgi", None)
    runtime = getattr(app, "extensions", {}).get("airouter") if app is not None else None
    if runtime is not None:
        runtime.close()
