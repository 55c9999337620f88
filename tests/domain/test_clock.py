"""Time zones: which names and rules are one, and the time in it."""

from datetime import timedelta

import pytest

from airouter.domain.clock import Clock, is_time_zone, is_zone, ms, zone_name


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC"])
def test_a_name_is_a_zone(name: str) -> None:
    assert is_zone(name)
    assert is_time_zone(name)
    assert Clock(name).now().utcoffset() is not None


@pytest.mark.parametrize("name", ["", "Europe", "Mars/Olympus", "../etc/passwd", "a\0b", "x" * 300])
def test_what_is_no_zone(name: str) -> None:
    assert not is_zone(name)


@pytest.mark.parametrize(
    "text", ["CET-1CEST,M3.5.0,M10.5.0/3", "<+03>-3", "EST5", "EST5EDT4:30,J60,J300/1:30"]
)
def test_a_rule_is_a_time_zone_without_a_name(text: str) -> None:
    assert is_time_zone(text)
    assert not is_zone(text)


@pytest.mark.parametrize("text", ["CET-24", "Berlin time", "/etc/passwd", "/nonexistent", "\0"])
def test_what_is_no_time_zone(text: str) -> None:
    assert not is_time_zone(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        (":/var/db/zoneinfo.default/posix/Asia/Tokyo", "Asia/Tokyo"),
        ("/etc/localtime", None),
        ("<+03>-3", None),
    ],
)
def test_the_name_within_a_value_of_tz(text: str, name: str | None) -> None:
    assert zone_name(text) == name


def test_the_zone_decides_the_time_of_day() -> None:
    assert Clock("Asia/Tokyo").now().utcoffset() == timedelta(hours=9)
    assert Clock().now().utcoffset() is not None


def test_milliseconds_are_whole() -> None:
    assert (ms(0.0124), ms(1.5)) == (12, 1500)
