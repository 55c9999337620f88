"""Who may mark a request as part of a test."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.api.marked_tests import test_name as name_of
from airouter.runtime.access import Access
from airouter.settings.schema import Server

LOCAL = {
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_X_ROUTER_TEST": "storm-1",
    "HTTP_HOST": "127.0.0.1:8002",
}
FAR = {"REMOTE_ADDR": "10.0.0.7", "HTTP_X_ROUTER_TEST": "storm-1"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (LOCAL, "storm-1"),
        ({**LOCAL, "REMOTE_ADDR": "::1"}, "storm-1"),
        ({"REMOTE_ADDR": "127.0.0.1"}, None),
        ({**LOCAL, "HTTP_X_FORWARDED_FOR": "10.0.0.7"}, None),
        ({**LOCAL, "HTTP_X_REAL_IP": "10.0.0.7"}, None),
        ({**LOCAL, "HTTP_HOST": "router.example.com"}, None),
        ({**LOCAL, "HTTP_X_ROUTER_TEST": "a b"}, None),
        ({**LOCAL, "HTTP_X_ROUTER_TEST": "x" * 41}, None),
        ({**LOCAL, "REMOTE_ADDR": ""}, None),
        (FAR, None),
        ({**FAR, "HTTP_X_ROUTER_ADMIN_KEY": "admin-key"}, "storm-1"),
        ({**FAR, "HTTP_X_ROUTER_ADMIN_KEY": "another"}, None),
        ({**FAR, "HTTP_AUTHORIZATION": "Bearer admin-key"}, None),
    ],
)
def test_this_machine_or_the_admin_key(environ: dict[str, Any], expected: str | None) -> None:
    assert name_of(environ, Access(Server(admin_key="admin-key"))) == expected


def test_without_an_admin_key_none_is_right() -> None:
    assert name_of({**FAR, "HTTP_X_ROUTER_ADMIN_KEY": ""}, Access(Server())) is None
