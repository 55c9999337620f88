"""Where a backend is, and its idle connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from airouter.clock import Clock
from airouter.errors import ConnectFailed
from airouter.upstream.pool import Origin


class Movable(Clock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 1000.0

    def monotonic(self) -> float:  # type: ignore[override]
        return self.at


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
    """A connection that the server has closed, or on which it said something unasked, is closed instead."""
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
    clock = Movable()
    origin = Origin("http://127.0.0.1:1", clock)
    origin.give(pair[0])
    clock.at += 60
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
    """A name is not looked up for each call; when the resolver fails later, the last addresses serve on."""
    looked_up = []

    def getaddrinfo(host: str, port: int, *, type: int = 0, flags: int = 0) -> list[object]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        looked_up.append(host)
        if len(looked_up) > 1:
            raise socket.gaierror
        return [(socket.AF_INET, type, 0, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    clock = Movable()
    origin = Origin("http://backend.test:80", clock)
    for _ in range(3):
        assert origin.addresses(1) == [(socket.AF_INET, ("192.0.2.1", 80))]
    assert len(looked_up) == 1
    clock.at += 31
    assert origin.addresses(1) == [(socket.AF_INET, ("192.0.2.1", 80))]
    assert len(looked_up) == 2
    with pytest.raises(ConnectFailed):
        Origin("http://other.test:80", clock).addresses(1)


def test_a_dead_resolver_does_not_hang_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking a name up takes no longer than the connect limit."""
    released = threading.Event()

    def getaddrinfo(*_: object, flags: int = 0, **__: object) -> list[object]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        released.wait(10)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        with pytest.raises(ConnectFailed, match=r"backend\.test"):
            Origin("http://backend.test:80", Clock()).addresses(0.2)
    finally:
        released.set()


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
