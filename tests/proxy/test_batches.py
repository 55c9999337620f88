"""Requests for many embeddings are sent in batches: which, when, and what happens if one fails. The
backend is a script, and the clock jumps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from simulated_world import Script, World, whole

from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import ClientGone, RouterError, UpstreamBroken, UpstreamStatus
from airouter.flow.exchange import Exchange
from airouter.proxy.request_state import Head, RoutingOverrides
from airouter.resilience.per_process import PerProcess
from airouter.runtime.state import State
from airouter.settings.schema import Settings
from airouter.telemetry.logs import SILENT
from app import build_state

TEXTS = [f"text {i}" for i in range(10)]


class Embedder:
    """A world with one backend, which answers a batch in one second. `special`: what it does
    instead with the batch that begins with an input; an entry is used once."""

    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        self.world = World()
        self.asked: list[Any] = []
        self.special: dict[Any, Script] = {}
        self.model = "e"
        one = {"url": "http://embed.test", "model": "e", "max_inputs": 2, "slots": 8, **settings}
        sections = {
            "backends": {"embed": one},
            "routes": {"primary": {"backends": ["embed"]}},
            "embeddings": "embed",
            "logging": {"dir": tmp_path},
        }
        self.state: State = build_state(
            Settings.model_validate(sections),
            SILENT,
            self.world.clock,
            PerProcess(self.world.clock),
        )
        self.backend = self.state.backends["embed"]
        self.backend.connect = self.world.connect
        self.world.scripts["embed"] = self._answer

    def _answer(self, _path: str, body: dict[str, Any]) -> Script:
        inputs = body["input"]
        self.asked.append(inputs)
        first = str(inputs[0])
        return self.special.pop(first) if first in self.special else self.answer(inputs)

    def answer(self, inputs: list[Any], *, after: float = 1.0) -> Script:
        data = [{"index": i, "embedding": [str(one)]} for i, one in enumerate(inputs)]
        usage = {"prompt_tokens": len(inputs), "total_tokens": len(inputs)}
        body = {"object": "list", "data": data[::-1], "model": self.model, "usage": usage}
        return whole(body, after=after)

    def embed(self, inputs: Any = TEXTS, **fields: Any) -> tuple[Exchange, bytes]:
        """A request: its exchange, closed, and the body of the answer."""
        self.exchange = exchange = Exchange(self.world.clock, client=None, client_ip="", total=300)
        request = parse_request("embeddings", {"input": inputs, **fields})
        try:
            flow = self.state.pipeline.plain(exchange, request, RoutingOverrides(backend="embed"))
            heads = [item for item in self.world.run(exchange, flow) if isinstance(item, Head)]
        finally:
            exchange.close()
        assert len(heads) == 1
        return exchange, heads[0].body or b""

    def fail(self, error: type[RouterError], inputs: Any = TEXTS) -> RouterError:
        """What a request fails with; nothing is held afterwards."""
        with pytest.raises(error) as caught:
            self.embed(inputs)
        assert self.free
        return caught.value

    @property
    def free(self) -> bool:
        limiter = self.backend.limiter
        opened = sum(what == "asked" for _, _, what in self.world.log)
        closed = sum(what == "closed" for _, _, what in self.world.log)
        return limiter.in_use == limiter.waiting == 0 and opened == closed


def test_four_batches_at_a_time_and_the_answer_is_in_order(tmp_path: Path) -> None:
    """Five batches of two take two seconds; usage is the sum; one record has all calls."""
    embedder = Embedder(tmp_path)
    embedder.special["text 0"] = embedder.answer(TEXTS[:2], after=1.4)  # the first ends last
    exchange, body = embedder.embed(dimensions=1, encoding_format="base64")
    answer = orjson.loads(body)
    assert [(one["index"], one["embedding"]) for one in answer["data"]] == [
        (i, [text]) for i, text in enumerate(TEXTS)
    ]
    assert answer["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
    assert (answer["object"], answer["model"]) == ("list", "e")
    assert embedder.world.now == 2.0
    record = exchange.record
    assert len(record.steps) == 5
    assert all(step.params["dimensions"] == 1 for step in record.steps)
    assert all(step.params["encoding_format"] == "base64" for step in record.steps)
    assert [str(attempt) for attempt in record.attempts] == ["embed: ok"]
    assert (record.outcome, record.usage, record.backend) == ("ok", answer["usage"], "embed")
    assert record.inference_ms == pytest.approx(2000)
    assert record.in_flight == 0  # others, and none of its own
    assert record.backend_ttft_ms == pytest.approx(1400)
    assert record.ttft_ms == pytest.approx(2000)
    assert record.notes[-1] == "10 inputs sent in 5 batches"
    assert embedder.free


def test_only_free_slots_are_used_and_one_is_kept(tmp_path: Path) -> None:
    """With the only slot, batches go one by one; who comes later has its turn when they are done,
    as behind a request that is not split."""
    embedder = Embedder(tmp_path, slots=1)
    limiter = embedder.backend.limiter
    tickets: list[Any] = []

    def answer(path: str, body: dict[str, Any]) -> Script:
        tickets.append(limiter.queue_up("interactive"))
        return embedder._answer(path, body)

    embedder.world.scripts["embed"] = answer
    assert embedder.embed()[0].record.outcome == "ok"
    assert embedder.world.now == 5.0
    assert [ticket.slot is not None for ticket in tickets] == [True, *[False] * 4]
    for ticket in tickets:
        ticket.leave()
    assert embedder.free


@pytest.mark.parametrize(
    ("inputs", "settings", "fields"),
    [
        (TEXTS[:2], {}, {}),
        (TEXTS, {"max_inputs": 0}, {}),
        (TEXTS, {}, {"late_chunking": True}),
        (list(range(100)), {}, {}),  # tokens of one input
        ("text", {}, {}),
    ],
)
def test_what_is_not_split(
    tmp_path: Path, inputs: Any, settings: dict[str, Any], fields: dict[str, Any]
) -> None:
    """What fits is one request, whose answer passes byte for byte."""
    embedder = Embedder(tmp_path, **settings)
    raw = b'{ "data": [], "model": "e" }'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(raw)
    embedder.special[str(inputs[0])] = [(0.5, head + raw)]
    assert embedder.embed(inputs, **fields)[1] == raw
    assert embedder.asked == [inputs]


def test_lists_of_tokens_are_split(tmp_path: Path) -> None:
    """A list of lists of integers is many inputs."""
    embedder = Embedder(tmp_path)
    _, body = embedder.embed([[1, 2], [3], [4, 5]])
    assert embedder.asked == [[[1, 2], [3]], [[4, 5]]]
    assert [one["index"] for one in orjson.loads(body)["data"]] == [0, 1, 2]


def test_a_batch_that_fails_fails_the_request(tmp_path: Path) -> None:
    """With its own error, at once; the other batches are closed, the rest is not sent."""
    embedder = Embedder(tmp_path)
    embedder.special["text 2"] = whole({"error": {"message": "no"}}, after=0.3, status=400)
    limiter, open_then = embedder.backend.limiter, []
    release = limiter._release  # type: ignore[attr-defined]  # of this process's limiter

    def spied(slot: Any) -> None:
        open_then.append(len(embedder.world._connections))
        release(slot)

    limiter._release = spied  # type: ignore[attr-defined]
    error = embedder.fail(UpstreamStatus)
    assert open_then == [3, 0, 0, 0]  # no slot is free before its call is closed, each is once
    assert isinstance(error, UpstreamStatus)
    assert error.upstream_status == 400
    assert embedder.world.now == 0.3
    assert len(embedder.asked) == 4
    assert embedder.backend.breaker.fails == 0
    assert [str(one) for one in embedder.exchange.record.attempts] == ["embed: upstream_error"]


def test_a_batch_is_tried_again_like_a_request(tmp_path: Path) -> None:
    """After a 500, once; the attempts say so."""
    embedder = Embedder(tmp_path)
    embedder.special["text 2"] = whole({"error": {"message": "oops"}}, after=0.3, status=500)
    exchange, body = embedder.embed()
    assert len(orjson.loads(body)["data"]) == 10
    assert len(embedder.asked) == 6
    attempts = [str(one) for one in exchange.record.attempts]
    assert attempts == ["embed: upstream_error, again", "embed: ok"]
    assert embedder.free


def test_an_answer_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Too few embeddings, or those of another model, are an error of the backend."""
    embedder = Embedder(tmp_path)
    embedder.special["text 4"] = embedder.answer(TEXTS[4:5])
    assert "1 embeddings for 2 inputs" in embedder.fail(UpstreamBroken).message
    assert embedder.backend.breaker.fails == 1
    embedder.model, embedder.special = "e", {"text 8": embedder.answer(TEXTS[8:])}
    embedder.model = "other"
    assert "after those of" in embedder.fail(UpstreamBroken).message


def test_a_client_that_leaves_cancels_all_batches(tmp_path: Path) -> None:
    """At that moment; the backend's breaker learns nothing."""
    embedder = Embedder(tmp_path)
    embedder.world.client_leaves = 0.5
    with pytest.raises(ClientGone):
        embedder.embed()
    assert [at for at, _, what in embedder.world.log if what == "closed"] == [0.5] * 4
    assert embedder.exchange.record.outcome == "client_gone"
    assert embedder.backend.breaker.fails == 0
    assert embedder.free


def test_a_backend_to_be_tried_gets_one_batch_first(tmp_path: Path) -> None:
    """A breaker that is half-open lets one call through; the others follow its success."""
    embedder = Embedder(tmp_path, breaker_fails=1, breaker_reset=5)
    embedder.backend.breaker.fail("other")
    embedder.world.clock.move(6)
    assert embedder.embed()[0].record.outcome == "ok"
    began = [at for at, _, what in embedder.world.log if what == "asked"]
    assert began == [6.0, 7.0, 7.0, 7.0, 7.0]
