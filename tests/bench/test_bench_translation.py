"""`./Benchmark translation` measures what it says: complete streams, and complete requests and
answers of the size."""

from __future__ import annotations

import argparse
import io
from contextlib import ExitStack

import orjson
from rich.console import Console

from bench import translation
from bench.result import Sampler
from tests.responses_events import response_of


def test_every_way_has_its_figures() -> None:
    sampler = Sampler(Console(file=io.StringIO()))
    args = argparse.Namespace(quick=True, samples=None)
    table, promises = translation.run(sampler, args)
    rows = {row.cells[0]: row.data for row in table.rows}
    through = rows[f"a chunk: {translation.THROUGH}"]["us"]
    for name in translation.dialects():
        chunk = rows[f"a chunk: {name}"]
        assert 0 < chunk["own_us"] < chunk["us"]
        assert 0.5 < chunk["us"] / through / chunk["ratio"] < 2
        whole = rows[f"a request and an answer of 100 kB each: {name}"]
        assert 0 < whole["seconds"] < 0.5
    assert len(promises.rows) == 4


def test_a_whole_stream_is_relayed() -> None:
    """What is timed is the translation of every chunk."""
    with ExitStack() as stack:
        relay = translation._Relay(stack)
        make = translation.dialects()["Responses"]
        dialect = make()
        writer = dialect.writer(stream=True)
        assert writer is not None
        finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        stream = (*relay._stream, finish, b"data: [DONE]\n\n")
        data = b"".join(map(writer.feed, stream)) + writer.flush()
        text = response_of(data)["output"][0]["content"][0]["text"]
        assert len(text.split()) == translation.CHUNKS
        assert min(relay.seconds([make(), make()])) > 0


def test_requests_and_answers_have_the_size() -> None:
    requests = (translation.messages_request(), translation.responses_request())
    for make, request in zip(translation.dialects().values(), requests, strict=True):
        body, answer = translation.translated(make(), request, translation._answer())
        texts = [message["content"] for message in body["messages"] if message["role"] == "tool"]
        assert len(texts) == translation._TURNS
        assert sum(map(len, texts)) == translation.SIZE
        assert translation.SIZE < len(orjson.dumps(request)) < 1.3 * translation.SIZE
        assert translation._text(1).encode() in answer
