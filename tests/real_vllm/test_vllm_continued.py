"""A connection breaks in mid-stream: what follows is vLLM's own text, or an error; both rounds."""

from __future__ import annotations

import pytest
from harness import Stream, session_file
from real_vllm.asking import chat
from real_vllm.served import Engine, Tap
from real_vllm.tiny_model import THOUGHT

from bench.router_process import RouterProcess

pytestmark = pytest.mark.real_vllm

LETTERS = 200
PLAIN = chat(max_tokens=LETTERS)
THOUGHTFUL = chat(max_tokens=LETTERS, chat_template_kwargs={"enable_thinking": True})


def cut(router: RouterProcess, tap: Tap, ask: dict[str, object]) -> Stream:
    """The stream of an answer whose connection broke after 60 or so of its letters."""
    tap.forget()
    tap.cut_after = 20_000
    stream = Stream(router, ask, X_Router_Route="primary").read()
    assert tap.cut_after is None
    return stream


def uncut(engine: Engine, ask: dict[str, object]) -> str:
    answer = engine.post("/v1/chat/completions", {"model": engine.name, **ask}).json()
    return str(answer["choices"][0]["message"]["content"])


def test_it_is_continued_to_the_letter(
    tapped_router: RouterProcess, tap: Tap, engine: Engine
) -> None:
    stream = cut(tapped_router, tap, PLAIN)
    session = str(session_file(tapped_router, stream.headers["X-Router-Session"]))
    assert "continued by primary" in session
    assert stream.text == uncut(engine, PLAIN)
    assert len(stream.text) == LETTERS
    assert stream.finish_reasons == ["length"]
    assert stream.done


def test_no_other_text_follows_a_thought(
    tapped_router: RouterProcess, tap: Tap, engine: Engine
) -> None:
    """Without a parser the thought is part of the text; its `<think>` stands in the prompt."""
    whole = uncut(engine, THOUGHTFUL)
    stream = cut(tapped_router, tap, THOUGHTFUL)
    said = stream.text
    if THOUGHT in whole:
        assert whole.startswith(said), "it was continued with another text"
    if said != whole:
        assert stream.error is not None or stream.finish_reasons
