"""The one place that reads time. Passed in wherever time matters, so that tests can move it."""

import re
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# A zone by its rule, as POSIX has it: CET-1CEST,M3.5.0,M10.5.0/3 or <+03>-3.
_NAME = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_OFFSET = r"[+-]?(?:[01]?\d|2[0-3])(?::[0-5]\d){0,2}"  # datetime takes less than a day
_FOLDER = re.compile(r"^/.*/zoneinfo(?:\.default)?/(?:posix/|right/)?")
_RULE = re.compile(rf"{_NAME}{_OFFSET}(?:{_NAME}(?:{_OFFSET})?(?:,[^,\s]+,[^,\s]+)?)?")


class Clock:
    """Wall-clock time for people, monotonic seconds for measuring."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)  # seconds since the epoch, for dates that others state

    def __init__(self, zone: str | None = None) -> None:
        self._zone = ZoneInfo(zone) if zone else None

    def now(self) -> datetime:
        """The current time, aware, in the configured zone (default: the system's; UTC where the
        system's is unusable)."""
        if self._zone:
            return datetime.now(self._zone)
        try:
            return datetime.now().astimezone()
        except ValueError:  # an offset of a day or more
            return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def is_zone(name: str) -> bool:
    """Whether it names a zone such as Europe/Berlin."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def zone_name(text: str) -> str | None:
    """The name of the zone that the variable TZ holds: as it is, behind a colon, or at the end
    of a path. None: a file or a rule without a name. The C library has read it, and the system's
    time is the one it means."""
    name = _FOLDER.sub("", text.removeprefix(":"))
    return name if is_zone(name) else None


def is_time_zone(text: str) -> bool:
    """Whether the variable TZ may hold it: a name, a path to a zone's file, or a rule."""
    if zone_name(text) is not None or _RULE.fullmatch(text):
        return True
    try:
        with open(text.removeprefix(":"), "rb") as file:
            return file.read(4) == b"TZif"
    except (OSError, ValueError):
        return False


def ms(seconds: float) -> int:
    """Seconds as whole milliseconds, for log lines and records."""
    return round(seconds * 1000)
