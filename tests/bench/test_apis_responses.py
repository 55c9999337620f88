"""How `./Benchmark faults --api responses` reads answers: as a client of that API does, and no more
leniently."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.apis import APIS, BROKEN
from bench.card import Outcome, outcome_of
from bench.client import Answer
from simulator.text import answer_tokens

Json = dict[str, Any]
WORDS = 12
TOKENS = answer_tokens("a-model", "mark", WORDS + 8)
TEXT = "".join(TOKENS)
OPEN: list[Json] = [
    {"type": "response.output_item.added", "output_index": 0, "item": {}},
    {"type": "response.content_part.added", "output_index": 0, "part": {}},
]


def response(status: str, text: str = TEXT, **more: Any) -> Json:
    part = {"type": "output_text", "text": text}
    output = [{"type": "message", "content": [part]}]
    return {"object": "response", "status": status, "output": output, "error": None, **more}


START: list[Json] = [
    {"type": f"response.{kind}", "response": response("in_progress", "")}
    for kind in ("created", "in_progress")
]
FAILED = {
    "type": "response.failed",
    "response": response("failed", "", error={"code": "server_error", "message": "It broke."}),
}


def said(*texts: str) -> list[Json]:
    return [
        {"type": "response.output_text.delta", "output_index": 0, "delta": text} for text in texts
    ]


def closed(text: str = TEXT) -> list[Json]:
    return [
        {"type": "response.output_text.done", "output_index": 0, "text": text},
        {"type": "response.content_part.done", "output_index": 0},
        {"type": "response.output_item.done", "output_index": 0},
    ]


def end(text: str = TEXT, status: str = "completed") -> Json:
    return {"type": f"response.{status}", "response": response(status, text)}


def stream(*events: Json) -> Answer:
    numbered = [{**event, "sequence_number": i} for i, event in enumerate(events)]
    parts = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in numbered)
    body = ": waiting\n" + "".join(parts)
    headers = {"content-type": "text/event-stream"}
    return APIS["responses"].read(Answer(200, headers, body.encode(), whole=True))


def whole(payload: Json, status: int = 200) -> Answer:
    return APIS["responses"].read(Answer(status, {}, json.dumps(payload).encode(), whole=True))


GOOD = [*START, *OPEN, *said(*TOKENS), *closed(), end()]
HALF = "".join(TOKENS[:15])


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        (GOOD, Outcome.WHOLE),
        ([*START, *OPEN, *said(*TOKENS[:15]), FAILED], Outcome.ERROR),
        ([*START, FAILED], Outcome.ERROR),
        (
            [*START, *OPEN, *said(*TOKENS[:15]), *closed(HALF), end(HALF)],
            Outcome.TRUNCATED,
        ),
        ([*START, *OPEN, *said(*TOKENS)], Outcome.TRUNCATED),
        (
            [*START, *OPEN, *said(*TOKENS, *TOKENS), *closed(2 * TEXT), end(2 * TEXT)],
            Outcome.DUPLICATED,
        ),
        (GOOD[1:], Outcome.BROKEN),
        ([*START, *said(*TOKENS), *closed(), end()], Outcome.BROKEN),
        ([*START, *OPEN, *said(*TOKENS), *closed(HALF), end()], Outcome.BROKEN),
        ([*START, *OPEN, *said(*TOKENS), *closed(), end(HALF)], Outcome.BROKEN),
        ([*START, *OPEN, *said(*TOKENS), end()], Outcome.BROKEN),
        ([*GOOD, end()], Outcome.BROKEN),
        ([*START, *OPEN, *said(*TOKENS), *closed(), end(status="failed")], Outcome.TRUNCATED),
    ],
)
def test_streams_of_responses(events: list[Json], outcome: Outcome) -> None:
    assert outcome_of(stream(*events), WORDS) is outcome


def test_events_of_responses_are_named_and_numbered() -> None:
    answer = stream(*GOOD)
    assert answer.done
    answer.body = answer.body.replace(b'"sequence_number": 3}', b'"sequence_number": 4}')
    assert BROKEN in answer.events()
    answer.body = b'data: {"type": "response.created", "sequence_number": 0}\n\n'
    assert answer.events() == [BROKEN]


def test_whole_responses() -> None:
    assert outcome_of(whole(response("completed")), WORDS) is Outcome.WHOLE
    assert outcome_of(whole(response("completed", HALF)), WORDS) is Outcome.TRUNCATED
    assert outcome_of(whole(response("in_progress")), WORDS) is Outcome.TRUNCATED
    assert outcome_of(whole(FAILED["response"]), WORDS) is Outcome.BROKEN
    error = {"message": "x", "type": "y", "param": None, "code": None}
    assert outcome_of(whole({"error": error}, 502), WORDS) is Outcome.ERROR
    assert outcome_of(whole({"error": {"message": "x"}}, 502), WORDS) is Outcome.BROKEN


def test_requests_for_responses() -> None:
    asked = APIS["responses"].body("Hi", "m", stream=True)
    assert asked == {"model": "m", "input": "Hi", "stream": True}
