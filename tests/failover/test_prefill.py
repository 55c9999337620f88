"""Backends other than vLLM go on with a cut answer from a last message of the assistant's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from harness import Stream, body
from scripted_backend import Asked, ScriptedBackend

from bench.router_process import RouterProcess

WORDS = ("One ", "two ", "three ", "four ", "five.")
WHOLE = "".join(WORDS)
Start = Callable[..., tuple[RouterProcess, list[ScriptedBackend]]]


@pytest.fixture
def start(make_router: Callable[..., RouterProcess]) -> Iterator[Start]:
    """A router before scripted backends in this order, each with `continues: prefill`."""
    with ExitStack() as stack:

        def begin(*scripts: Any, **settings: Any) -> tuple[RouterProcess, list[ScriptedBackend]]:
            backends = [stack.enter_context(ScriptedBackend(script)) for script in scripts]
            names = ["primary", "second", "third"][: len(backends)]
            spec = {"kind": "openai", "model": "m", "continues": "prefill", **settings}
            config = {
                "backends": {
                    name: {**spec, "url": backend.url}
                    for name, backend in zip(names, backends, strict=True)
                },
                "routes": {"primary": {"backends": names}},
                "cascade": {"tiers": ["rules"]},
                "speculation": {"enabled": False},
                "probes": {"enabled": False},
            }
            return make_router(config=config, backends=(), warm=False), backends

        yield begin


def breaks(asked: Asked) -> None:
    """Breaks off after two words, and cannot go on."""
    if asked.prefill is not None:
        asked.refuse(503, "overloaded")
    else:
        asked.stream(*WORDS[:2], finish=False)


def goes_on(asked: Asked) -> None:
    said = asked.prefill or ""
    asked.stream(*(word for word in WORDS if WHOLE.find(word) >= len(said)))


def repeats(asked: Asked) -> None:
    asked.stream(*WORDS)


def refuses(asked: Asked) -> None:
    asked.refuse(400, "the last message must be the user's")


def ask(router: RouterProcess, **fields: Any) -> Stream:
    return Stream(router, body("Count", model="ai-router", **fields)).read()


@pytest.mark.parametrize("second", [goes_on, repeats])
def test_the_rest_comes_from_the_next_backend(start: Start, second: Any) -> None:
    """Whether it goes on behind the text or begins with it again: every word once."""
    router, (_, other) = start(breaks, second)
    stream = ask(router)
    assert (stream.text, stream.done, stream.error) == (WHOLE, True, None)
    assert other.asked[-1]["messages"][-1] == {"role": "assistant", "content": "One two "}
    assert "continue_final_message" not in other.asked[-1]


def test_a_refused_prefill_falls_through_to_the_next(start: Start) -> None:
    """One backend that takes no beginning is no reason to give up."""
    router, (_, second, third) = start(breaks, refuses, goes_on)
    stream = ask(router)
    assert (stream.text, stream.done) == (WHOLE, True)
    assert len(second.asked) == 1
    assert len(third.asked) == 1


def test_when_none_can_go_on_it_is_said(start: Start) -> None:
    """The client is not left with half an answer that looks whole."""
    router, _ = start(breaks, refuses)
    stream = ask(router)
    assert (stream.done, stream.text) == (False, "One two ")
    assert stream.error is not None


def test_the_tokens_left_are_estimated(start: Start) -> None:
    """Such a backend cannot count; an event is about a token."""
    router, (_, other) = start(breaks, goes_on)
    assert ask(router, max_tokens=100).done
    assert other.asked[-1]["max_tokens"] == 98


def test_a_gap_in_mid_stream_is_filled(start: Start) -> None:
    """An event that cannot be read may have held text: it is asked for again, not skipped."""

    def garbles(asked: Asked) -> None:
        if asked.prefill is not None:
            return goes_on(asked)
        asked.stream(*WORDS[:2], finish=False)
        asked.raw(b'data: {"choices":[{"index":0,"delta":{"cont\n\n')
        asked.event({"content": WORDS[3]})
        asked.event({"content": WORDS[4]})
        asked.event({}, "stop")
        asked.raw(b"data: [DONE]\n\n")
        return None

    router, _ = start(garbles)
    stream = ask(router)
    assert (stream.text, stream.done, stream.error) == (WHOLE, True, None)
    router, _ = start(garbles, continues="none")
    stream = ask(router)
    assert stream.text == WHOLE.replace("three ", "")
    assert stream.error is not None
    assert not stream.done


def test_the_first_byte_is_not_awaited_for_ever(start: Start) -> None:
    """While another backend can answer, a silent one is given up early; the last one is not."""

    def slow(asked: Asked) -> None:
        release.wait(20)
        asked.stream(*WORDS)

    release = threading.Event()
    router, (first, _) = start(slow, goes_on, first_byte_failover=0.5, first_byte_timeout=15)
    stream = ask(router)
    assert (stream.text, stream.headers["X-Router-Backend"]) == (WHOLE, "second")
    assert stream.first_after is not None
    assert stream.first_after < 8
    assert len(first.asked) == 1
    threading.Timer(1.5, release.set).start()
    router, _ = start(slow, first_byte_failover=0.5, first_byte_timeout=15)
    assert ask(router).text == WHOLE


def test_a_reason_to_finish_with_each_word_ends_nothing(start: Start) -> None:
    """Some servers give one with each piece: what comes behind it is the client's all the same."""

    def reasons(asked: Asked) -> None:
        asked.stream(finish=False)
        for word in WORDS:
            asked.event({"content": word}, "stop")
            time.sleep(0.7)
        asked.raw(b"data: [DONE]\n\n")

    router, (only,) = start(reasons)
    stream = ask(router)
    assert (stream.text, stream.done, stream.error) == (WHOLE, True, None)
    assert len(only.asked) == 1
