"""POST /v1/chat/completions as a stream: what comes, in which order, and how it ends when something
breaks."""

from __future__ import annotations

import time

import pytest
from harness import (
    Stream,
    all_free,
    body,
    counted,
    error_of,
    is_whole,
    session_file,
    steer,
)
from scripted_backend import Flood, ScriptedBackend

from bench.router_process import RouterProcess
from simulator.testing import Simulator

PRIMARY = {"model": "ai-router/primary"}


@pytest.mark.parametrize("label", ["MODERATE", "COMPLEX", "ENRICH"])
def test_a_stream_is_whole_on_every_route(
    router: RouterProcess, sim: Simulator, label: str
) -> None:
    """Every word comes once and in order, then the finish reason, then [DONE]."""
    with counted(router, 1) as lines:
        stream = Stream(router, body(steer("What is it?", router={"label": label}))).read()
    assert stream.status == 200
    assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (stream.headers["Cache-Control"], stream.headers["X-Accel-Buffering"]) == (
        "no-cache",
        "no",
    )
    assert is_whole(stream.text)
    assert (stream.finish_reasons, stream.done, stream.error) == (["stop"], True, None)
    assert stream.raw[-2:] == [b"data: [DONE]", b""]
    assert "stream=True" in lines[0]
    all_free(router)


def test_events_come_as_they_are_generated(router: RouterProcess, sim: Simulator) -> None:
    """Nothing is held back: events come one by one, not in a heap at the end."""
    stream = Stream(router, body(steer("Slowly", primary={"tokens": 20, "tps": 20}), **PRIMARY))
    gaps, last = [], time.monotonic()
    for _ in stream:
        now = time.monotonic()
        gaps.append(now - last)
        last = now
    stream.close()
    assert sum(1 for gap in gaps if gap > 0.02) >= 12
    assert is_whole(stream.text)


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("model", ["ai-router/primary", "ai-router/xai", "ai-router"])
def test_the_usage_chunk_comes_only_when_it_was_asked_for(
    router: RouterProcess, sim: Simulator, asked: bool, model: str
) -> None:
    """The router always learns the usage; the client gets its chunk only if it asked with
    include_usage."""
    options = {"stream_options": {"include_usage": True}} if asked else {}
    stream = Stream(router, body("Hello", model=model, **options)).read()
    chunks = [event for event in stream.events if event.get("usage")]
    assert len(chunks) == (1 if asked else 0)
    assert all(event["choices"] for event in stream.events if event not in chunks)
    assert (
        session_file(router, stream.headers["X-Router-Session"])["usage"]["completion_tokens"] == 20
    )


CLUMSY = [
    "dribble",
    "crlf",
    "merged",
    "keepalive_comments",
    "finish_in_content_chunk",
    "no_done",
    "garbage_event",
    "wrong_content_type",
]


@pytest.mark.parametrize("fault", CLUMSY)
def test_a_clumsy_backend_makes_no_difference(
    router: RouterProcess, sim: Simulator, fault: str
) -> None:
    """However a backend cuts, joins or ends its events, the client's stream is whole."""
    stream = Stream(router, body(steer("Hello", primary={"fault": fault}), **PRIMARY)).read()
    assert is_whole(stream.text)
    assert (stream.finish_reasons, stream.done, stream.error) == (["stop"], True, None)


@pytest.mark.parametrize("fault", ["cut", "cut_clean", "error_event"])
def test_an_answer_that_breaks_off_is_said_to_be_incomplete(
    router: RouterProcess, sim: Simulator, fault: str
) -> None:
    """After the first content an error is the stream's last event, without [DONE], and recorded as
    truncated."""
    with counted(router, 1) as lines:
        stream = Stream(
            router, body(steer("Hello", primary={"fault": fault, "tokens": 30}), **PRIMARY)
        ).read()
    assert stream.status == 200
    assert stream.text
    assert not stream.done
    assert stream.error is not None
    assert sum(1 for event in stream.events if "error" in event) == 1
    assert "outcome=truncated" in lines[0]
    all_free(router)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("reset", 502),
        ("role_only_then_cut", 502),
        ("early_close_after_headers", 502),
        ("empty_200", 502),
        ("html", 502),
        ({"name": "error_event", "after_chunks": 0}, 500),
        ({"name": "error_status", "status": 400}, 400),
        ({"name": "error_status", "status": 503}, 503),
        ("slow_first_token", 504),
        ("hang", 504),
    ],
    ids=str,
)
def test_before_the_first_content_an_error_is_a_status(
    strict_router: RouterProcess, sim: Simulator, fault: str | dict[str, object], status: int
) -> None:
    """Nothing is committed before there is content: until then a failure is an HTTP status with
    OpenAI's error, never a stream."""
    stream = Stream(strict_router, body(steer("Hello", primary={"fault": fault}), **PRIMARY))
    assert stream.status == status
    assert stream.headers["Content-Type"] == "application/json"
    assert error_of(stream.response)
    all_free(strict_router)


