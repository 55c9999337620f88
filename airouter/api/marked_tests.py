"""`X-Router-Test: NAME` marks a request as part of a test, which service levels do not count."""

import re
from collections.abc import Mapping
from typing import Any

from airouter.api.auth import is_key, on_this_machine
from airouter.settings.schema import Server

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def test_name(environ: Mapping[str, Any], server: Server) -> str | None:
    """The test's name; None unless the request comes from this machine or carries the admin key.
    Otherwise clients could exclude their failed requests from the objectives."""
    name = environ.get("HTTP_X_ROUTER_TEST")
    if name is None or not _NAME.fullmatch(name):
        return None
    # `Authorization` has the key of the API.
    admin = is_key(environ.get("HTTP_X_ROUTER_ADMIN_KEY", ""), server.admin_key)
    if admin or on_this_machine(environ, server):
        return str(name)
    return None
