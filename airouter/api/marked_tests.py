"""`X-Router-Test: NAME` marks a request as part of a test, which service levels do not count."""

import re
from collections.abc import Mapping
from typing import Any

from airouter.api.auth import on_this_machine
from airouter.runtime.access import Access

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def test_name(environ: Mapping[str, Any], access: Access) -> str | None:
    """The test's name; None unless the request comes from this machine or carries an admin key.
    Otherwise clients could exclude their failed requests from the objectives."""
    name = environ.get("HTTP_X_ROUTER_TEST")
    if name is None or not _NAME.fullmatch(name):
        return None
    # `Authorization` has the key of the API.
    sent = environ.get("HTTP_X_ROUTER_ADMIN_KEY", "")
    key = access.find(sent)
    admin = access.is_admin_key(sent) or (key is not None and "admin" in key.scopes)
    if admin or on_this_machine(environ, access.server):
        return str(name)
    return None
