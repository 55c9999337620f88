"""Sessions decided again: what moves where, and which are skipped."""

from typing import Any

import orjson
import pytest
from records import record

from airouter.domain.errors import RouterError
from airouter.domain.types import Decision, Features, Verdict
from airouter.evaluation.moves import BY_TASK, INVALID, NO_CONTENT, NOT_DECIDED, Moves, direction
from airouter.telemetry.session_document import Content, document


def session(ask: str = "question", content: Content = "full", **fields: Any) -> dict[str, Any]:
    """A session file's content."""
    messages = [{"role": "user", "content": ask}]
    made = record(**({"client_messages": messages, "user_query": ask} | fields))
    loaded: dict[str, Any] = orjson.loads(document(made, content))
    return loaded


def deciding(label: str, tier: str = "learned") -> Any:
    return lambda features: Decision(label, tier, 0.97, 0.9, 0.2, ())


@pytest.mark.parametrize(
    ("old", "new", "towards"),
    [
        ("ENRICH", "PRIMARY", "harmful"),
        ("COMPLEX", "META", "harmful"),
        ("PRIMARY", "COMPLEX", "cloud"),
        ("META", "ENRICH", "search"),
        ("COMPLEX", "ENRICH", "search"),
        ("ENRICH", "COMPLEX", "other"),
        ("PRIMARY", "META", "other"),
    ],
)
def test_directions(old: str, new: str, towards: str) -> None:
    assert direction(old, new) == towards


def test_moves_are_counted_by_class_and_few_are_kept() -> None:
    moves = Moves(most=2)
    for _ in range(5):
        moves.add(session("news?", label="ENRICH", tier="reasoning"), deciding("SIMPLE"))
    moves.add(session(label="SIMPLE", tier="rules"), deciding("MODERATE"))
    moves.add(session(label="SIMPLE", tier="learned"), deciding("", tier="fallback"))
    assert moves.counts == {
        ("ENRICH", "PRIMARY"): 5,
        ("PRIMARY", "PRIMARY"): 1,
        ("PRIMARY", "asks a model"): 1,
    }
    assert moves.directions == {"harmful": 5}
    assert len(moves.moved["harmful"]) == 2
    assert moves.moved["harmful"][0].words == "news?"
    assert (moves.decided, moves.covered_before, moves.covered) == (7, 2, 6)
    assert len(moves.ms) == 7
    assert moves.as_json()["counts"]["ENRICH"] == {"PRIMARY": 5}


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (session(content="off"), NO_CONTENT),
        (session(tier="explicit"), NOT_DECIDED),
        (session(label=None, tier=None), NOT_DECIDED),
        (session(endpoint="embeddings"), NOT_DECIDED),
        (session(verdicts=(Verdict("rules", "META", reason="metadata.task is 'tags'"),)), BY_TASK),
        (session(client_messages=[{"role": "user", "content": 7}]), INVALID),
    ],
)
def test_sessions_that_are_skipped(one: dict[str, Any], why: str) -> None:
    moves = Moves(most=1)
    moves.add(one, deciding("SIMPLE"))
    assert (moves.decided, dict(moves.skipped)) == (0, {why: 1})


def test_a_failed_decision_is_counted() -> None:
    def decide(features: Features) -> Decision:
        raise RouterError("no", code="upstream_timeout")

    moves = Moves(most=1)
    moves.add(session(), decide)
    assert (moves.decided, dict(moves.failed)) == (0, {"upstream_timeout": 1})
