"""What prefix caches saved, from the index."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.sessions.cache_saved import Prefill
from airouter.sessions.stats import COLUMNS, as_json, collect

NOTHING = {**dict.fromkeys(COLUMNS), "outcome": "ok", "at": 1.0, "total_ms": 1.0}


def row(backend: str, given: int, cached: int | None, ttft: float | None, **more: Any) -> Any:
    told = {"tokens_in": given, "tokens_cached": cached, "backend_ttft_ms": ttft}
    return {**NOTHING, "backend": backend, "stream": 1, **told, **more}


def test_cached_tokens_by_the_measured_speed_of_their_backend() -> None:
    """1,000 tokens read in 0.5 s, and 500 in 1 s."""
    rows = [
        row("fast", 1000, None, 500.0),
        row("fast", 4010, 4000, 20.0),  # too few were read
        row("slow", 600, 100, 1000.0),
        row("slow", 5000, 0, 9000.0, stream=0),  # of a whole answer: the time of all of it
        row("slow", 5000, 0, 9000.0, outcome="upstream_error"),
        row("unknown", 50, 40, 10.0),
    ]
    said: Any = as_json(collect(rows))
    assert said["prefill_tokens_per_s"] == {"fast": 2000.0, "slow": 500.0, "unknown": None}
    assert said["backend"]["fast"]["cache_saved_ms"] == pytest.approx(2000.0)
    assert said["backend"]["slow"]["cache_saved_ms"] == pytest.approx(200.0)
    assert said["backend"]["unknown"]["cache_saved_ms"] is None
    assert said["all"]["cache_saved_ms"] == pytest.approx(2200.0)
    assert said["all"]["tokens_cached"] == 4140


def test_nothing_measured() -> None:
    assert Prefill().tokens_per_s is None
