"""POST /v1/embeddings: deterministic embeddings; texts with common words have similar
embeddings."""

from __future__ import annotations

import asyncio
import base64
import math
import random
import re
import struct
import zlib
from functools import lru_cache
from typing import Any

import orjson

from simulator.answer import send_body
from simulator.errors import ApiError
from simulator.prompts import bad_request, check_model
from simulator.role import Exchange
from simulator.text import count_tokens
from simulator.wire import Sent

_WORD = re.compile(r"\w+")


@lru_cache(maxsize=4096)
def _word_vector(word: str, size: int) -> tuple[float, ...]:
    source = random.Random(zlib.crc32(word.encode()))
    return tuple(source.gauss(0, 1) for _ in range(size))


def embed(text: str, size: int) -> list[float]:
    total = [0.0] * size
    for word in _WORD.findall(text.lower())[:512] or [text]:
        total = [a + b for a, b in zip(total, _word_vector(word, size), strict=True)]
    norm = math.sqrt(sum(value * value for value in total)) or 1.0
    return [value / norm for value in total]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(item, str) for item in value):
            return list(value)
        if all(isinstance(item, int) for item in value):
            return [" ".join(map(str, value))]
        if all(isinstance(item, list) for item in value):
            return [" ".join(map(str, item)) for item in value]
    raise bad_request(
        "1 validation error: input must be a string, a list of strings or token ids", "input"
    )


async def embeddings(ex: Exchange) -> Sent:
    model = check_model(ex.role, ex.body)
    texts = _texts(ex.body.get("input"))
    most = ex.role.profile.max_inputs
    if most and len(texts) > most:
        raise ApiError(413, f"batch size {len(texts)} > maximum allowed batch size {most}")
    size = ex.body.get("dimensions") or ex.role.profile.embedding_dim
    if not isinstance(size, int) or not 1 <= size <= 8192:
        raise bad_request("dimensions must be between 1 and 8192", "dimensions")
    encoding = ex.body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise bad_request("encoding_format must be float or base64", "encoding_format")
    slots = ex.role.slots
    await ex.take_slot()
    try:
        ex.phase = "before_headers"
        tokens = sum(count_tokens(text) for text in texts)
        wait = ex.number("ttft_ms")
        if wait is None:
            wait = ex.role.draw(ex.role.profile.ttft_nonstream_ms)
            if ex.role.profile.prefill_tps:
                wait += tokens / ex.role.profile.prefill_tps * 1000
        if wait > 0:
            await asyncio.sleep(wait / 1000)
        data = []
        for index, text in enumerate(texts):
            vector: Any = embed(text, size)
            if encoding == "base64":
                vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return await send_body(
            ex, 200, orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})
        )
    finally:
        slots.release()
