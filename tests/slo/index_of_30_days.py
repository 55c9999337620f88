"""Makes an index as a busy router leaves it: requests over 30 days, and the events of every
objective in each minute.

    python -m tests.slo.index_of_30_days FILE [ROWS]
"""

from __future__ import annotations

import random
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from airouter.index.index import open_for_writing
from airouter.index.rows import COLUMNS, INSERT
from airouter.slo.load import PROFILES, load_profiles

DAYS = 30
FOLDER = Path(__file__).resolve().parents[2] / "config" / "slo"
OBJECTIVES = [o for profile in load_profiles(PROFILES, FOLDER) for o in profile.objectives]
_ROUTES = ("primary", "meta", "xai", "enrich")
_PLAIN: dict[str, Any] = {
    "endpoint": "chat",
    "stream": 1,
    "requested_model": "auto",
    "requested_route": "auto",
    "route": "primary",
    "label": "SIMPLE",
    "tier": "rules",
    "p": 0.9,
    "backend": "primary",
    "model": "m",
    "outcome": "ok",
    "reason": "ok",
    "status": 200,
    "total_ms": 1200.0,
    "classification_ms": 1.0,
    "queue_ms": 0.0,
    "connect_ms": 0.5,
    "inference_ms": 1195.0,
    "own_ms": 4.0,
    "ttft_ms": 200.0,
    "backend_ttft_ms": 190.0,
    "in_flight": 0,
    "tokens_in": 500,
    "tokens_out": 100,
    "tokens_cached": 400,
    "tokens_wasted": 0,
    "attempts": 1,
    "saved": 1,
}


def row(at: float, **changes: Any) -> tuple[Any, ...]:
    """A request that arrived `at` seconds since 1970, as a row of the index."""
    values = _PLAIN | {"id": f"{int(at * 1e6):032x}", "at": at} | changes
    return tuple(values.get(name) for name in COLUMNS)


def fill(path: Path, now: float, rows: int, objectives: int = 40) -> None:
    """Make the index.

    Args:
        now: seconds since 1970, when the 30 days end.
        objectives: how many have events, in every minute.
    """
    with closing(open_for_writing(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.executemany(INSERT, _rows(now, rows))
        connection.executemany(
            "INSERT INTO slo_events VALUES (?, ?, ?, ?)", _events(now, objectives)
        )


def _rows(now: float, count: int) -> Iterator[tuple[Any, ...]]:
    chance = random.Random(1)
    step = DAYS * 86_400 / count
    for i in range(count):
        ms = chance.lognormvariate(7, 0.6)
        failed = chance.random() < 0.01
        yield row(
            now - (count - i) * step,
            route=_ROUTES[i % len(_ROUTES)],
            backend="xai" if i % 4 == 2 else "primary",
            outcome="error" if failed else "ok",
            reason="backend_error" if failed else "ok",
            total_ms=ms,
            own_ms=None if failed else ms / 300,
            ttft_ms=None if failed else ms / 6,
            attempts=2 if i % 97 == 0 else 1,
        )


def _events(now: float, objectives: int) -> Iterator[tuple[str, int, int, int]]:
    chance, end = random.Random(2), int(now // 60)
    for objective in OBJECTIVES[:objectives]:
        for minute in range(end - DAYS * 1440 + 1, end + 1):
            yield objective.name, minute, 20, int(chance.random() < 0.02)


if __name__ == "__main__":
    began = time.time()
    fill(Path(sys.argv[1]), began, int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
    print(f"made in {time.time() - began:.0f} s")
    with closing(sqlite3.connect(sys.argv[1])) as made:
        print(*made.execute("SELECT count(*), (SELECT count(*) FROM slo_events) FROM requests"))
