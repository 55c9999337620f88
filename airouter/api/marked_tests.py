"""`X-Router-Test: NAME` marks a request as part of a test, which service levels do not count."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from airouter.api.auth import holds_key
from airouter.settings.schema import Server

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def test_name(environ: Mapping[str, Any], server: Server) -> str | None:
    """The test's name; None unless the request comes from this machine or carries the admin key:
    anybody else could hide failures from the service levels."""
    name = environ.get("HTTP_X_ROUTER_TEST")
    if name is None or not _NAME.fullmatch(name):
        return None
    if holds_key(environ, server.admin_key) or _is_local(environ):
        return str(name)
    return None


def _is_local(environ: Mapping[str, Any]) -> bool:
    forwarded = "HTTP_X_FORWARDED_FOR" in environ or "HTTP_FORWARDED" in environ
    try:
        return not forwarded and ipaddress.ip_address(environ.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
