"""The loop as a driver of flows: waits, threads, clients that leave, faults."""

from __future__ import annotations

import errno
import socket
import threading
from typing import Any

import pytest
from loop_rig import CLOCK, GET, Rig, replying

from airouter.domain.errors import ClientGone
from airouter.flow.exchange import Exchange
from airouter.flow.reply import Place, Sending

HEAD = [("Content-Length", "2")]


def make(rigs: list[Rig], flow: Any, place: Place = "loop") -> Rig:
    rigs.append(Rig(replying(flow, place)))
    return rigs[-1]


def waiting(exchange: Exchange, seconds: float = 60, wake: Any = None) -> Sending:
    yield from exchange.wait(CLOCK.monotonic() + seconds, wake)  # type: ignore[misc]


class FakeCall:
    """A call on one end of a socket pair; what comes is the answer."""

    def __init__(self, expires: float = 60) -> None:
        self.sock, self.backend = socket.socketpair()
        self.sock.setblocking(False)
        self.expires = CLOCK.monotonic() + expires
        self.got: list[bytes] = []
        self.finished = False
        self.expired = False
        self.events = 1  # POLLIN

    @property
    def channel(self) -> object:
        return self.sock

    def fileno(self) -> int:
        return self.sock.fileno()

    def start(self) -> None: ...

    def advance(self) -> None:
        data = self.sock.recv(1000)
        self.got.append(data)
        self.finished = not data

    def expire(self, now: float) -> None:
        self.expired = self.finished = True

    def reconnect(self) -> None:
        """Another socket, whose number may be the same."""
        self.sock.close()
        self.backend.close()
        self.sock, self.backend = socket.socketpair()
        self.sock.setblocking(False)

    def close(self) -> None:
        self.finished = True
        self.sock.close()
        self.backend.close()


def test_a_flow_waits_for_a_call_a_wake_up_and_a_time(rigs: list[Rig]) -> None:
    call, (wake, bell) = FakeCall(), socket.socketpair()

    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        exchange.begin(call)
        while not call.got:
            yield from waiting(exchange)
        yield from waiting(exchange, 60, wake)
        yield from waiting(exchange, 0.05)
        start("200 OK", HEAD)
        yield b"hi"

    rig = make(rigs, flow)
    sock = rig.connect(GET)
    rig.step()
    call.backend.send(b"x")
    rig.until(lambda: call.got == [b"x"])
    bell.send(b"!")
    assert rig.read(sock, b"hi")
    for end in (wake, bell):
        end.close()


def test_a_call_may_change_its_connection(rigs: list[Rig]) -> None:
    """The numbers of descriptors recur; the new connection has to be watched all the same."""
    call = FakeCall()

    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        exchange.begin(call)
        for number in range(3):
            while len(call.got) == number:
                yield from waiting(exchange)
            call.reconnect()
        start("200 OK", HEAD)
        yield b"hi"

    rig = make(rigs, flow)
    sock = rig.connect(GET)
    for number in range(3):
        rig.step()
        call.backend.send(b"x")
        rig.until(lambda number=number: len(call.got) > number)  # type: ignore[misc]
    assert rig.read(sock, b"hi")


def test_a_call_whose_time_is_over_expires(rigs: list[Rig]) -> None:
    call = FakeCall(expires=0.1)

    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        exchange.begin(call)
        while not call.finished:
            yield from waiting(exchange)
        start("200 OK", HEAD)
        yield b"hi"

    rig = make(rigs, flow)
    assert rig.read(rig.connect(GET), b"hi")
    assert call.expired


@pytest.mark.parametrize("place", ["loop", "pool", "control"])
def test_where_it_is_computed(rigs: list[Rig], place: Place) -> None:
    seen: list[str] = []

    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        for _ in range(2):
            seen.append(threading.current_thread().name)
            yield from waiting(exchange, 0.01)
        start("200 OK", HEAD)
        yield b"hi"

    rig = make(rigs, flow, place)
    assert rig.read(rig.connect(GET), b"hi")
    expected = {"loop": "MainThread", "pool": "compute", "control": "control"}[place]
    assert all(name.startswith(expected) for name in seen)


def test_a_large_body_is_not_parsed_in_the_loop(rigs: list[Rig]) -> None:
    seen: list[str] = []

    def flow(exchange: Exchange, environ: dict[str, Any], start: Any) -> Sending:
        incoming = environ["airouter.incoming"]
        incoming.most = 1_000_000
        while not incoming.complete:
            yield from waiting(exchange)
        seen.append(threading.current_thread().name)
        start("200 OK", HEAD)
        yield b"hi"

    rig = make(rigs, flow)
    for size in (1000, 100_000):
        post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
        assert rig.read(rig.connect(post, b"x" * size), b"hi")
    assert seen[0] == "MainThread"
    assert seen[1].startswith("compute")


