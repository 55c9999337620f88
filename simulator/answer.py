"""Sends complete answers, and faults in place of an answer."""

from __future__ import annotations

import asyncio

import orjson

from simulator.errors import error_object
from simulator.role import Exchange, never
from simulator.stream import content_type, extra_headers
from simulator.wire import JSON, Sent

_HTML = (
    b"<!doctype html><html><head><title>Simulated page</title></head>"
    b"<body><h1>Simulated</h1></body></html>\n"
)


async def send_body(
    ex: Exchange,
    status: int,
    body: bytes,
    kind: str = JSON,
    headers: dict[str, str] | None = None,
) -> Sent:
    """One response of known length, with the faults that fit it."""
    wire, faults = ex.wire, ex.faults
    if not faults:
        await wire.send(wire.head(status, kind, len(body), headers), body)
        return Sent(wire.keep_alive)
    head = wire.head(
        status, content_type(ex, kind), len(body), {**(headers or {}), **extra_headers(ex)}
    )
    if "early_close_after_headers" in faults or "role_only_then_cut" in faults:
        wire.transport.write(head)
        return Sent(keep_alive=False)
    half = body[: len(body) // 2]
    if "truncated_json" in faults or "cut" in faults:
        wire.transport.write(head + half)
        return Sent(keep_alive=False)
    if "stall" in faults:
        wire.transport.write(head + half)
        ex.phase = "streaming"
        pause = faults["stall"]["ms"]
        if pause is None:
            await never()
        await asyncio.sleep(float(pause) / 1000)
        wire.transport.write(body[len(half) :])
        return Sent(wire.keep_alive)
    if "cut_clean" in faults:
        body = half
        head = wire.head(status, content_type(ex, kind), len(body), headers)
    if "dribble" in faults:
        wire.dribble()
    await wire.send(head, body)
    return Sent(wire.keep_alive)


async def send_error(
    ex: Exchange,
    status: int,
    message: str,
    headers: dict[str, str] | None = None,
    code: str | None = None,
) -> Sent:
    body = orjson.dumps({"error": error_object(ex.role.profile.kind, status, message, code=code)})
    return await send_body(ex, status, body, headers=headers)


async def instead_of_answer(ex: Exchange) -> Sent | None:
    """The faults that show before any answer is thought of."""
    faults, wire = ex.faults, ex.wire
    if "reset" in faults:
        wire.reset()
        return Sent(keep_alive=False)
    if "hang" in faults:
        await never()
    if "hang_headers" in faults:
        await _drip_headers(ex)
    if "loading" in faults:
        return await send_error(ex, 503, "The model is still loading (simulated).")
    if "error_status" in faults:
        return await _error_status(ex)
    if "html" in faults:
        return await send_body(ex, int(faults["html"]["status"]), _HTML, "text/html; charset=utf-8")
    if "empty_200" in faults:
        return await send_body(ex, 200, b"")
    return None


async def _drip_headers(ex: Exchange) -> None:
    interval = float(ex.faults["hang_headers"]["interval_ms"]) / 1000
    # Endless headers: a client with only a per-read timeout waits forever.
    ex.wire.transport.write(b"H")
    for byte in b"TTP/1.1 200 OK\r\nX-Slow: ":
        await asyncio.sleep(interval)
        ex.wire.transport.write(bytes((byte,)))
    while True:
        await asyncio.sleep(interval)
        ex.wire.transport.write(b"x")


async def _error_status(ex: Exchange) -> Sent:
    params = ex.faults["error_status"]
    status = int(params["status"])
    headers = {} if params["retry_after"] is None else {"Retry-After": str(params["retry_after"])}
    body = params["body"]
    if body is None:
        code = "rate_limit_exceeded" if status == 429 else None
        return await send_error(ex, status, f"Simulated error {status}", headers, code)
    if isinstance(body, str):
        return await send_body(ex, status, body.encode(), "text/plain; charset=utf-8", headers)
    return await send_body(ex, status, orjson.dumps(body), headers=headers)