def test_a_stall_ends_at_the_idle_limit(impatient_router: RouterProcess, sim: Simulator) -> None:
    """A backend that falls silent in mid-answer ends the stream with an error event at the idle
    limit, and is let go."""
    stream = Stream(
        impatient_router, body(steer("Hello", primary={"fault": "stall"}), **PRIMARY)
    ).read()
    assert stream.text
    assert stream.error is not None
    assert stream.error["code"] == "upstream_timeout"
    sim.wait_for("primary", aborted=1)
    all_free(impatient_router)


def test_slowness_is_not_silence(impatient_router: RouterProcess, sim: Simulator) -> None:
    """An answer that takes longer than any single limit but never pauses is not cut."""
    stream = Stream(
        impatient_router, body(steer("Hello", primary={"tokens": 20, "tps": 12}), **PRIMARY)
    ).read()
    assert is_whole(stream.text)
    assert stream.done


def test_a_waiting_client_gets_comments_and_then_its_answer(
    impatient_router: RouterProcess, sim: Simulator
) -> None:
    """Past keepalive_after the stream is opened with comments; the answer follows on it."""
    stream = Stream(
        impatient_router, body(steer("Hello", primary={"ttft_ms": 900}), **PRIMARY)
    ).read()
    assert stream.status == 200
    assert len(stream.comments) >= 2
    assert is_whole(stream.text)
    assert stream.done
    assert stream.headers["X-Router-Session"]


def test_a_waiting_client_gets_comments_and_then_the_error(
    impatient_router: RouterProcess, sim: Simulator
) -> None:
    """Once the stream is open an error can only be its last event."""
    with counted(impatient_router, 1) as lines:
        stream = Stream(
            impatient_router, body(steer("Hello", primary={"fault": "hang"}), **PRIMARY)
        ).read()
    assert stream.status == 200
    assert stream.comments
    assert not stream.done
    assert stream.error is not None
    assert stream.error["code"] == "upstream_timeout"
    assert "outcome=upstream_error" in lines[0]
    all_free(impatient_router)


def test_comments_also_bridge_a_slow_decision(
    impatient_router: RouterProcess, sim: Simulator
) -> None:
    """While the classifier thinks, a streaming client hears comments, and no byte of the
    speculation."""
    payload = body(steer("Prove it", router={"ttft_ms": 600}, primary={"text": "from the primary"}))
    stream = Stream(impatient_router, payload).read()
    assert stream.comments
    assert is_whole(stream.text)
    assert "from the primary" not in stream.text


def test_several_choices_stream_side_by_side(router: RouterProcess, sim: Simulator) -> None:
    """n > 1 streams every choice to its end."""
    stream = Stream(router, body("Hello", n=3, logprobs=True, **PRIMARY)).read()
    assert {choice["index"] for event in stream.events for choice in event["choices"]} == {0, 1, 2}
    assert stream.finish_reasons == ["stop"] * 3
    assert stream.done


def test_text_completions_stream_too(router: RouterProcess, sim: Simulator) -> None:
    """/v1/completions streams its text to the end."""
    stream = Stream(router, {"prompt": "Once upon a time"}, path="/v1/completions").read()
    assert is_whole(stream.text)
    assert stream.done


def test_a_slow_reader_does_not_make_the_router_read_ahead_without_bound(make_router) -> None:
    """A client that does not read holds the backend back, too; when it reads on, it gets all."""
    flood = Flood()
    with ScriptedBackend(flood) as scripted:
        router = make_router(
            config={"backends": {"primary": {"model": "m"}}},
            urls={"primary": scripted.url},
            warm=False,
        )
        stream = Stream(router, body("Hello", **PRIMARY))
        assert flood.held_back.wait(30)
        assert flood.sent < flood.events
        assert stream.read().text == flood.whole
        assert stream.done


def test_many_streams_at_once_are_all_whole(make_router, sim: Simulator) -> None:
    """Forty streams side by side are each whole, and no slot stays behind."""
    router = make_router(config={"backends": {"primary": {"slots": 64}}})
    payload = body(steer("Hello", primary={"tokens": 20, "tps": 40}), **PRIMARY)
    streams = [Stream(router, payload) for _ in range(40)]
    assert all(is_whole(stream.read().text) and stream.done for stream in streams)
    all_free(router)
