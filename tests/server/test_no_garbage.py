"""A request leaves no reference cycles behind: memory is freed at once, and no collection stops the
loop for tens of milliseconds."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import steer
from loop_rig import Rig
from settings_for_tests import PLAIN_CASCADE

from airouter.settings.schema import Settings
from app import create_app
from simulator.testing import Simulator

REQUESTS = 30
_numbers = itertools.count()


@pytest.fixture
def rig(sim: Simulator, tmp_path: Path) -> Iterator[Rig]:
    settings = Settings.model_validate(
        {
            "backends": {
                name: {"url": sim.url(name), "kind": "vllm", "model": f"{name}-model"}
                for name in ("primary", "router")
            },
            "routes": {"primary": {"backends": ["primary"]}},
            "cascade": PLAIN_CASCADE,
            "logging": {"dir": tmp_path},
            "probes": {"enabled": False},
        }
    )
    app = create_app(settings)
    made = Rig(app)
    yield made
    made.close()
    app.extensions["airouter"].close()


def wire(text: str, **fields: Any) -> bytes:
    message = {"role": "user", "content": f"{text} {next(_numbers)}"}
    body = orjson.dumps({"model": "ai-router/primary", "messages": [message], **fields})
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Content-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("text", "fields", "end"),
    [
        ("Hello", {}, b'"usage"'),
        ("Hello", {"stream": True}, b"[DONE]"),
        ("Hello", {"model": "ai-router"}, b'"usage"'),
        ("Hello", {"messages": "none"}, b"invalid"),
        ("Hello", {"model": "unknown"}, b"model_not_found"),
        (steer("Hello", primary={"fault": "http_503"}), {}, b'"error"'),
        (steer("Hello", primary={"fault": "http_400"}), {}, b'"error"'),
    ],
    ids=["whole", "streamed", "decided", "invalid", "unknown model", "failing", "refused"],
)
def test_nothing_is_left_to_collect(
    rig: Rig, text: str, fields: dict[str, Any], end: bytes
) -> None:
    sock = rig.connect()

    def ask() -> None:
        sock.setblocking(True)
        sock.sendall(wire(text, **fields))
        assert end in rig.read(sock, end)
        rig.step(0.01)

    for _ in range(3):  # what is made once
        ask()
    gc.collect()
    gc.disable()
    try:
        for _ in range(REQUESTS):
            ask()
        left = gc.collect() / REQUESTS
    finally:
        gc.enable()
    assert left < 5, f"{left} objects per request"


def test_a_client_that_leaves_leaves_nothing(rig: Rig) -> None:
    for turn in range(2):
        if turn:
            gc.collect()
            gc.disable()
        for _ in range(REQUESTS):
            sock = rig.connect(wire(steer("Hello", primary={"ttft_ms": 5000})))
            rig.step(0.02)
            sock.close()
            rig.until(lambda: not rig.clients.connections)
    try:
        left = gc.collect() / REQUESTS
    finally:
        gc.enable()
    assert left < 5, f"{left} objects per request"