@pytest.mark.parametrize("place", ["loop", "pool"])
@pytest.mark.parametrize("how", ["half", "all"])
def test_a_client_that_leaves_ends_the_flow(rigs: list[Rig], place: Place, how: str) -> None:
    ended: list[str] = []

    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        exchange.hold(lambda: ended.append("released"))
        try:
            while True:
                yield from waiting(exchange)
        except ClientGone:
            ended.append("told")
            exchange.gone()
        yield b""

    rig = make(rigs, flow, place)
    sock = rig.connect(GET)
    rig.step()
    sock.shutdown(socket.SHUT_WR) if how == "half" else sock.close()
    rig.until(lambda: not rig.clients.connections)
    assert ended[0] == "told"


def test_a_client_that_leaves_before_its_turn_is_still_recorded(rigs: list[Rig]) -> None:
    """It has asked: there is one record of each request."""
    seen: list[bool] = []

    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        seen.append(exchange.left)
        try:
            yield from waiting(exchange)
        except ClientGone:
            exchange.gone()
        yield b""

    rig = make(rigs, flow)
    sock = rig.connect(GET, accepted=False)
    sock.close()
    until = CLOCK.monotonic() + 10
    while not rig.clients._ready and CLOCK.monotonic() < until:
        rig.loop.round(wait=False)
    for _ in range(5):
        rig.loop.round(wait=False)  # which learns that it has left
    rig.clients.serve()
    rig.until(lambda: not rig.clients.connections)
    assert seen == [True]


def test_a_client_that_leaves_while_a_thread_computes(rigs: list[Rig]) -> None:
    """The flow is left alone until the thread is done with it."""
    go, ended = threading.Event(), []

    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        go.wait(20)
        try:
            yield from waiting(exchange)
        except ClientGone:
            ended.append("told")
        yield b""

    rig = make(rigs, flow, "pool")
    rig.connect(GET).close()
    rig.until(lambda: not rig.clients.connections or not rig.clients._idle)
    rig.step()
    assert not ended
    go.set()
    rig.until(lambda: ended == ["told"])


@pytest.mark.parametrize("place", ["loop", "pool"])
def test_a_fault_before_the_head_is_a_500_without_its_text(
    rigs: list[Rig], place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        raise RuntimeError("secret")
        yield b""

    rig = make(rigs, flow, place)
    got = rig.read(rig.connect(GET))
    assert got.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in got
    assert "nothing was answered" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError(), ConnectionResetError(errno.ECONNRESET, "cut")])
def test_a_fault_after_the_head_cuts_the_connection(
    rigs: list[Rig], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Anything else would look like the rest of the answer."""

    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        start("200 OK", [])
        yield b"part"
        raise error

    rig = make(rigs, flow)
    got = rig.read(rig.connect(GET))
    assert got.endswith(b"part\r\n")
    assert bool(caplog.records) is isinstance(error, RuntimeError)


def test_what_is_cut_before_its_first_byte_is_cut(
    rigs: list[Rig], caplog: pytest.LogCaptureFixture
) -> None:
    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        start("200 OK", [])
        raise ConnectionResetError(errno.ECONNRESET, "cut")
        yield b""

    rig = make(rigs, flow)
    assert rig.read(rig.connect(GET)) == b""
    assert not caplog.records


@pytest.mark.parametrize("place", ["loop", "pool"])
@pytest.mark.parametrize("pieces", [[], [b"body"]])
def test_a_header_that_cannot_be_sent_is_a_500_and_releases_everything(
    rigs: list[Rig], place: Place, pieces: list[bytes]
) -> None:
    released: list[int] = []

    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        try:
            start("200 OK", [("X-Bad", "a\r\nb")])
            yield from pieces
        finally:
            released.append(1)

    rig = make(rigs, flow, place)
    assert rig.read(rig.connect(GET)).startswith(b"HTTP/1.1 500 ")
    assert released == [1]
    rig.until(lambda: not rig.clients.connections)


def test_the_exchange_is_closed_once_whatever_happens(rigs: list[Rig]) -> None:
    closed: list[int] = []

    def flow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        try:
            start("200 OK", [])
            while True:
                yield b"x" * 1000
        finally:
            closed.append(1)

    rig = make(rigs, flow)
    sock = rig.connect(GET)
    rig.step()
    sock.close()
    rig.until(lambda: not rig.clients.connections)
    assert closed == [1]
