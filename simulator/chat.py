"""POST /v1/chat/completions and /v1/completions."""

from __future__ import annotations

import asyncio

from simulator import shapes
from simulator.answer import send_body
from simulator.generation import Generation, plan
from simulator.prompts import (
    Prompt,
    bad_request,
    check_length,
    check_model,
    limit_of,
)
from simulator.role import Exchange
from simulator.stream import break_events, content_type, events_of, extra_headers, play
from simulator.wire import Sent


async def chat_completions(ex: Exchange, prompt: Prompt) -> Sent:
    model = check_model(ex.role, ex.body)
    limit = limit_of(ex.body, "max_completion_tokens", "max_tokens")
    return await _complete(ex, prompt, model, limit, chat=True)


async def completions(ex: Exchange, prompt: Prompt) -> Sent:
    model = check_model(ex.role, ex.body)
    return await _complete(ex, prompt, model, limit_of(ex.body, "max_tokens"), chat=False)


async def _complete(
    ex: Exchange, prompt: Prompt, model: str, limit: int | None, chat: bool
) -> Sent:
    check_length(ex.role, prompt, limit)
    count = ex.body.get("n", 1)
    if count is None:
        count = 1
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 128:
        raise bad_request(f"n must be at least 1, got {count}.", "n")
    stream = bool(ex.body.get("stream"))
    head = b""
    if stream:
        head = ex.wire.head(200, content_type(ex), None, extra_headers(ex))
        if ex.role.profile.early_headers:
            ex.wire.transport.write(head)
            ex.wire.headers_sent = True
            head = b""
    slots = ex.role.slots
    await ex.take_slot()
    try:
        ex.phase = "streaming" if ex.wire.headers_sent else "before_headers"
        # Planned only now, so that a request that waited benefits from prefixes cached meanwhile.
        start = ex.loop.time()
        generations = [plan(ex, prompt, model, limit, index, stream) for index in range(count)]
        shape = shapes.new_shape(
            chat,
            model,
            ex.body,
            ex.sim.get("label_probabilities"),
            ex.role.profile.reasoning_parser,
        )
        if stream:
            if "dribble" in ex.faults:
                ex.wire.dribble()
            events, clean = break_events(ex, events_of(ex, shape, generations))
            return await play(ex, events, clean, head, start)
        await _generate(ex, generations, start)
        return await send_body(
            ex, 200, shapes.whole(shape, generations, "usage_missing" not in ex.faults)
        )
    finally:
        slots.release()


async def _generate(ex: Exchange, generations: list[Generation], start: float) -> None:
    """Wait as long as generation takes; on a disconnect, count the tokens generated so far."""
    total = max(generation.due(len(generation.pieces)) for generation in generations)
    if total > 0:
        try:
            await asyncio.sleep(start + total - ex.loop.time())
        except asyncio.CancelledError:
            elapsed = ex.loop.time() - start
            ex.generated(sum(generation.ready_by(elapsed) for generation in generations))
            raise
    ex.generated(sum(len(generation.pieces) for generation in generations))
