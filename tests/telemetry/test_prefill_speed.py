"""How fast a backend reads prompts, by its answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from records import record

from airouter.domain.types import AttemptOutcome
from airouter.telemetry.prefill_speed import PrefillMeter, speed_of


def answered(tokens: int = 3000, cached: int | None = None, **changes: Any) -> Any:
    usage: dict[str, Any] = {"prompt_tokens": tokens}
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    ok = [AttemptOutcome("gpu0", "ok")]
    values = {"backend_ttft_ms": 1500.0, "usage": usage, "attempts": ok, **changes}
    return record(**values)


def test_tokens_by_the_time_to_the_first_content() -> None:
    assert speed_of(answered()) == 2000
    assert speed_of(answered(cached=1500)) == 1000


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": 499},
        {"cached": 2900},
        {"stream": False},
        {"outcome": "truncated"},
        {"in_flight": 1},
        {"backend_ttft_ms": None},
        {"attempts": []},
        {"usage": None},
        {"session_policy": "kept; tool loop"},
    ],
    ids=str,
)
def test_answers_that_show_nothing(changes: dict[str, Any]) -> None:
    assert speed_of(answered(**changes)) is None


def test_what_a_backend_states_as_cached_counts_in_any_turn() -> None:
    assert speed_of(answered(cached=0, session_policy="kept")) == 2000


def test_the_average_follows_the_latest_answers() -> None:
    backend: Any = SimpleNamespace(prefill=None)
    meter = PrefillMeter(lambda: {"gpu0": backend})
    meter.emit(answered())
    assert backend.prefill == 2000
    meter.emit(answered(tokens=1500))
    assert backend.prefill == pytest.approx(1700)
    meter.emit(answered(tokens=10))
    meter.emit(answered(backend="gone"))
    meter.emit(answered(backend=None))
    assert backend.prefill == pytest.approx(1700)
