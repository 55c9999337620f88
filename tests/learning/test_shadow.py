"""Which requests the shadow is compared on. (test_learning_service.py: that it is compared.)"""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from records import record

from airouter.domain.types import Verdict
from airouter.learning.shadow import compare, features_in, is_compared

ASKED = {"tier": "reasoning", "requested_route": "auto"}


@pytest.mark.parametrize(
    ("changes", "compared"),
    [
        ({}, True),
        ({"tier": "one_token"}, True),
        ({"tier": "encoder"}, True),
        ({"tier": "tuned"}, True),
        ({"tier": "learned"}, False),
        ({"tier": "rules"}, False),
        ({"tier": "fallback"}, False),
        ({"requested_route": "xai"}, False),
        ({"test": "load"}, False),
        ({"client_messages": []}, False),
    ],
)
def test_only_what_the_learned_tier_left_undecided(changes: dict[str, Any], compared: bool) -> None:
    assert is_compared(record(**(ASKED | changes))) is compared


@pytest.mark.parametrize(
    ("label", "result"),
    [("MODERATE", "agrees"), ("COMPLEX", "differs"), (None, "abstains")],
)
def test_results(label: str | None, result: str) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    model: Any = SimpleNamespace(vote=lambda _: Verdict("learned", label))
    compare(model, record(**ASKED, label="SIMPLE"), counts)
    assert counts == {("reasoning", result): 1}


def test_a_request_that_cannot_be_read_is_left_out() -> None:
    broken = record(**ASKED, client_messages=["no message"])
    assert features_in(broken) is None
    counts: Counter[tuple[str, str]] = Counter()
    compare(SimpleNamespace(), broken, counts)  # type: ignore[arg-type]
    assert not counts
