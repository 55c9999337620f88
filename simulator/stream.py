"""Streams: events with their due times, faults, and sending without drift."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace

import orjson

from simulator.errors import error_object
from simulator.generation import Generation
from simulator.role import Exchange, never
from simulator.shapes import Chunks, Shape
from simulator.wire import SSE, Sent

_DONE = b"data: [DONE]"


@dataclass(slots=True)
class Event:
    kind: str  # "role", "content", "finish", "usage", "done" or "other"
    data: bytes
    due: float  # seconds after the slot was granted
    tokens: int = 0


def events_of(ex: Exchange, shape: Shape, generations: list[Generation]) -> list[Event]:
    """The events of a successful answer."""
    kind = ex.role.profile.kind
    chunks = Chunks(shape, role_in_each=shape.chat and kind == "ollama")
    events: list[Event] = []
    first = generations[0].timing.first_s
    late = (
        float(ex.faults["slow_first_token"]["ms"]) / 1000
        if "slow_first_token" in ex.faults
        else 0.0
    )
    merge_finish = "finish_in_content_chunk" in ex.faults
    for index, generation in enumerate(generations):
        if shape.chat and kind != "ollama":
            events.append(_event("role", chunks.role(index), first))
        if generation.tool:
            events.append(_event("content", chunks.tool_start(generation, index), first + late))
    finished: list[Event] = []
    for index, generation in enumerate(generations):
        last = len(generation.pieces) - 1
        for position in range(last + 1):
            finish = generation.finish if merge_finish and position == last else None
            due = generation.due(position) + late
            events.append(
                _event("content", chunks.piece(generation, index, position, finish), due, 1)
            )
        if not merge_finish or last < 0:
            finished.append(
                _event(
                    "finish", chunks.finish(generation, index), generation.due(max(last, 0)) + late
                )
            )
    if len(generations) > 1:
        events.sort(key=lambda event: event.due)  # stable: the order within each choice stays
    end = events[-1].due if events else first
    events += sorted(finished, key=lambda event: event.due)
    options = ex.body.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage"):
        events.append(_event("usage", chunks.usage(generations), end))
    events.append(Event("done", _DONE, end))
    return events


def _event(kind: str, data: bytes, due: float, tokens: int = 0) -> Event:
    return Event(kind, b"data: " + data, due, tokens)


def break_events(ex: Exchange, events: list[Event]) -> tuple[list[Event], bool]:
    """The events after applying faults, and whether the body is terminated properly."""
    faults = ex.faults
    clean = True
    if "early_close_after_headers" in faults:
        return [], False
    if "role_only_then_cut" in faults:
        return [event for event in events if event.kind == "role"][:1], False
    if "garbage_event" in faults:
        at = _after_content(events, faults["garbage_event"]["after_chunks"])
        if faults["garbage_event"]["instead"] and at < len(events):
            lost = events[at]
            events[at] = replace(lost, kind="other", data=lost.data[: len(lost.data) // 2])
        else:
            due = events[at - 1].due if at else events[0].due
            events.insert(at, Event("other", b"data: {not json", due))
    if "error_event" in faults:
        at = _after_content(events, faults["error_event"]["after_chunks"])
        due = events[at - 1].due if at else events[0].due
        error = error_object(ex.role.profile.kind, 500, "Simulated error in the middle of a stream")
        events = [
            *events[:at],
            _event("other", orjson.dumps({"error": error}), due),
            Event("done", _DONE, due),
        ]
    for name in ("cut", "cut_clean"):
        if name in faults:
            del events[_after_content(events, faults[name]["after_chunks"]) :]
            clean = name == "cut_clean"
    unwanted = {
        "no_done": "done",
        "no_finish_reason_with_done": "finish",
        "usage_missing": "usage",
    }
    gone = {kind for name, kind in unwanted.items() if name in faults}
    if gone:
        events = [event for event in events if event.kind not in gone]
    if "stall" in faults:
        pause = faults["stall"]["ms"]
        seconds = math.inf if pause is None else float(pause) / 1000
        at = _after_content(events, faults["stall"]["after_chunks"])
        events = events[:at] + [replace(event, due=event.due + seconds) for event in events[at:]]
    if "keepalive_comments" in faults:
        events = _with_comments(events, max(1, int(faults["keepalive_comments"]["every"])))
    return events, clean


def _after_content(events: list[Event], count: int) -> int:
    """The index after content event number `count`; 0 means before the first one."""
    seen = 0
    for index, event in enumerate(events):
        if event.kind == "content":
            if seen >= count:
                return index
            seen += 1
            if seen == count:
                return index + 1
    return len(events)


def _with_comments(events: list[Event], every: int) -> list[Event]:
    result: list[Event] = []
    for index, event in enumerate(events):
        if index % every == 0:
            result.append(Event("other", b": ping", event.due))
        result.append(event)
    return result


async def play(ex: Exchange, events: list[Event], clean: bool, head: bytes, start: float) -> Sent:
    """Send each event at its due time from `start`; a late event does not delay the next."""
    wire, loop = ex.wire, ex.loop
    separator = b"\r\n\r\n" if "crlf" in ex.faults else b"\n\n"
    group = int(ex.faults["merged"]["events"]) if "merged" in ex.faults else 1
    position, total = 0, len(events)
    if not events:
        wire.transport.write(head)
        return Sent(keep_alive=False)
    while position < total:
        wait = start + events[position].due - loop.time()
        if wait > 0:
            if wait == math.inf:
                await never()
            await asyncio.sleep(wait)
        now = loop.time() - start
        end = position + 1
        while end < total and (
            events[end].due <= now or (end - position < group and events[end].due < math.inf)
        ):
            end += 1
        batch = events[position:end]
        pieces = [event.data + separator for event in batch]
        if group > 1:
            pieces = [b"".join(pieces[i : i + group]) for i in range(0, len(pieces), group)]
        ex.generated(sum(event.tokens for event in batch))
        ex.phase = "streaming"
        await wire.send_chunks(head, pieces, last=clean and end == total)
        head = b""
        position = end
    return Sent(keep_alive=clean and wire.keep_alive)


def content_type(ex: Exchange, default: str = SSE) -> str:
    if "wrong_content_type" in ex.faults:
        return str(ex.faults["wrong_content_type"]["content_type"])
    return default


def extra_headers(ex: Exchange) -> dict[str, str]:
    if "oversized_header" in ex.faults:
        return {"X-Oversized": "x" * int(ex.faults["oversized_header"]["bytes"])}
    return {}
