"""`./Benchmark scorecard`: its cases, how they are judged, and the accounting; end to end in
test_reliability_commands."""

import json
from typing import Any

import pytest

from bench.card import Card, Found, Outcome
from bench.client import Answer
from bench.fault_cases import EITHER, ERROR, SCENARIOS, WHOLE, Case
from bench.result import Result
from bench.scorecard import contradictions, tiers
from simulator.faults import CATALOGUE
from simulator.text import answer_tokens

WORDS = answer_tokens("a-model", "mark", 48)


def whole(text: str = "".join(WORDS), status: int = 200, **fields: Any) -> Answer:
    message = {"role": "assistant", "content": text}
    payload: dict[str, Any] = {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]
    }
    if status != 200:
        error = {"message": "It broke.", "type": "upstream_error", "param": None, "code": "broken"}
        payload = {"error": error}
    headers = {"content-type": "application/json", **fields.pop("headers", {})}
    return Answer(status, headers, json.dumps(payload).encode(), whole=True, **fields)


def test_they_are_sixteen_and_some_more() -> None:
    assert len([scenario for scenario in SCENARIOS if not scenario.extra]) == 16
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    for scenario in SCENARIOS:
        assert scenario.streamed in (WHOLE, ERROR, EITHER)
        assert scenario.special or scenario.faults
        assert bool(scenario.code) == scenario.refused == (scenario.plain == ERROR)
        for fault in (*scenario.faults, *(scenario.plain_faults or ())):
            assert fault.name in CATALOGUE


def test_the_limits_are_the_shipped_ones() -> None:
    for tier in tiers(SCENARIOS[0]):
        assert set(tier.config) == {"kind", "local", "api_key", "continues"}


def test_text_is_there_with_the_first_event_that_has_some() -> None:
    role = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    first, more = (
        b'data: {"choices":[{"delta":{"content":"A"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"B"}}]}\n\n',
    )
    pieces = [b": ping\n\n", role, first[:20], first[20:], more]
    answer = Answer(
        200,
        {"content-type": "text/event-stream"},
        b"".join(pieces),
        arrivals=[1.0, 2.0, 3.0, 4.0, 5.0],
        sizes=[len(piece) for piece in pieces],
    )
    assert answer.first_content == 4.0
    answer.body, answer.arrivals, answer.sizes = role, [2.0], [len(role)]
    assert answer.first_content is None
    assert whole(seconds=7.0).first_content == 7.0
    assert whole(status=502, seconds=7.0).first_content is None


def judged(case: Case, stream: bool, found: Found | str) -> tuple[Result, Result]:
    card = Card("scorecard", "A scorecard")
    card.add(case, stream, found)
    table, promises = card.results()
    return table, promises


def test_an_answer_that_is_late_or_not_as_promised_breaks_the_promise() -> None:
    plain = Case("a fault")
    table, promises = judged(plain, False, Found([whole(seconds=3.0)], 1, 1))
    assert table.rows[0].data["kept"]
    assert promises.broken == []
    for found in (
        Found([whole(seconds=30.0)], 1, 1),
        Found([whole(seconds=3.0), whole("".join(WORDS[:20]))], 1, 1),
        Found([whole(status=502)], 1, 1),
        Found([whole()], 1, 1, wrong=["a header that says otherwise"]),
        Found([whole()], 1, 1, left_behind=1),
        "RuntimeError: the router did not start",
    ):
        table, promises = judged(plain, False, found)
        assert promises.broken, found


def test_the_worst_answer_of_several_counts() -> None:
    found = Found([whole(seconds=1.0), whole("".join(WORDS[:20]), seconds=2.0)], 1, 1)
    assert found.outcome is Outcome.TRUNCATED
    assert found.seconds == 2.0


RECORD = {
    "attempts": ["first: upstream_status", "second: ok"],
    "status": 200,
    "outcome": "ok",
    "backend": "second",
}
TOLD = {
    "x-router-backend": "second",
    "x-router-attempts": "first: upstream_status, second: ok",
}
SEEN = {"first": 1, "second": 1}


@pytest.mark.parametrize(
    ("headers", "record", "seen", "said_wrong"),
    [
        (TOLD, RECORD, SEEN, ""),
        (TOLD, RECORD, {"first": 2, "second": 1}, "the tiers have seen"),
        (TOLD, RECORD, {"first": 0, "second": 1}, "the tiers have seen"),
        (TOLD | {"x-router-backend": "first"}, RECORD, SEEN, "X-Router-Backend"),
        (TOLD | {"x-router-attempts": "second: ok"}, RECORD, SEEN, "X-Router-Attempts"),
        (TOLD, RECORD | {"status": 502}, SEEN, "status"),
        (TOLD, RECORD | {"outcome": "upstream_error"}, SEEN, "outcome"),
        (TOLD, RECORD | {"backend": "first"}, SEEN, "X-Router-Backend"),
    ],
)
def test_what_is_said_must_be_what_was_seen(
    headers: dict[str, str], record: dict[str, Any], seen: dict[str, int], said_wrong: str
) -> None:
    wrong = contradictions(whole(headers=headers), record, seen)
    assert any(said_wrong in problem for problem in wrong) if said_wrong else wrong == []


def test_a_streams_headers_hold_the_attempts_until_it_began() -> None:
    """What continued it is in the session file alone."""
    record = RECORD | {"attempts": ["second: ok", "second: continued"]}
    headers = {"x-router-backend": "second"}
    assert contradictions(whole(headers=headers), record, {"second": 2}) == []
