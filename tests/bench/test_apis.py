"""How `./Benchmark faults --api messages` reads answers: as a client of that API does, and no
more leniently."""

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
START = {"type": "message_start", "message": {}}
OPEN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}
CLOSE = {"type": "content_block_stop", "index": 0}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
STOP = {"type": "message_stop"}
ERROR = {"type": "error", "error": {"type": "api_error", "message": "It broke."},
         "request_id": "req_1"}  # fmt: skip


def said(*texts: str) -> list[Json]:
    return [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        for text in texts
    ]


def stream(*events: Json) -> Answer:
    parts = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    body = ": waiting\n" + "".join(parts)
    headers = {"content-type": "text/event-stream"}
    return APIS["messages"].read(Answer(200, headers, body.encode(), whole=True))


def whole(payload: Json, status: int = 200) -> Answer:
    return APIS["messages"].read(Answer(status, {}, json.dumps(payload).encode(), whole=True))


GOOD = [START, OPEN, *said(*TOKENS), CLOSE, END, STOP]


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        (GOOD, Outcome.WHOLE),
        ([START, {"type": "ping"}, *GOOD[1:]], Outcome.WHOLE),
        ([START, OPEN, *said(*TOKENS[:15]), ERROR], Outcome.ERROR),
        ([START, OPEN, *said(*TOKENS[:15]), CLOSE, END, STOP], Outcome.TRUNCATED),
        ([START, OPEN, *said(*TOKENS)], Outcome.TRUNCATED),
        ([START, OPEN, *said(*TOKENS), *said(*TOKENS), CLOSE, END, STOP], Outcome.DUPLICATED),
        (GOOD[1:], Outcome.BROKEN),
        ([START, *said(*TOKENS), END, STOP], Outcome.BROKEN),
        ([START, OPEN, OPEN, *GOOD[2:]], Outcome.BROKEN),
        ([START, OPEN, *said(*TOKENS), END, STOP], Outcome.BROKEN),
        ([*GOOD, STOP], Outcome.BROKEN),
    ],
)
def test_streams(events: list[Json], outcome: Outcome) -> None:
    assert outcome_of(stream(*events), WORDS) is outcome


def test_an_event_is_named_as_its_data_says() -> None:
    answer = stream(*GOOD)
    answer.body = answer.body.replace(b"event: message_stop", b"event: done")
    assert answer.events()[-1] == BROKEN
    answer.body = b'data: {"type": "message_start"}\n\n'
    assert answer.events() == [BROKEN]


def test_whole_answers() -> None:
    content = [{"type": "text", "text": "".join(TOKENS)}]
    message = {"type": "message", "role": "assistant", "content": content}
    good = whole({**message, "stop_reason": "end_turn"})
    assert outcome_of(good, WORDS) is Outcome.WHOLE
    assert outcome_of(whole({**message, "stop_reason": None}), WORDS) is Outcome.TRUNCATED
    assert outcome_of(whole(ERROR, 502), WORDS) is Outcome.ERROR
    for shape in ({"error": {"message": "x", "type": "y", "param": None, "code": None}},
                  {**ERROR, "request_id": None, "type": "x"}, {"type": "error"}):  # fmt: skip
        assert outcome_of(whole(shape, 502), WORDS) is Outcome.BROKEN


def test_requests() -> None:
    """Each is asked in its own form; those of chat are as they were."""
    assert "max_tokens" not in APIS["chat"].body("Hi", "m")
    asked = APIS["messages"].body("Hi", "m", stream=True)
    assert (asked["max_tokens"], asked["stream"]) == (1000, True)
    plain = Answer(200, {}, b"{}", whole=True)
    assert APIS["chat"].read(plain) is plain
