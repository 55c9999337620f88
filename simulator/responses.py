"""POST /v1/responses with web search, as in xAI and OpenAI."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import orjson

from simulator.answer import send_body
from simulator.prompts import Prompt, check_length, check_model, limit_of
from simulator.role import Exchange
from simulator.text import WORDS, count_tokens
from simulator.wire import Sent

_ids = itertools.count(1)
_SEARCH_TOOLS = ("web_search", "web_search_preview", "x_search", "live_search")


async def responses(ex: Exchange, prompt: Prompt) -> Sent:
    model = check_model(ex.role, ex.body)
    limit = limit_of(ex.body, "max_output_tokens")
    check_length(ex.role, prompt, limit)
    tools = ex.body.get("tools")
    searches = isinstance(tools, list) and any(
        isinstance(tool, dict) and str(tool.get("type", "")).startswith(_SEARCH_TOOLS)
        for tool in tools
    )
    slots = ex.role.slots
    await ex.take_slot()
    try:
        ex.phase = "before_headers"
        profile = ex.role.profile
        wait = ex.number("search_ms" if searches else "ttft_ms")
        if wait is None:
            wait = ex.role.draw(profile.search_ms if searches else profile.ttft_nonstream_ms)
        if "slow_first_token" in ex.faults:
            wait += float(ex.faults["slow_first_token"]["ms"])
        if wait > 0:
            await asyncio.sleep(wait / 1000)
        ex.role.stats.searches += searches
        body = _body(ex, prompt, model, limit, searches)
        ex.generated(body["usage"]["output_tokens"])
        return await send_body(ex, 200, orjson.dumps(body))
    finally:
        slots.release()


def _body(
    ex: Exchange, prompt: Prompt, model: str, limit: int | None, searches: bool
) -> dict[str, Any]:
    number = next(_ids)
    blocks, cut = _texts(ex, prompt, limit)
    output: list[dict[str, Any]] = []
    if searches:
        output.append(
            {
                "id": f"ws_sim_{number:08x}",
                "type": "web_search_call",
                "status": "completed",
                "action": {"type": "search", "query": prompt.last_user},
            }
        )
    content = [
        {
            "type": "output_text",
            "text": text,
            "annotations": _citation(text, index) if searches else [],
        }
        for index, text in enumerate(blocks)
    ]
    output.append(
        {
            "id": f"msg_sim_{number:08x}",
            "type": "message",
            "role": "assistant",
            "status": "incomplete" if cut else "completed",
            "content": content,
        }
    )
    tokens = count_tokens("".join(blocks))
    return {
        "id": f"resp_sim_{number:08x}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "model": model,
        "system_fingerprint": "simulated",
        "output": output,
        "usage": {
            "input_tokens": prompt.tokens,
            "output_tokens": tokens,
            "total_tokens": prompt.tokens + tokens,
        },
    }


def _texts(ex: Exchange, prompt: Prompt, limit: int | None) -> tuple[list[str], bool]:
    """The blocks of the message, and whether the limit truncated them."""
    given = ex.sim.get("text")
    if isinstance(given, str):
        blocks = [given]
    elif ex.role.profile.readable:
        blocks = [
            f"These are simulated search results for: {prompt.last_user}\n\n",
            "Nothing was searched for; both findings are made up.\n"
            "1. The first page says that the question has been asked before.\n"
            "2. The second page agrees with the first, and adds a date.\n\n",
            "Simulated sources: https://example.com/1 https://example.com/2",
        ]
    else:
        facts = " ".join(f"{WORDS[i % len(WORDS)]}{i}" for i in range(1, 21))
        blocks = [
            f"These are simulated search results for: {prompt.last_user}\n",
            f"Simulated finding: {facts}.\n",
            "Simulated sources: https://example.com/1 https://example.com/2",
        ]
    if limit is None:
        return blocks, False
    left = limit * 4  # bytes, by the same measure as count_tokens
    kept: list[str] = []
    for text in blocks:
        data = text.encode()
        if len(data) > left:
            if left:
                kept.append(data[:left].decode("utf-8", "ignore"))
            return kept, True
        kept.append(text)
        left -= len(data)
    return kept, False


def _citation(text: str, index: int) -> list[dict[str, Any]]:
    return [
        {
            "type": "url_citation",
            "url": f"https://example.com/{index + 1}",
            "title": f"Simulated source {index + 1}",
            "start_index": 0,
            "end_index": len(text),
        }
    ]
