"""A clock that a test moves, and a log that keeps its lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airouter.domain.clock import Clock

NOW = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)


class FakeClock(Clock):
    """Stands still until it is moved.

    Args:
        start: the time of day at first; its zone is the clock's.
    """

    def __init__(self, start: datetime = NOW) -> None:
        super().__init__()
        self.elapsed = 0.0  # seconds since the start
        self._start = start

    def monotonic(self) -> float:  # type: ignore[override]
        return 1000.0 + self.elapsed

    def time(self) -> float:  # type: ignore[override]
        return self.now().timestamp()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.elapsed)

    def sleep(self, seconds: float) -> None:
        self.move(seconds)

    def move(self, seconds: float) -> None:
        self.elapsed += seconds


class LogLines:
    """A log that keeps its lines, and the level of each."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.levels: list[str] = []

    def info(self, template: str, *args: object) -> None:
        self._add("INFO", template, args)

    def warning(self, template: str, *args: object) -> None:
        self._add("WARNING", template, args)

    def error(self, template: str, *args: object) -> None:
        self._add("ERROR", template, args)

    def _add(self, level: str, template: str, args: tuple[object, ...]) -> None:
        self.lines.append(template % args)
        self.levels.append(level)
