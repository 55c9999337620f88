"""What follows from a record: the router's own part of the time, and the tokens."""

import pytest
from records import record

from airouter.domain.types import AttemptOutcome
from airouter.telemetry.derived import own_ms, tokens_of

ONCE = [AttemptOutcome("gpu0", "ok")]
TIMES = dict(
    attempts=ONCE, total_ms=1000.0, inference_ms=700.0, queue_ms=100.0, classification_ms=150.0
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (dict(tier="rules"), 200.0),  # deciding is the router's own work
        (dict(tier="one_token"), 50.0),  # a model decided
        (dict(tier="one_token", speculation="won"), 200.0),  # … beside the answer
        (dict(tier="rules", enrichment_ms=150.0), 50.0),
        (dict(tier="rules", inference_ms=2000.0), 0.0),
        (dict(outcome="client_gone"), None),
        (dict(attempts=[]), None),
        (dict(attempts=ONCE * 2), None),
    ],
)
def test_the_own_part_is_what_nobody_else_took(changes, expected):
    """None where the parts are not known."""
    assert own_ms(record(**(TIMES | changes))) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, (None, None, None)),
        ({}, (None, None, None)),
        ({"prompt_tokens": 7, "completion_tokens": 0}, (7, 0, None)),
        ({"prompt_tokens_details": {"cached_tokens": 4}}, (None, None, 4)),
        ({"prompt_tokens_details": [4]}, (None, None, None)),
        ({"prompt_tokens": True, "completion_tokens": -1}, (None, None, None)),
        ({"prompt_tokens": 2**60, "completion_tokens": "9"}, (None, None, None)),
    ],
)
def test_only_believable_tokens_count(usage, expected):
    """A backend may state anything."""
    assert tokens_of(usage) == expected
