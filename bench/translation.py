"""What translating an API costs: chunks of a stream, passed through and as events of the Messages
and the Responses API, and whole requests and answers of 100 kB; in this process, alternating.

A chunk is received from a backend's socket, read by the router, translated, and sent to a client's
socket, both on loopback, as the router relays it.
"""

import argparse
import gc
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import orjson

from airouter.dialects.messages import Messages
from airouter.dialects.openai import OPENAI
from airouter.dialects.openai_answer import Answer
from airouter.dialects.openai_responses import Responses, opening
from airouter.dialects.openai_responses_tools import Names
from airouter.domain.dialect import ClientDialect, Translator
from bench.result import Promises, Result, Sampler, ms, number
from bench.stats import bootstrap, percentile

Json = dict[str, Any]
CHUNKS, ROUNDS, WHOLE_ROUNDS = 400, 150, 300
SIZE = 100_000  # bytes of a request's text, and of an answer's
MOST_RATIO, MOST_WHOLE_S = 1.5, 0.003
THROUGH = "chat, passed through"
COLUMNS = ("what", "rounds", "µs per chunk", "÷ passed through", "of it translating µs", "ms")
_ID = "0123456789abcdef0123456789abcdef"
_WORD = "A river carries water, and sand. "


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Chunks first, then whole requests and answers."""
    table = Result("translation", "Translation of other APIs", COLUMNS)
    promises = Promises("translation", "What is promised of translation")
    few = 10 if args.quick else None
    with sampler.interruptible():
        sampler.row("chunks")
        chunks(table, promises, few or args.samples or ROUNDS)
        sampler.row("whole requests and answers")
        wholes(table, promises, few or args.samples or WHOLE_ROUNDS)
    table.notes.append("medians; ratios of neighbours in time, with 95 % bootstrap intervals")
    return [result for result in (table, promises.result) if result.rows]


def dialects() -> dict[str, Callable[[], ClientDialect]]:
    """Makes each dialect for one request."""
    return {
        "Messages": lambda: Messages(_ID, "m", notes=[]),
        "Responses": lambda: Responses(
            _ID, opening(_ID, 0, {}, "m", store=False), Names(), [], None
        ),
    }


# Chunks -------------------------------------------------------------------------------------------


def chunks(table: Result, promises: Promises, rounds: int) -> None:
    ways: Mapping[str, Callable[[], ClientDialect]] = {THROUGH: lambda: OPENAI, **dialects()}
    with ExitStack() as stack:
        relay = _Relay(stack)
        relay.seconds([make() for make in ways.values()])  # caches
        with _quiet():
            rows = [relay.seconds([make() for make in ways.values()]) for _ in range(rounds)]
            alone = {
                name: [relay.translating(make()) / CHUNKS for _ in range(rounds)]
                for name, make in ways.items()
            }
    found = {name: [row[i] / CHUNKS for row in rows] for i, name in enumerate(ways)}
    base = found[THROUGH]
    for name, costs in found.items():
        us, own = (percentile(one, 0.5) * 1e6 for one in (costs, alone[name]))
        ratio = bootstrap([b / a for a, b in zip(base, costs, strict=True)])[0]
        shown = f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
        translated = name != THROUGH
        cells = (number(us), shown, number(own)) if translated else (number(us), "", "")
        table.add(
            (f"a chunk: {name}", str(rounds), *cells, ""), us=us, ratio=ratio.value, own_us=own
        )
        if translated:
            promises.check(
                f"{name}: a chunk ÷ passed through", f"≤ {MOST_RATIO}", shown,
                ratio.low <= MOST_RATIO, ratio=ratio,
            )  # fmt: skip


class _Relay:
    """Relays streams, between sockets of its own."""

    def __init__(self, stack: ExitStack) -> None:
        self._backend, self._from = _connected(stack)
        self._to, self._client = _connected(stack)
        self._stream = [_chunk(role="assistant", content="")]
        self._stream += [_chunk(content=f" word{i:04d}") for i in range(CHUNKS)]

    def seconds(self, dialects: Sequence[ClientDialect]) -> list[float]:
        """How long all chunks but the first take, from socket to socket, in each dialect: each
        chunk in all of them in turn, so that they share the machine's speed."""
        taken = [0.0] * len(dialects)
        streams = [
            (i, Answer("b", "chat", stream=True), dialect.writer(stream=True))
            for i, dialect in enumerate(dialects)
        ]
        for chunk in self._stream:
            for i, answer, writer in streams:
                seconds = self._one(chunk, answer, writer)
                if chunk is not self._stream[0]:
                    taken[i] += seconds
        return taken

    def _one(self, chunk: bytes, answer: Answer, writer: Translator | None) -> float:
        self._backend.sendall(chunk)
        began = time.perf_counter()
        answer.feed(self._from.recv(65536))
        data = answer.drain()
        if writer is not None:
            data = writer.feed(data)
        self._to.send(data)
        taken = time.perf_counter() - began
        self._client.recv(65536)
        return taken

    def translating(self, dialect: ClientDialect) -> float:
        """How long the same takes the writer alone."""
        writer, now = dialect.writer(stream=True), time.perf_counter
        if writer is None:
            return 0.0
        writer.feed(self._stream[0])
        began = now()
        for chunk in self._stream[1:]:
            writer.feed(chunk)
        return now() - began


