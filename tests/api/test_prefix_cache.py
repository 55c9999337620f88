"""What a backend's prefix cache keeps of a conversation, and the seconds that it saves."""

from __future__ import annotations

from typing import Any

import pytest
from harness import counted, eventually

from airouter.sessions.find import Filter, Requests
from airouter.sessions.stats import as_json, collect
from bench.router_process import RouterProcess
from simulator.testing import Simulator
from simulator.text import MESSAGE_TOKENS
from tests import claude_code
from tests.dialects.anthropic_events import message_of

TURNS = 20


@pytest.mark.parametrize("native", [False, True])
def test_twenty_turns_with_another_head_each(
    make_router: Any, router: RouterProcess, sim: Simulator, native: bool
) -> None:
    """A billing line and a clock that change: of what the turn before had, 98 % are cached,
    whether the backend gets a translation or the request itself. The index has the tokens, and
    `sessions stats` the seconds."""
    config: dict[str, Any] = {"date_context": False}
    urls = {}
    if native:  # a server with this API: another router, which changes nothing
        plain = {"backends": {"primary": {"prefix_guard": False, "date_context": False}}}
        behind = make_router(config=plain)
        config |= {"kind": "anthropic", "model": "ai-router/primary"}
        urls = {"primary": behind.url}
    before = make_router(config={"backends": {"primary": config}}, urls=urls, warm=False)
    turn = claude_code.turn(model="ai-router/primary")
    sent = cached = 0
    with counted(before, TURNS):
        for number in range(TURNS):
            clock = claude_code.text(f"Current time: 12:{number:02}:55")
            payload = {**turn, "system": [turn["system"][0], clock, *turn["system"][1:]]}
            answer = before.post("/v1/messages", payload)
            usage = message_of(answer.content)["usage"]
            assert "clock" in answer.headers["X-Router-Adjusted"]
            assert usage["cache_read_input_tokens"] >= 0.98 * sent, number
            cached += usage["cache_read_input_tokens"]
            # The simulator's cache holds texts, without what a template puts around messages.
            around = MESSAGE_TOKENS * (len(turn["messages"]) + 1)
            sent = usage["input_tokens"] + usage["cache_read_input_tokens"] - around
            turn = claude_code.tool_result(turn, f"toolu_{number}", f"line {number}\n" * 100)
    assert before.log_dir is not None
    found: Any = eventually(lambda: _stats(before) if _stats(before)["requests"] == TURNS else None)
    speed = found["prefill_tokens_per_s"]["primary"]
    assert found["all"]["tokens_cached"] == cached
    assert found["all"]["cache_saved_ms"] == pytest.approx(1000 * cached / speed)


def _stats(router: RouterProcess) -> Any:
    return as_json(collect(Requests(router.log_dir).rows(Filter())))
