"""Times: from the pieces of a stream, and the median of three."""

from __future__ import annotations

import pytest

from airouter.doctor.http import Answer, Server
from airouter.doctor.measure import TIMES, measure, read_stream
from airouter.doctor.subject import Found, Subject
from airouter.domain.clock import Clock
from tests.doctor.conftest import completion


def event(text: str) -> bytes:
    return b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % text.encode()


def test_a_stream_is_timed_from_its_first_content():
    role = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
    usage = b'data: {"choices": [], "usage": {"completion_tokens": 21}}\n\ndata: [DONE]\n\n'
    cut = event("c")
    pieces = [
        (10.1, role), (10.2, event("a")), (10.7, event("b")), (11.1, cut[:9]),
        (11.2, cut[9:]), (11.9, usage),
    ]  # fmt: skip
    ttft, rate = read_stream(Answer(200, "", pieces, 10.0))
    assert ttft == pytest.approx(200)
    assert rate == pytest.approx(20)


def test_without_usage_events_are_counted_and_reasoning_is_content():
    thought = b'data: {"choices": [{"delta": {"reasoning": "hm"}}]}\n\n'
    pieces = [(0.1, thought), (0.3, event("a")), (0.5, event("b"))]
    assert read_stream(Answer(200, "", pieces, 0.0)) == pytest.approx((100, 5))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(problem="no answer"),
        Answer(500, "", [(1.0, event("a"))]),
        Answer(200, "", [(1.0, b"<html>")]),
        Answer(200, "", [(1.0, b'data: [1]\n\ndata: {\ndata: {"choices": 3}\n\n')]),
    ],
)
def test_what_is_no_stream_has_no_times(answer):
    assert read_stream(answer) == (None, None)


def test_what_comes_at_once_has_no_rate():
    ttft, rate = read_stream(Answer(200, "", [(1.0, event("a") + event("b"))], 0.5))
    assert (ttft, rate) == (pytest.approx(500), None)


def test_the_figures_against_the_simulator(kinds):
    kinds.configure("primary", ttft_ms=80, tps=100)
    subject = Subject(Server(kinds.url("primary"), Clock()), None)
    subject.found["chat"] = Found("yes", "")
    subject.model = "primary-model"
    measured = measure(subject)
    assert measured.rtt_ms is not None
    assert 0 < measured.rtt_ms < 1000
    assert measured.ttft_ms is not None
    assert measured.ttft_ms >= 80
    assert measured.tokens_per_s is not None
    assert 20 < measured.tokens_per_s < 140
    assert kinds.stats("primary")["by_path"]["/v1/chat/completions"] == TIMES


def test_streams_are_not_asked_for_where_chat_does_not_work(imitated, subject):
    imitated.get("/v1/models", {})
    subject.found["chat"] = Found("no", "")
    assert measure(subject).ttft_ms is None
    assert imitated.asked == []


def test_no_prompt_begins_as_another(imitated, subject):
    """Else the first token of the second and third came from the prefix cache."""
    imitated.get("/v1/models", {})
    imitated.chat(completion())
    subject.found["chat"] = Found("yes", "")
    measure(subject)
    words = [sent["messages"][0]["content"].split()[0] for _, sent in imitated.asked]
    assert len(set(words)) == TIMES
