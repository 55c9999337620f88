"""Starts gunicorn, after checking that its address is available."""

import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

from airouter.cli.router_client import ask
from airouter.cli.summary import base_url
from airouter.domain.errors import ConfigError
from airouter.settings.load import load_settings
from airouter.settings.schema import Server, Settings

Check = Callable[[Settings], None]
# Environment variable set by `run`, which reports unreachable backends itself.
INTRODUCED = "AIROUTER_INTRODUCED"
COMMAND = (sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py")


def serve(check: Check) -> NoReturn:
    """Validate the configuration, then exec gunicorn, so that it receives signals directly.

    Raises:
        ConfigError: the configuration or the address cannot be used.
    """
    settings = load_settings()
    check(settings)
    try_address(settings.server)
    print(f"Starting ai-router on {base_url(settings)} (Ctrl-C stops it)", flush=True)
    os.execv(sys.executable, COMMAND)


def try_address(server: Server) -> None:
    """Try to bind the address; gunicorn would retry for seconds and then print a traceback.

    Raises:
        ConfigError: the address cannot be bound; the message says what to do.
    """
    if server.port == 0:
        raise ConfigError(
            "PORT=0 (any free port) is not supported; set a fixed port, e.g. PORT=8002."
        )
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((server.host, server.port))
    except OSError as error:
        raise ConfigError(_why(error, server)) from None


def _our_version(server: Server) -> str | None:
    """The version of the ai-router that listens there; None if another program does."""
    answer = ask(server, "/", 2)
    name, version = (answer[1].get(key) for key in ("name", "version")) if answer else (None, None)
    return version if name == "ai-router" and isinstance(version, str) else None


def _why(error: OSError, server: Server) -> str:
    if error.errno == errno.EADDRINUSE:
        other = server.port + 1 if server.port < 65535 else 8002
        version = _our_version(server)
        if version is not None:
            return (
                f"ai-router {version} is already running on {server.host}, port {server.port}; "
                "use it (`make reload` reloads its configuration), stop it, or start this one on "
                f"another port: PORT={other}."
            )
        return (
            f"Port {server.port} on {server.host} is in use by another program; stop it, or choose "
            f"another port, e.g. PORT={other}."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"Permission denied for port {server.port}; choose a port above 1023, e.g. PORT=8002."
        )
    return (
        f"HOST={server.host} is not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all "
        "addresses."
    )
