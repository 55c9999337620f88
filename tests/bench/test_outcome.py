"""How an answer is judged by `./Benchmark faults`: what counts as whole, as a clear error, and as
unbearable."""

import json
from typing import Any

import pytest

from bench.card import Outcome, as_promised, outcome_of
from bench.client import Answer
from bench.fault_cases import CASES, EITHER, ERROR, UNTESTED, WHOLE
from bench.overload import sorted_out
from bench.result import Promises
from simulator.text import answer_tokens

WORDS = 12
TOKENS = answer_tokens("a-model", "mark", WORDS + 8)
FAILED = {
    "error": {
        "message": "It broke.",
        "type": "upstream_error",
        "param": None,
        "code": "upstream_broken",
    }
}


def chunk(text: str = "", finish: str | None = None) -> dict[str, Any]:
    return {
        "choices": [
            {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
        ]
    }


def stream(*events: Any, **fields: Any) -> Answer:
    body = "".join(
        f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events
    )
    return Answer(200, {"content-type": "text/event-stream"}, body.encode(), whole=True, **fields)


def whole(payload: Any, status: int = 200) -> Answer:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Answer(status, {"content-type": "application/json"}, body, whole=True)


def message(text: str, finish: str | None = "stop") -> dict[str, Any]:
    return {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        ]
    }


ALL = [chunk(token) for token in TOKENS]
HALF = ALL[:14]

STREAMS = [
    ("all of it", (*ALL, chunk(finish="stop"), "[DONE]"), Outcome.WHOLE),
    ("a comment's neighbour", (*ALL[:-1], chunk(TOKENS[-1], "stop"), "[DONE]"), Outcome.WHOLE),
    ("no [DONE]", (*ALL, chunk(finish="stop")), Outcome.TRUNCATED),
    ("no finish_reason", (*ALL, "[DONE]"), Outcome.TRUNCATED),
    ("half of it, said to be all", (*HALF, chunk(finish="stop"), "[DONE]"), Outcome.TRUNCATED),
    ("half of it, then nothing", HALF, Outcome.TRUNCATED),
    ("half of it, and an error", (*HALF, FAILED), Outcome.ERROR),
    ("an error, and [DONE] all the same", (*HALF, FAILED, "[DONE]"), Outcome.TRUNCATED),
    ("an error of an unknown shape", (*HALF, {"error": "no"}), Outcome.TRUNCATED),
    ("an error with words missing before it", (*HALF[:10], *HALF[12:], FAILED), Outcome.TRUNCATED),
    ("a word twice", (*HALF, *ALL[13:], chunk(finish="stop"), "[DONE]"), Outcome.DUPLICATED),
    ("begun anew", (*HALF, *ALL, chunk(finish="stop"), "[DONE]"), Outcome.DUPLICATED),
    ("twice, then an error", (*HALF, HALF[-1], FAILED), Outcome.DUPLICATED),
    ("a word left out", (*HALF[:-1], *ALL[14:], chunk(finish="stop"), "[DONE]"), Outcome.TRUNCATED),
    (
        "an event that is not JSON",
        (*ALL, "{not json", chunk(finish="stop"), "[DONE]"),
        Outcome.BROKEN,
    ),
]


@pytest.mark.parametrize(
    ("events", "expected"), [case[1:] for case in STREAMS], ids=[case[0] for case in STREAMS]
)
def test_a_stream_is_judged_by_what_a_client_would_make_of_it(
    events: tuple[Any, ...], expected: Outcome
) -> None:
    assert outcome_of(stream(*events), WORDS) is expected


ANSWERS = [
    ("all of it", whole(message("".join(TOKENS))), Outcome.WHOLE),
    ("half of it", whole(message("".join(TOKENS[:12]))), Outcome.TRUNCATED),
    ("all of it, unfinished", whole(message("".join(TOKENS), None)), Outcome.TRUNCATED),
    ("twice", whole(message("".join(TOKENS) + "".join(TOKENS))), Outcome.DUPLICATED),
    ("nothing", whole(b""), Outcome.TRUNCATED),
    ("an error", whole(FAILED, 502), Outcome.ERROR),
    ("an error under 200", whole(FAILED), Outcome.BROKEN),
    ("an error that is a page", whole(b"<html>", 502), Outcome.BROKEN),
    ("no answer in time", Answer(late=True), Outcome.HUNG),
    ("no answer", Answer(problem="ConnectionResetError"), Outcome.BROKEN),
]


@pytest.mark.parametrize(
    ("answer", "expected"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS]
)
def test_a_whole_answer_is_judged_by_its_words_and_its_end(
    answer: Answer, expected: Outcome
) -> None:
    assert outcome_of(answer, WORDS) is expected


def test_a_connection_that_ends_in_the_middle_is_no_clean_error() -> None:
    answer = stream(*HALF)
    answer.whole = False
    assert outcome_of(answer, WORDS) is Outcome.BROKEN


def test_a_stream_that_does_not_end_in_time_hangs_whatever_it_said() -> None:
    assert (
        outcome_of(stream(*ALL, chunk(finish="stop"), "[DONE]", late=True), WORDS) is Outcome.HUNG
    )


def test_what_is_promised_decides_whether_an_outcome_is_good_enough() -> None:
    assert as_promised(Outcome.WHOLE, WHOLE)
    assert not as_promised(Outcome.ERROR, WHOLE)
    assert not as_promised(Outcome.WHOLE, ERROR)
    assert as_promised(Outcome.ERROR, EITHER)
    assert not any(as_promised(Outcome.HUNG, promised) for promised in (WHOLE, ERROR, EITHER))


def test_every_fault_of_the_simulator_is_among_the_cases() -> None:
    assert not UNTESTED
    assert len({case.name for case in CASES}) == len(CASES)
    assert sum(1 if case.only else 2 for case in CASES) >= 30


def test_a_broken_promise_is_remembered_and_a_note_is_none() -> None:
    promises = Promises("faults", "Promises")
    promises.check("kept", "0", "0", True)
    promises.note("noted", "7")
    assert promises.result.broken == []
    promises.check("hung", "0", "3", False)
    assert promises.result.broken == ["hung: 3, promised 0"]


def test_under_overload_only_429_and_503_count_as_told() -> None:
    replies = [Answer(status) for status in (200, 429, 503, 500, 0)]
    served, refused, lost = sorted_out(replies)
    assert [len(served), len(refused), len(lost)] == [1, 2, 2]
