"""One HTTP call over TLS: a certificate of one's own is trusted if it is named, and nothing else
is."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from wire_server import CLOCK, HALF, Peer, WireServer, begin, origin_of, own_certificate, run

from airouter.domain.errors import ConnectFailed, UpstreamTimeout
from airouter.domain.types import HttpRequest, Limits
from airouter.upstream.transport.pool import Origin


def test_tls_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    """With ca_file an https backend with its own certificate is spoken to, large answers and kept
    connections included."""
    certificate, context = own_certificate(tmp_path)
    large = b"y" * 2_000_000
    server = WireServer(
        lambda peer: server.answer(
            peer, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large) + large
        ),
        context,
    )
    with server:
        origin = origin_of(server, ca_file=str(certificate))
        for _ in range(2):
            call, body = run(origin, HttpRequest("POST", "/", {}, large))
            assert (call.error, len(body)) == (None, len(large))
        assert server.connections == 1
        origin.close()


def test_tls_is_verified(tmp_path: Path) -> None:
    """An untrusted certificate, or one for another host, is refused before a byte is sent."""
    certificate, context = own_certificate(tmp_path)
    with WireServer(lambda peer: server.answer(peer), context) as server:
        for origin in (
            origin_of(server),
            Origin(f"https://localhost:{server.port}", CLOCK, ca_file=str(certificate)),
        ):
            call, _ = run(origin)
            assert isinstance(call.error, ConnectFailed)
            assert "ca_file" in call.error.message
        assert server.requests == []


def test_a_handshake_that_never_ends_is_a_failed_connection() -> None:
    """A server that does not speak TLS is bounded by the connect limit."""

    def script(peer: Peer) -> None:
        while peer.sock.recv(65536):  # takes all, says nothing
            pass

    with WireServer(script) as server:
        call, _ = run(
            Origin(server.url.replace("http:", "https:"), CLOCK), limits=Limits(0.3, 5, 5, 10)
        )
        assert isinstance(call.error, UpstreamTimeout)
        assert call.error.phase == "connect"
        assert not call.error.sent


def test_cancelling_over_tls_is_seen_at_once(tmp_path: Path) -> None:
    """The socket of a TLS call is shut just as quickly."""
    certificate, context = own_certificate(tmp_path)
    seen = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HALF)
        peer.wait_for_close()
        seen.set()

    with WireServer(script, context) as server:
        call, poller = begin(origin_of(server, ca_file=str(certificate)))
        while not call.buffered:
            poller.wait(time.monotonic() + 1)
        call.close()
        assert seen.wait(1)
