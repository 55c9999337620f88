"""A stream that breaks off after content went out: continued whole where that is sound, honestly
ended where it is not."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Stream, all_free, asked, body, eventually, is_whole, session_file
from resilience_harness import CHAIN_MODEL, backend, started

from bench.router_process import RouterProcess
from simulator.testing import Simulator, answer_numbers

ALL = 20  # tokens of a simulated answer


def streamed(router: RouterProcess, **fields: Any) -> Stream:
    return Stream(router, body("Tell me", **CHAIN_MODEL, **fields)).read()


def continuations(sim: Simulator, role: str) -> list[dict[str, Any]]:
    return [sent for sent in asked(sim, role) if sent.get("continue_final_message")]


def whole(stream: Stream) -> None:
    """One answer, as if nothing had happened: every word once, one id, one role, one end."""
    assert is_whole(stream.text), stream.text
    assert (stream.finish_reasons, stream.done, stream.error) == (["stop"], True, None)
    assert len({event["id"] for event in stream.events}) == 1
    roles = [c for event in stream.events for c in event["choices"] if c["delta"].get("role")]
    assert len(roles) == 1
    assert not any(event.get("usage") for event in stream.events)


@pytest.mark.parametrize("after", [1, 5, ALL - 1])
@pytest.mark.parametrize("fault", ["cut", "cut_clean", "error_event"])
def test_a_cut_stream_is_continued(
    chained: RouterProcess, sim: Simulator, fault: str, after: int
) -> None:
    """The same backend goes on from the text so far; the client sees one whole answer, and no usage
    of a part."""
    sim.fault("primary", fault, after_chunks=after, times=1)
    stream = streamed(chained, stream_options={"include_usage": True})
    whole(stream)
    (request,) = continuations(sim, "primary")
    assert request["messages"][-1]["role"] == "assistant"
    assert stream.text.startswith(request["messages"][-1]["content"])
    assert request["add_generation_prompt"] is False
    assert started(sim, "primary") == 2
    told = session_file(chained, stream.headers["X-Router-Session"])
    assert told["outcome"] == "ok"
    assert told["usage"] is None
    all_free(chained)


def test_a_stalled_stream_is_continued_by_the_next(chained: RouterProcess, sim: Simulator) -> None:
    """A backend that hangs is not retried; another one that supports it continues."""
    sim.fault("primary", "stall", after_chunks=12)
    stream = streamed(chained)
    assert started(sim, "primary") == 1
    assert len(continuations(sim, "embedding")) == 1
    assert is_whole(stream.text)
    assert (stream.finish_reasons, stream.done, stream.error) == (["stop"], True, None)
    assert len({event["id"] for event in stream.events}) == 1
    sim.wait_for("primary", aborted=1)
    all_free(chained)


def test_who_was_asked_to_continue_and_failed_is_among_the_attempts(
    chained: RouterProcess, sim: Simulator
) -> None:
    """The session file names every request that a backend has seen."""
    sim.fault("primary", "cut", after_chunks=12, times=1)
    sim.fault("primary", "error_status", status=503, skip=1)
    stream = streamed(chained)
    assert is_whole(stream.text)
    attempts = session_file(chained, stream.headers["X-Router-Session"])["attempts"]
    names = [attempt.partition(":")[0] for attempt in attempts]
    assert [names[0], names[1]] == ["primary", "primary"]
    assert len(names) == 3
    assert attempts[1].endswith("not continued")
    assert attempts[2].endswith("continued")
    assert started(sim, "primary") == 2


def test_the_tokens_that_are_left(chained: RouterProcess, sim: Simulator) -> None:
    """The continuation may use what the beginning has not used up."""
    sim.fault("primary", "cut", after_chunks=10, times=1)
    whole(streamed(chained, max_tokens=500))
    (request,) = continuations(sim, "primary")
    assert 400 < request["max_tokens"] < 500


def test_it_is_continued_twice_at_most(chained: RouterProcess, sim: Simulator) -> None:
    """A backend that breaks off again and again does not get the same answer for ever."""
    sim.fault("primary", "cut", after_chunks=3, times=2)
    whole(streamed(chained))
    assert started(sim, "primary") == 3
    sim.fault("primary", "cut", after_chunks=5)
    sim.fault("embedding", "cut", after_chunks=2)
    stream = streamed(chained)
    assert not stream.done
    assert stream.error is not None
    numbers = answer_numbers(stream.text)
    assert numbers == list(range(1, len(numbers) + 1))
    all_free(chained)


UNSOUND: dict[str, dict[str, Any]] = {
    "tools": {
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
        "tool_choice": "none",
    },
    "logprobs": {"logprobs": True},
    "two choices": {"n": 2},
    "a format": {"response_format": {"type": "json_object"}},
    "a constraint": {"guided_regex": "[a-z]+"},
}


@pytest.mark.parametrize("name", UNSOUND)
@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_where_it_is_not_sound_it_ends_with_an_error(
    chained: RouterProcess, sim: Simulator, name: str, fault: str
) -> None:
    """No [DONE], no second attempt: the last event says that the answer is not complete."""
    sim.fault("primary", fault, after_chunks=4)
    stream = streamed(chained, **UNSOUND[name])
    assert not stream.done
    assert stream.error is not None
    assert sum("error" in event for event in stream.events) == 1
    assert started(sim, "primary") == 1
    assert started(sim, "embedding") + started(sim, "xai") == 0
    assert session_file(chained, stream.headers["X-Router-Session"])["outcome"] == "truncated"
    all_free(chained)


@pytest.mark.parametrize("field", ["reasoning_content", ""], ids=["a field", "a block in the text"])
def test_not_in_the_middle_of_reasoning(chained: RouterProcess, sim: Simulator, field: str) -> None:
    """What a model has thought so far cannot be given back to it."""
    sim.configure("primary", reasoning_field=field, think_tokens=12)
    sim.fault("primary", "cut", after_chunks=6)
    stream = streamed(chained)
    assert not stream.done
    assert stream.error is not None
    assert started(sim, "primary") == 1
    assert started(sim, "embedding") == 0


def test_after_reasoning_it_is(chained: RouterProcess, sim: Simulator) -> None:
    """Once the answer itself has begun, it can be continued."""
    sim.configure("primary", reasoning_field="reasoning_content", think_tokens=6)
    sim.fault("primary", "cut", after_chunks=12, times=1)
    whole(streamed(chained))


def test_a_garbage_event_is_dropped_and_counted(chained: RouterProcess, sim: Simulator) -> None:
    """An unreadable event does not reach the client and does not end the stream; the session says
    that there was one."""
    sim.fault("primary", "garbage_event")
    stream = streamed(chained)
    whole(stream)
    assert started(sim, "primary") == 1
    notes = session_file(chained, stream.headers["X-Router-Session"])["notes"]
    assert any("1 unreadable event" in note for note in notes)


def test_a_missing_done_is_added(chained: RouterProcess, sim: Simulator) -> None:
    """A complete answer without [DONE] gets one."""
    sim.fault("primary", "no_done")
    whole(streamed(chained))
    assert started(sim, "primary") == 1


def test_done_is_as_good_as_a_finish_reason(chained: RouterProcess, sim: Simulator) -> None:
    """Some servers never give a reason: their [DONE] is taken at its word, and they are asked
    once."""
    sim.fault("primary", "no_finish_reason_with_done")
    stream = streamed(chained)
    assert is_whole(stream.text)
    assert (stream.finish_reasons, stream.done, stream.error) == ([], True, None)
    assert started(sim, "primary") == 1
    assert backend(chained)["fails"] == 0


def test_every_choice_must_have_finished(chained: RouterProcess, sim: Simulator) -> None:
    """With two choices there are two reasons, and the stream ends behind the second."""
    stream = streamed(chained, n=2)
    assert (stream.finish_reasons, stream.done) == (["stop", "stop"], True)


def test_a_cloud_cannot_go_on(make_chain, sim: Simulator) -> None:
    """Where no other backend can be given the beginning of an answer, the stall ends with an error
    event."""
    router = make_chain("primary", "ollama", "xai")
    sim.fault("primary", "stall", after_chunks=5)
    stream = streamed(router)
    assert stream.error is not None
    assert not stream.done
    assert started(sim, "ollama") + started(sim, "xai") == 0


def test_a_cut_without_a_way_to_count_tokens(chained: RouterProcess, sim: Simulator) -> None:
    """If the remaining tokens are unknown, the client's limit is not guessed."""
    sim.fault("primary", "error_status", status=404, path="/tokenize")
    sim.fault("embedding", "error_status", status=404, path="/tokenize")
    sim.fault("primary", "cut", after_chunks=5, times=1)
    stream = streamed(chained, max_tokens=100)
    assert stream.error is not None
    assert not stream.done
    assert (started(sim, "primary"), started(sim, "embedding")) == (1, 0)
    assert backend(chained, "second")["fails"] == 0
    eventually(lambda: backend(chained)["in_use"] == 0)
