"""The only module that reads the time. Clocks are passed in, so that tests can control them."""

import re
import time
from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# A POSIX time zone rule: CET-1CEST,M3.5.0,M10.5.0/3 or <+03>-3.
_NAME = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_OFFSET = r"[+-]?(?:[01]?\d|2[0-3])(?::[0-5]\d){0,2}"  # datetime takes less than a day
_FOLDER = re.compile(r"^/.*/zoneinfo(?:\.default)?/(?:posix/|right/)?")
_RULE = re.compile(rf"{_NAME}{_OFFSET}(?:{_NAME}(?:{_OFFSET})?(?:,[^,\s]+,[^,\s]+)?)?")


class Clock:
    """Wall-clock time for display, monotonic seconds for measuring."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)  # seconds since the epoch, to compare with dates in headers

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

    def local(self, seconds: float) -> datetime:
        """A time in seconds since 1970 in the same zone as `now()`."""
        if self._zone:
            return datetime.fromtimestamp(seconds, self._zone)
        try:
            return datetime.fromtimestamp(seconds).astimezone()
        except ValueError:
            return datetime.fromtimestamp(seconds, UTC)

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)


def is_zone(name: str) -> bool:
    """Whether `name` is a time zone such as Europe/Berlin."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def zone_name(text: str) -> str | None:
    """The zone name in a value of TZ: the value itself, after a colon, or at the end of a path.

    Returns:
        None for a file or rule without a name; the C library has already applied it to the system
        time.
    """
    name = _FOLDER.sub("", text.removeprefix(":"))
    return name if is_zone(name) else None


def is_time_zone(text: str) -> bool:
    """Whether `text` is a valid value of TZ: a name, a path to a zone file, or a rule."""
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


def date_line(now: datetime) -> str:
    """The current date as a sentence. A finer resolution would invalidate prefix caches."""
    return _line_for(now.date())


@lru_cache(maxsize=8)  # strftime takes longer than the rest of composing a request
def _line_for(day: date) -> str:
    return f"Current date: {day:%A}, {day.day} {day:%B} {day.year}."
