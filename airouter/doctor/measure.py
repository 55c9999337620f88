"""Measures how fast a server is, in a few small requests."""

import statistics
from dataclasses import dataclass

from airouter.dialects import wire_json
from airouter.doctor.http import Answer
from airouter.doctor.subject import Subject

TIMES = 3  # requests for each figure, of which the median counts
_TOKENS = 32
_SHORTEST = 0.005  # seconds of a stream whose rate can be told
# They differ from the first word on: of a prompt that is cached the first token comes sooner.
_ASKS = tuple(f"{topic}: write one sentence about it." for topic in ("Sea", "Forest", "Desert"))


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians; None where there was no answer to measure.

    `rtt_ms`: of a small request on an open connection. `ttft_ms`: from the request to the first
    content of a stream. `tokens_per_s`: of one stream, from its first content to its last.
    """

    rtt_ms: float | None = None
    ttft_ms: float | None = None
    tokens_per_s: float | None = None


def measure(subject: Subject) -> Measured:
    """Measure a server; its streams only if chat works."""
    trips = [_trip(subject.server.get("/v1/models")) for _ in range(TIMES)]
    streams: list[tuple[float | None, float | None]] = []
    if subject.chats:
        streams = [
            read_stream(
                subject.chat(ask, _TOKENS, stream=True, stream_options={"include_usage": True})
            )
            for ask in _ASKS
        ]
    return Measured(
        _median(trips), _median([ttft for ttft, _ in streams]), _median([r for _, r in streams])
    )


def read_stream(answer: Answer) -> tuple[float | None, float | None]:
    """The time to the first content in ms, and the tokens per second after it; None where the
    stream does not say."""
    first = last = None
    events, tokens, held = 0, 0, b""
    for at, piece in answer.pieces if answer.ok else ():
        *lines, held = (held + piece).split(b"\n")
        for line in lines:
            content, counted = _event(line)
            tokens = counted or tokens
            if content:
                first, last, events = first or at, at, events + 1
    if first is None or last is None:
        return None, None
    count, seconds = tokens or events, last - first
    rate = (count - 1) / seconds if count > 1 and seconds >= _SHORTEST else None
    return (first - answer.began) * 1000, rate


def _event(line: bytes) -> tuple[bool, int]:
    """Whether a line of a stream has content or reasoning, and the tokens that it counts."""
    if not line.startswith(b"data:"):
        return False, 0
    try:
        chunk = wire_json.lenient(line[5:].strip())
        usage = chunk.get("usage") or {}
        choices = chunk.get("choices") or [{}]
        delta = choices[0].get("delta") or {}
        said = any(delta.get(name) for name in ("content", "reasoning_content", "reasoning"))
        counted = usage.get("completion_tokens")
    except (ValueError, AttributeError, LookupError, TypeError, RecursionError):
        return False, 0  # [DONE], or no event of a chat
    return said, counted if isinstance(counted, int) else 0


def _trip(answer: Answer) -> float | None:
    """Milliseconds to the answer's first byte."""
    return (answer.pieces[0][0] - answer.began) * 1000 if answer.ok and answer.pieces else None


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
