"""Live checks: the sample, the pace, when a model has drifted, and that a check gives way."""

from collections.abc import Iterator
from typing import Any

import pytest
from doubles import FakeClock
from records import record

from airouter.domain.clock import Clock
from airouter.domain.errors import RouterError
from airouter.domain.types import Features, Verdict
from airouter.flow.exchange import Exchange
from airouter.learning.checks import LEAST, Pace, Sample, ask, drifted
from airouter.learning.store import DAY, Agreement
from tests.classify.make import features

ASK = features("Name a river in Peru.")


def test_the_sample_is_fair_and_small() -> None:
    sample = Sample()
    for number in range(1000):
        sample.add(record(id=f"{number}"))
    taken = []
    while (one := sample.take()) is not None:
        taken.append(int(one.id))
    assert len(taken) == 16
    assert max(taken) > 300, "not only the first ones"
    sample.add(record(client_messages=[{"role": "user", "content": "x" * 100_000}]))
    assert sample.take() is None, "large requests are not kept"
    sample.add(record())
    sample.clear()
    assert sample.take() is None


def test_the_pace() -> None:
    pace = Pace()
    for _ in range(8):
        assert pace.due(1000.0, 50)
        pace.count(1000.0)
    assert not pace.due(1000.0, 50)
    assert pace.due(1000.0, 70)
    assert not pace.due(999.0 + DAY, 50)
    assert pace.due(1000.0 + DAY, 50)


@pytest.mark.parametrize(
    ("n", "agreed", "harmful", "expected"),
    [
        (LEAST - 1, 0, LEAST - 1, False),
        (50, 50, 0, False),
        (50, 46, 0, False),
        (50, 45, 0, True),
        (200, 190, 0, False),
        (200, 187, 0, True),
        (200, 198, 2, False),
        (200, 194, 6, True),
    ],
)
def test_drift_is_beyond_doubt(n: int, agreed: int, harmful: int, expected: bool) -> None:
    assert drifted(Agreement(n, agreed, harmful)) is expected


class Tier:
    name, instant = "reasoning", False

    def __init__(self, result: Verdict | Exception, seconds: float = 0.0) -> None:
        self._result, self._seconds = result, seconds

    def ask(self, exchange: Exchange, _features: Features) -> Iterator[Any]:
        yield from exchange.sleep(self._seconds)
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


SAID = Verdict("reasoning", "SIMPLE", finish_reason="label")


@pytest.mark.parametrize(
    ("result", "clear"),
    [
        (SAID, True),
        (Verdict("reasoning", "SIMPLE", finish_reason="length"), False),
        (Verdict("reasoning", None, finish_reason="stop"), False),
        (RouterError("it is down", code="down"), False),
    ],
)
def test_only_a_clear_answer_counts(result: Verdict | Exception, clear: bool) -> None:
    found = ask(Tier(result), ASK, FakeClock(), lambda: False)
    assert found == (SAID if clear else None)


def test_a_check_gives_way_to_a_request() -> None:
    """Within a fraction of a second, though the classifier says nothing."""
    clock, looks = Clock(), iter([False, True])
    began = clock.monotonic()
    assert ask(Tier(SAID, 20), ASK, clock, lambda: next(looks)) is None
    assert clock.monotonic() - began < 5
