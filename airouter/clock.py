"""The one place that reads time. Passed in wherever time matters, so that tests can move it."""

import time
from datetime import datetime
from zoneinfo import ZoneInfo


class Clock:
    """Wall-clock time for people, monotonic seconds for measuring."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)  # seconds since the epoch, for dates that others state

    def __init__(self, zone: str | None = None) -> None:
        self._zone = ZoneInfo(zone) if zone else None

    def now(self) -> datetime:
        """The current time, aware, in the configured zone (default: the system's)."""
        return datetime.now(self._zone) if self._zone else datetime.now().astimezone()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def ms(seconds: float) -> int:
    """Seconds as whole milliseconds, for log lines and records."""
    return round(seconds * 1000)
