"""Which key a text is."""

from __future__ import annotations

import hashlib

import pytest

from airouter.runtime.access import Access
from airouter.settings.keys import KeySettings
from airouter.settings.server import Server


def spec(key: str, **settings: object) -> KeySettings:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return KeySettings.model_validate({"sha256": digest, **settings})


def test_a_key_is_found_with_all_that_it_allows() -> None:
    access = Access(
        Server(api_key="house"),
        {"mapper": spec("air_1", scopes=["map"], tenants=["acme"], requests_per_minute=60)},
    )
    found = access.find(" air_1 ")
    assert found is not None
    assert (found.id, found.scopes, found.tenants, found.per_minute) == (
        "mapper",
        {"map"},
        {"acme"},
        60,
    )
    default = access.find("house")
    assert default is not None
    assert (default.id, default.scopes) == ("default", {"chat", "map", "content"})


@pytest.mark.parametrize("sent", ["", "air_", "air_1x", "AIR_1", "schlüssel", "\u20ac", "x" * 9999])
def test_what_is_no_key(sent: str) -> None:
    assert Access(Server(api_key="house"), {"mapper": spec("air_1")}).find(sent) is None


def test_the_digest_itself_is_no_key() -> None:
    one = spec("air_1")
    assert Access(Server(), {"mapper": one}).find(one.sha256) is None


def test_keys_lock_the_router() -> None:
    assert not Access(Server(admin_key="a")).locked
    assert Access(Server(api_key="house")).locked
    assert Access(Server(), {"mapper": spec("air_1")}).locked


@pytest.mark.parametrize("sent", ["", "x", "ädmin"])
def test_the_admin_key_is_known(sent: str) -> None:
    access = Access(Server(admin_key="admin"))
    assert access.is_admin_key(" admin ")
    assert not access.is_admin_key(sent)
    assert not Access(Server()).is_admin_key(sent)
    assert access.find("admin") is None


def test_sessions_of_the_dashboard_depend_on_keys_that_open_it() -> None:
    chat, admin = {"c": spec("air_1")}, {"a": spec("air_2", scopes=["admin"])}
    assert Access(Server(), chat).dashboard_keys == Access(Server()).dashboard_keys
    assert Access(Server(), admin).dashboard_keys != Access(Server()).dashboard_keys
