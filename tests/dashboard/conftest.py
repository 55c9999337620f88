"""An index of requests with the rows that a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from doubles import LogLines
from records import record

from airouter.domain.clock import Clock
from airouter.index.index import Index

Rows = Callable[..., None]


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """`rows({"route": "xai"}, ago=60, count=3)`: adds records to the index in `tmp_path`."""
    clock = Clock()
    index = Index(tmp_path, max_age_days=35, max_count=100_000, clock=clock, log=LogLines())
    made = 0

    def add(changes: dict[str, Any] | None = None, ago: float = 5.0, count: int = 1) -> None:
        nonlocal made
        for _ in range(count):
            made += 1
            when = clock.now() - timedelta(seconds=ago)
            given = {"id": f"{made:032x}", "timestamp": when, "backend": "primary"}
            index.emit(record(**(given | (changes or {}))))
        assert index.flush(20)

    yield add
    index.close(20)
