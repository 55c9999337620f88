"""Who looks at the dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airouter.api.visitors import Visitors, proved
from airouter.domain.errors import Unauthorized
from airouter.runtime.access import Access
from airouter.settings.schema import Server

OPEN = Access(Server())
LOCKED = Access(Server(api_key="api-key", admin_key="admin-key"))
ELSEWHERE = {"REMOTE_ADDR": "10.0.0.9", "HTTP_HOST": "router.lan:8002"}
HERE = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:8002"}


def signed(visitors: Visitors, access: Access, role: str | None) -> tuple[dict[str, Any], str]:
    header, token = visitors.cookie(ELSEWHERE, access, role)
    return ELSEWHERE | {"HTTP_COOKIE": f"other=1; {header.partition(';')[0]}"}, token


def test_without_keys_anyone_may_look_and_who_is_here_may_read(tmp_path):
    visitors = Visitors(tmp_path)
    assert visitors.of(ELSEWHERE, OPEN).role == "viewer"
    assert visitors.of(HERE, OPEN).role == "admin"
    forwarded = HERE | {"HTTP_X_FORWARDED_FOR": "10.0.0.9"}
    assert visitors.of(forwarded, OPEN).role == "viewer"


def test_with_keys_a_key_is_needed(tmp_path):
    visitors = Visitors(tmp_path)
    assert visitors.of(HERE, LOCKED).role is None
    for key, role in (("api-key", "viewer"), ("admin-key", "admin"), ("wrong", None)):
        environ = ELSEWHERE | {"HTTP_AUTHORIZATION": f"Bearer {key}"}
        assert visitors.of(environ, LOCKED).role == role
        assert proved(key, LOCKED) == role
    assert proved("", OPEN) is None
    # Without an admin key, whoever uses this machine may read messages, once signed in.
    only_api = Access(Server(api_key="api-key"))
    assert visitors.of(HERE, only_api).role is None
    assert visitors.of(HERE | {"HTTP_AUTHORIZATION": "Bearer api-key"}, only_api).role == "admin"


def test_a_session_is_valid_in_all_workers_and_not_after_a_key_has_changed(tmp_path):
    one, other = Visitors(tmp_path), Visitors(tmp_path)
    environ, _ = signed(one, LOCKED, "admin")
    visitor = other.of(environ, LOCKED)
    assert (visitor.role, visitor.signed_in) == ("admin", True)
    for change in ({"api_key": "new"}, {"admin_key": "new"}, {"port": 9}):
        changed = Access(LOCKED.server.model_copy(update=change))
        assert other.of(environ, changed).role is None
    restarted = tmp_path / "next"
    restarted.mkdir()
    assert Visitors(restarted).of(environ, LOCKED).role is None


def test_a_session_cannot_be_made_up(tmp_path):
    visitors = Visitors(tmp_path)
    environ, _ = signed(visitors, LOCKED, "viewer")
    name, _, value = environ["HTTP_COOKIE"].partition("airouter_8002=")
    for made_up in (value[:-1], "x" + value, "", "null", value.replace(".", "..")):
        cookie = f"{name}airouter_8002={made_up}"
        assert visitors.of(environ | {"HTTP_COOKIE": cookie}, LOCKED).role is None


def test_the_cookie_is_for_the_dashboard_only(tmp_path):
    header, _ = Visitors(tmp_path).cookie(ELSEWHERE, LOCKED, "viewer")
    assert {"HttpOnly", "SameSite=Strict", "Path=/dashboard"} <= set(header.split("; "))
    assert "Secure" not in header
    https = ELSEWHERE | {"HTTP_X_FORWARDED_PROTO": "https"}
    assert header.count("Secure") < Visitors(tmp_path).cookie(https, LOCKED, None)[0].count(
        "Secure"
    )
    assert "api-key" not in header


def test_what_changes_something_needs_the_token_of_the_session(tmp_path):
    visitors = Visitors(tmp_path)
    environ, token = signed(visitors, LOCKED, "viewer")
    _, foreign = signed(visitors, LOCKED, "viewer")
    visitor = visitors.of(environ, LOCKED)
    assert visitors.token(visitor, LOCKED) == token
    visitors.check(environ, LOCKED, visitor, token)
    visitors.check(environ | {"HTTP_ORIGIN": "http://router.lan:8002"}, LOCKED, visitor, token)
    bad: list[tuple[dict[str, Any], str]] = [
        (environ, foreign),
        (environ, ""),
        (environ, "ü"),
        (environ | {"HTTP_ORIGIN": "https://evil.example"}, token),
        (environ | {"HTTP_ORIGIN": "null"}, token),
    ]
    for sent, value in bad:
        with pytest.raises(Unauthorized, match="reload it"):
            visitors.check(sent, LOCKED, visitor, value)
    nobody = visitors.of(ELSEWHERE, OPEN)
    with pytest.raises(Unauthorized):
        visitors.check(ELSEWHERE, OPEN, nobody, visitors.token(nobody, OPEN))


def test_the_secret_is_made_once(tmp_path: Path):
    one = Visitors(tmp_path)
    header, _ = one.cookie(ELSEWHERE, LOCKED, "viewer")
    (secret,) = tmp_path.iterdir()
    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(secret.read_bytes()) == 32
    # Without a disk, the worker has a secret of its own.
    lonely = Visitors(tmp_path / "missing")
    assert lonely.of(ELSEWHERE | {"HTTP_COOKIE": header.partition(";")[0]}, LOCKED).role is None
