"""One HTTP call over real sockets: what it sends and reads, how it fails, how it is cancelled, when
a connection is used again."""

from __future__ import annotations

import threading
import time

import pytest
from wire_server import CLOCK, HALF, OK, Peer, WireServer, answering, begin, origin_of, run

from airouter.domain.errors import ConnectFailed, UpstreamBroken
from airouter.domain.types import HttpRequest, Limits
from airouter.upstream.transport.pool import Origin


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (OK, b"hello"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n"
            b"0\r\nX-Trailer: 1\r\n\r\n",
            b"hello",
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK,
            b"hello",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\ncontent-length:5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    ],
)
def test_an_answer_is_read_and_its_connection_kept(reply: bytes, body: bytes) -> None:
    """However an answer is framed it is read whole, and the next call goes over the same
    connection."""
    with answering(reply) as server:
        origin = origin_of(server)
        for _ in range(3):
            call, read = run(origin)
            assert (call.error, call.complete, read) == (None, True, body)
        assert server.connections == 1
        assert origin.idle_count() == 1
        origin.close()


def test_an_answer_may_end_with_its_connection() -> None:
    """Without a length the end of the connection is the end of the answer; such a connection is not
    kept."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.0 200 OK\r\nX-Kind: Old\r\n\r\nhello")

    with WireServer(script) as server:
        origin = origin_of(server)
        call, body = run(origin)
        assert (call.status, call.headers["x-kind"], body, call.complete) == (
            200,
            "Old",
            b"hello",
            True,
        )
        assert origin.idle_count() == 0


def test_what_goes_over_the_wire() -> None:
    """The request line is the base URL's path plus ours; length and host are right; nothing else is
    added."""
    with answering() as server:
        origin = Origin(server.url + "/base/", CLOCK)
        run(
            origin,
            HttpRequest(
                "POST", "/v1/chat/completions", {"Content-Type": "application/json"}, b'{"a":1}'
            ),
        )
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST /base/v1/chat/completions HTTP/1.1"
        assert set(lines[1:]) == {
            f"Host: 127.0.0.1:{server.port}",
            "Accept-Encoding: identity",
            "Content-Type: application/json",
            "Content-Length: 7",
        }
        assert body == b'{"a":1}'
        origin.close()


def test_large_bodies_both_ways() -> None:
    """Megabytes are sent and read without blocking, whatever the socket's buffers."""
    large = bytes(range(256)) * 20_000
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large) + large
    with answering(reply) as server:
        origin = origin_of(server)
        call, body = run(origin, HttpRequest("POST", "/", {}, large))
        assert (call.error, body == large) == (None, True)
        assert server.requests[0].partition(b"\r\n\r\n")[2] == large
        origin.close()


def test_a_slow_reader_of_a_large_request_is_waited_for() -> None:
    """A request that does not fit into the socket's buffer goes out as the server takes it, also
    when that takes a while."""
    large = b"z" * 8_000_000

    def script(peer: Peer) -> None:
        time.sleep(0.5)
        assert peer.request().endswith(b"\r\n\r\n" + large)
        peer.send(OK)

    with WireServer(script) as server:
        call, body = run(
            origin_of(server), HttpRequest("POST", "/", {}, large), Limits(0.2, 5, 5, 10)
        )
        assert (call.error, body) == (None, b"hello")


HALF_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


@pytest.mark.parametrize("reply", [b"", HALF, HALF_CHUNKED])
def test_closing_cancels_at_once(reply: bytes) -> None:
    """close() shuts the socket at once, before the headers as in the middle of the body, and the
    server sees it."""
    seen = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(reply)
        assert peer.wait_for_close()
        seen.set()

    with WireServer(script) as server:
        origin = origin_of(server)
        call, poller = begin(origin)
        until = time.monotonic() + 5
        while time.monotonic() < until and not (call.take() if reply else call.sent_at):
            poller.wait(time.monotonic() + 0.05)
        call.close()
        assert seen.wait(1)
        assert call.shut_at is not None
        assert call.finished
        assert not call.complete
        assert origin.idle_count() == 0
        call.close()


@pytest.mark.parametrize(
    ("reply", "received"),
    [
        (b"", False),
        (b"SSH-2.0-OpenSSH_9.6\r\n", True),
        (HALF, True),
        (HALF_CHUNKED, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", True),
        (b"HTTP/1.1 200 OK\r\nX-Large: " + b"x" * 300_000, True),
        (b"HTTP/1.1 200 OK\r\nContent-Le", True),
    ],
)
def test_a_broken_answer_is_said_to_be_broken(reply: bytes, received: bool) -> None:
    """What is not HTTP, or ends too early, is an error that tells whether anything had come."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(reply)

    with WireServer(script) as server:
        call, _ = run(origin_of(server))
        assert isinstance(call.error, UpstreamBroken)
        assert call.error.received == received
        assert call.error.sent


def test_nothing_listens() -> None:
    """A refused connection certainly did not carry the request."""
    with WireServer(lambda peer: None) as server:
        origin = origin_of(server)
    call, _ = run(origin)
    assert isinstance(call.error, ConnectFailed)
    assert not call.error.sent
    assert str(server.port) in call.error.message


def test_a_name_that_does_not_resolve() -> None:
    """A host name without an address is a failed connection with the name in it."""
    call, _ = run(Origin("http://no-such-host.invalid:80", CLOCK), limits=Limits(3, 5, 5, 10))
    assert isinstance(call.error, ConnectFailed)
    assert "no-such-host.invalid" in call.error.message


def test_a_kept_connection_that_was_closed_meanwhile_is_not_used() -> None:
    """A server that closes an idle connection costs the next call nothing."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)

    with WireServer(script) as server:
        origin = origin_of(server)
        for number in (1, 2, 3):
            call, body = run(origin)
            assert (call.error, body) == (None, b"hello")
            assert server.connections == number
            time.sleep(0.05)  # the close arrives


def test_a_kept_connection_that_closes_on_reuse_is_tried_anew_once() -> None:
    """A request that meets the close of its kept connection goes out again on a new one, once."""
    times = []

    def script(peer: Peer) -> None:
        peer.request()
        times.append(1)
        if len(times) > 2:
            return  # a server that is really broken
        peer.send(OK)
        peer.request()  # the next one is read, and the connection closed without an answer

    with WireServer(script) as server:
        origin = origin_of(server)
        assert run(origin)[1] == b"hello"
        assert run(origin)[1] == b"hello"
        assert server.connections == 2
        call, _ = run(origin)
        assert isinstance(call.error, UpstreamBroken)
        assert server.connections == 3
