"""The limits of one HTTP call: each bounds what it says and has its name; a pause of ours is no
silence of the backend."""

from __future__ import annotations

import time

import pytest
from wire_server import Peer, WireServer, begin, origin_of, run

from airouter.domain.errors import UpstreamTimeout
from airouter.domain.types import Limits


@pytest.mark.parametrize(
    ("reply", "limits", "phase"),
    [
        (b"", Limits(5, 0.2, 5, 10), "first_byte"),
        (b"", Limits(5, 5, 5, 0.2), "total"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            Limits(5, 0.2, 5, 10),
            "first_byte",
        ),  # headers are no content
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", Limits(5, 5, 5, 0.2), "total"),
    ],
)
def test_each_limit_has_its_name(reply: bytes, limits: Limits, phase: str) -> None:
    """Silence ends at the limit that bounds it, and the error says which one that was."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(reply)
        assert peer.wait_for_close()

    with WireServer(script) as server:
        started = time.monotonic()
        call, _ = run(origin_of(server), limits=limits)
        assert isinstance(call.error, UpstreamTimeout)
        assert call.error.phase == phase
        assert 0.15 < time.monotonic() - started < 2


def test_the_idle_limit_counts_from_the_last_byte() -> None:
    """After the first content each gap is bounded, not their sum."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(8):
            peer.send(b"x")
            time.sleep(0.1)
        assert peer.wait_for_close()

    with WireServer(script) as server:
        call, poller = begin(origin_of(server), limits=Limits(5, 5, 0.35, 10))
        body, started = b"", time.monotonic()
        while not call.finished and time.monotonic() - started < 5:
            poller.wait(time.monotonic() + 0.05)
            more = call.take()
            body += more
            if more:
                call.content_seen()
        assert isinstance(call.error, UpstreamTimeout)
        assert call.error.phase == "idle"
        assert body == b"x" * 8


def test_a_paused_call_does_not_read() -> None:
    """While its owner's buffer is full a call leaves the bytes with the sender, and its silence
    does not count."""
    total = 40_000_000

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total + b"x" * total)

    with WireServer(script) as server:
        call, poller = begin(origin_of(server), limits=Limits(5, 5, 0.3, 20))
        while not call.buffered:
            assert call.error is None
            poller.wait(time.monotonic() + 1)
        call.content_seen()
        call.paused, had = True, call.buffered
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            poller.wait(until)
        assert (call.buffered, call.error) == (had, None)
        call.resume()
        read = 0
        while not call.finished:
            poller.wait(time.monotonic() + 5)
            read += len(call.take())
        assert (call.error, read + len(call.take())) == (None, total)