def _connected(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = stack.enter_context(socket.create_connection(server.getsockname()))
        other = stack.enter_context(server.accept()[0])
    for end in (one, other):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def _chunk(**delta: str) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    head = {"id": f"chatcmpl-{_ID}", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + orjson.dumps(head | {"choices": [choice]}) + b"\n\n"


# Whole requests and answers -----------------------------------------------------------------------


def wholes(table: Result, promises: Promises, rounds: int) -> None:
    answer = _answer()
    ways = [
        (name, make, orjson.loads(orjson.dumps(request())))
        for (name, make), request in zip(
            dialects().items(), (messages_request, responses_request), strict=True
        )
    ]
    found: dict[str, list[float]] = {name: [] for name, *_ in ways}
    with _quiet():
        for _ in range(rounds):
            for name, make, payload in ways:
                began = time.perf_counter()
                translated(make(), payload, answer)
                found[name].append(time.perf_counter() - began)
    for name, times in found.items():
        middle = percentile(times, 0.5)
        what = f"a request and an answer of {SIZE // 1000} kB each: {name}"
        table.add((what, str(rounds), "", "", "", ms(middle)), seconds=middle)
        promises.check(
            f"{name}: a request and an answer of {SIZE // 1000} kB each",
            f"≤ {MOST_WHOLE_S * 1000:g} ms", f"{ms(middle)} ms", middle <= MOST_WHOLE_S,
            seconds=middle,
        )  # fmt: skip


def translated(dialect: ClientDialect, payload: Json, answer: bytes) -> tuple[Json, bytes]:
    """The request as a chat completion, and the answer to it in the dialect."""
    body = dialect.parse(payload)
    writer = dialect.writer(stream=False)
    assert writer is not None
    return body, writer.feed(answer) + writer.flush()


def messages_request() -> Json:
    """Of many turns with tools, as agents send."""
    turns = []
    for i in range(_TURNS):
        use = {"type": "tool_use", "id": f"t{i}", "name": "read", "input": {"path": f"{i}.txt"}}
        result = {"type": "tool_result", "tool_use_id": f"t{i}", "content": _text(_TURNS)}
        turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    tools = [{"name": name, "description": _WORD, "input_schema": _SCHEMA} for name in _NAMES]
    first = {"role": "user", "content": [{"type": "text", "text": "Go."}]}
    return {"model": "m", "max_tokens": 100, "messages": [first, *turns], "tools": tools}


def responses_request() -> Json:
    """The same for the Responses API."""
    items: list[Json] = [{"role": "user", "content": "Go."}]
    for i in range(_TURNS):
        path = f'{{"path":"{i}.txt"}}'
        call = {"type": "function_call", "call_id": f"t{i}", "name": "read", "arguments": path}
        output = {"type": "function_call_output", "call_id": f"t{i}", "output": _text(_TURNS)}
        items += [call, output]
    tools = [
        {"type": "function", "name": name, "description": _WORD, "parameters": _SCHEMA}
        for name in _NAMES
    ]
    return {"model": "m", "input": items, "tools": tools}


_TURNS = 40
_NAMES = ("read", *(f"tool_{i}" for i in range(20)))
_SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}


def _text(of: int) -> str:
    """Text of one of so many parts of the size."""
    return (_WORD * (SIZE // len(_WORD) + 1))[: SIZE // of]


def _answer() -> bytes:
    message = {"role": "assistant", "content": _text(1)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 25_000, "completion_tokens": 25_000, "total_tokens": 50_000}
    return orjson.dumps({"id": "c", "model": "m", "choices": [choice], "usage": usage})


@contextmanager
def _quiet() -> Iterator[None]:
    """Without garbage collection."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
