"""What one request came to, as the users write it and the verdict reads it: one JSON line each, one file per process."""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

import orjson

_FLUSH_S = 1.0


class Outcome(StrEnum):
    OK = "ok"
    REFUSED = "refused"  # told to come back later: 429 or 503, with Retry-After
    FAILED = "failed"
    ABORTED = "aborted"  # the client hung up on purpose
    GAVE_UP = "gave up"  # the client's own, tiny timeout


@dataclass(frozen=True, slots=True)
class Sample:
    """Times in seconds; `at` is when it was sent, on the clock that all processes of a machine share (`time.monotonic`)."""

    at: float
    user: str
    route: str
    outcome: Outcome
    status: int
    total: float
    ttft: float | None = None
    tokens: int = 0
    rate: float | None = None  # tokens per second, from the first to the last
    gap: float | None = None  # the longest silence between two pieces of content
    problem: str = ""


class Writer:
    """Appends samples to a file of this process's own; to be closed at the end."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("a", encoding="utf-8")
        self._flushed = time.monotonic()

    def add(self, sample: Sample) -> None:
        self._file.write(orjson.dumps(asdict(sample)).decode() + "\n")
        now = time.monotonic()
        if now - self._flushed > _FLUSH_S:
            self._flushed = now
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def read(paths: Iterable[Path]) -> list[Sample]:
    """All samples of these files, in the order in which they were sent; half a last line, of a process that was killed, is
    left out."""
    found = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row: dict[str, Any] = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            found.append(Sample(**{**row, "outcome": Outcome(row["outcome"])}))
    return sorted(found, key=lambda sample: sample.at)
