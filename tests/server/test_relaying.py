"""What a flow only passes on is sent without advancing it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from loop_rig import CLOCK, GET, Rig, replying
from test_serving import FakeCall

from airouter.domain.errors import ClientGone
from airouter.flow.exchange import Exchange
from airouter.flow.reply import Sending

HEAD = [("Content-Type", "text/plain")]


class Relaying:
    """A flow that passes on what its call brings. `seen` is what it was advanced for, `ended` how
    it ended."""

    def __init__(self, rigs: list[Rig], until: Callable[[], float] = lambda: 1e12) -> None:
        self.call = FakeCall()
        self.seen: list[bytes] = []
        self.ended: list[str] = []
        self.fault: Exception | None = None
        self._until = until
        self.rig = Rig(replying(self._flow))
        rigs.append(self.rig)
        self.client = self.rig.connect(GET)
        self.rig.read(self.client, b"begin")

    def _relay(self) -> bytes:
        if self.fault is not None:
            raise self.fault
        if self.call.finished or not self.call.got or self.call.got[-1][:1] == b"!":
            return b""
        return self.call.got.pop()

    def _flow(self, exchange: Exchange, _environ: Any, start: Any) -> Sending:
        exchange.begin(self.call)
        start("200 OK", HEAD)
        yield b"begin"
        try:
            while not self.call.finished:
                yield from exchange.wait(self._until(), relay=self._relay)  # type: ignore[misc]
                self.seen.append(b"".join(self.call.got))
                self.call.got.clear()
            self.ended.append("whole")
            yield b"end"
        except ClientGone:
            self.ended.append("ClientGone")
        except GeneratorExit:
            self.ended.append("GeneratorExit")
            raise

    def say(self, data: bytes) -> None:
        self.call.backend.send(data)
        self.rig.read(self.client, data)


def test_the_flow_is_advanced_for_what_is_not_merely_passed_on(rigs: list[Rig]) -> None:
    relaying = Relaying(rigs)
    for number in range(20):
        relaying.say(b"chunk %d" % number)
    assert relaying.seen == []
    relaying.call.backend.send(b"!look")
    relaying.rig.until(lambda: relaying.seen == [b"!look"])
    relaying.say(b"more")
    relaying.call.backend.close()
    assert b"end" in relaying.rig.read(relaying.client, b"0\r\n\r\n")
    assert relaying.ended == ["whole"]


def test_its_time_still_comes(rigs: list[Rig]) -> None:
    relaying = Relaying(rigs, until=lambda: CLOCK.monotonic() + 0.05)
    relaying.say(b"chunk")
    relaying.rig.until(lambda: len(relaying.seen) > 1)


def test_a_client_that_leaves_ends_it(rigs: list[Rig]) -> None:
    relaying = Relaying(rigs)
    relaying.say(b"chunk")
    relaying.client.close()
    relaying.rig.until(lambda: relaying.ended)
    assert relaying.ended == ["ClientGone"]


def test_a_client_that_is_found_gone_while_it_is_sent_something_ends_it(rigs: list[Rig]) -> None:
    relaying = Relaying(rigs)
    relaying.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    relaying.client.close()  # with a reset
    relaying.call.backend.send(b"chunk")
    relaying.rig.until(lambda: relaying.ended)


def test_a_slow_client_pauses_it_and_gets_everything(rigs: list[Rig]) -> None:
    relaying = Relaying(rigs)
    piece, count = b"x" * 1000, 8000
    relaying.call.backend.setblocking(False)
    sent = 0
    for _ in range(400):  # as much as fits on the way while the client does not read
        try:
            while sent < count:
                relaying.call.backend.send(piece)
                sent += 1
        except BlockingIOError:
            relaying.rig.step(0.005)
    assert sent < count
    relaying.client.setblocking(False)
    got = 0
    while got < sent * len(piece):
        try:
            got += relaying.client.recv(1_000_000).count(b"x")
        except BlockingIOError:
            relaying.rig.step(0.002)
    relaying.say(b"and on")


def test_a_fault_in_it_ends_the_answer(rigs: list[Rig]) -> None:
    relaying = Relaying(rigs)
    relaying.fault = ValueError("a fault")
    relaying.call.backend.send(b"chunk")
    assert b"chunk" not in relaying.rig.read(relaying.client)
    assert relaying.ended == ["GeneratorExit"]
