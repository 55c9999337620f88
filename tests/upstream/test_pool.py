"""Where a backend is, and its idle connections."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from doubles import FakeClock
from harness import eventually
from making import Waiter
from wire_server import CLOCK, GET, OK, Peer, WireServer, origin_of, run

from airouter.domain.clock import Clock
from airouter.domain.errors import UpstreamTimeout
from airouter.domain.types import Limits
from airouter.upstream.transport.call import Call
from airouter.upstream.transport.pool import Lookup, Origin


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("url", "host", "port", "base", "authority", "tls"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, "", "127.0.0.1:8000", False),
        ("http://example.com", "example.com", 80, "", "example.com", False),
        ("https://api.x.ai", "api.x.ai", 443, "", "api.x.ai", True),
        ("https://api.x.ai:443/", "api.x.ai", 443, "", "api.x.ai", True),
        ("https://host:8443/openai/", "host", 8443, "/openai", "host:8443", True),
        ("http://[::1]:8000/a/b", "::1", 8000, "/a/b", "[::1]:8000", False),
    ],
)
def test_a_url_is_taken_apart(
    url: str, host: str, port: int, base: str, authority: str, tls: bool
) -> None:
    """Scheme, host, port, base path and the Host header follow from the URL, IPv6 included."""
    origin = Origin(url, Clock())
    assert (origin.host, origin.port, origin.base_path, origin.authority, origin.tls) == (
        host,
        port,
        base,
        authority,
        tls,
    )


def test_a_returned_connection_is_given_out_again(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """The connection returned last is taken first, and by one taker only."""
    origin = Origin("http://127.0.0.1:1", Clock())
    origin.give(pair[0])
    assert origin.idle_count() == 1
    assert origin.take() is pair[0]
    assert origin.take() is None


@pytest.mark.parametrize("what", ["closed", "spoken on"])
def test_a_spent_connection_is_not_given_out(
    pair: tuple[socket.socket, socket.socket], what: str
) -> None:
    """A connection that the server has closed, or on which it said something unasked, is closed
    instead."""
    origin = Origin("http://127.0.0.1:1", Clock())
    origin.give(pair[0])
    if what == "closed":
        pair[1].close()
    else:
        pair[1].send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert origin.take() is None
    assert pair[0].fileno() == -1


def test_an_old_connection_is_not_given_out(pair: tuple[socket.socket, socket.socket]) -> None:
    """After most servers' keep-alive time an idle connection is not trusted any more."""
    clock = FakeClock()
    origin = Origin("http://127.0.0.1:1", clock)
    origin.give(pair[0])
    clock.move(60)
    assert origin.take() is None
    assert pair[0].fileno() == -1


def test_the_idle_ones_are_bounded() -> None:
    """More idle connections than max_idle are closed, not hoarded; close() closes the rest."""
    origin = Origin("http://127.0.0.1:1", Clock(), max_idle=3)
    pairs = [socket.socketpair() for _ in range(5)]
    for ours, _ in pairs:
        origin.give(ours)
    assert origin.idle_count() == 3
    assert [ours.fileno() == -1 for ours, _ in pairs] == [False] * 3 + [True] * 2
    origin.close()
    assert all(ours.fileno() == -1 for ours, _ in pairs)
    for _, theirs in pairs:
        theirs.close()


def test_addresses_are_remembered_and_outlive_the_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is not looked up for each call; when the resolver fails later, the last addresses
    serve on."""
    looked_up = []

    def getaddrinfo(host: str, port: int, *, type: int = 0, flags: int = 0) -> list[object]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        looked_up.append(host)
        if len(looked_up) > 1:
            raise socket.gaierror
        return [(socket.AF_INET, type, 0, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    clock = FakeClock()
    origin = Origin("http://backend.test:80", clock)
    found = [(socket.AF_INET, ("192.0.2.1", 80))]
    assert resolved(origin) == found
    for _ in range(3):
        assert origin.addresses() == found
    assert len(looked_up) == 1
    clock.move(31)
    assert origin.addresses() == found  # at once; it is looked up again meanwhile
    eventually(lambda: len(looked_up) == 2)
    assert origin.addresses() == found
    with pytest.raises(OSError):  # noqa: PT011 - whatever the resolver says
        resolved(Origin("http://other.test:80", clock))


def resolved(origin: Origin) -> Any:
    """The addresses, after the lookup if there is one."""
    found = origin.addresses()
    if not isinstance(found, Lookup):
        return found
    poller = select.poll()
    poller.register(found.fileno(), select.POLLIN)
    assert poller.poll(5000)
    try:
        return found.result()
    finally:
        found.close()


def test_a_dead_resolver_holds_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking a name up takes no longer than the connect limit, and other calls of the same
    request go on meanwhile."""
    released = threading.Event()

    def getaddrinfo(*_: object, flags: int = 0, **__: object) -> list[object]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        released.wait(10)
        raise socket.gaierror

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)

    with WireServer(script) as server:
        origin = origin_of(server)
        assert resolved(origin)
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        poller = Waiter(CLOCK)
        try:
            limits = Limits(1, 5, 5, 10)
            stuck = Call(Origin("http://backend.test:80", CLOCK), GET, limits, CLOCK, "stuck")
            other = Call(origin, GET, limits, CLOCK, "other")
            for call in (stuck, other):
                poller.add(call).start()
            while not other.finished:
                poller.wait(CLOCK.monotonic() + 5)
            assert (other.error, stuck.finished) == (None, False)
            while not stuck.finished:
                poller.wait(CLOCK.monotonic() + 5)
            assert isinstance(stuck.error, UpstreamTimeout)
            assert stuck.error.phase == "connect"
            given_up = Call(Origin("http://third.test:80", CLOCK), GET, limits, CLOCK, "third")
            given_up.start().close()
            assert given_up.finished
        finally:
            released.set()


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host with a dead address first (IPv6 without a route to it, say) is reached by the
    other."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for sock in waiting:  # its queue of connections is full: whoever comes now hears nothing
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)

    with WireServer(script) as server:
        answers = [
            (socket.AF_INET, 0, 0, "", ("127.0.0.1", p))
            for p in (full.getsockname()[1], server.port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
        call, body = run(Origin("http://backend.test:80", CLOCK), limits=Limits(2, 5, 5, 10))
        assert (call.error, body) == (None, b"hello")
    for sock in (*waiting, full):
        sock.close()


def test_threads_share_it() -> None:
    """No connection is ever given to two takers."""
    origin = Origin("http://127.0.0.1:1", Clock())
    pairs = [socket.socketpair() for _ in range(6)]
    for ours, _ in pairs:
        origin.give(ours)
    lock, held, doubled = threading.Lock(), set(), []

    def work() -> None:
        for _ in range(400):
            sock = origin.take()
            if sock is None:
                continue
            with lock:
                doubled.extend([sock] if sock in held else [])
                held.add(sock)
            with lock:
                held.discard(sock)
            origin.give(sock)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not doubled
    assert origin.idle_count() == 6
    origin.close()
    for _, theirs in pairs:
        theirs.close()
