"""A server for tests of one HTTP call: for each connection it does exactly what a test tells it,
byte by byte."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest
from making import Waiter

from airouter.domain.clock import Clock
from airouter.domain.types import HttpRequest, Limits
from airouter.upstream.transport.call import Call
from airouter.upstream.transport.pool import Origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"
CLOCK = Clock()
AMPLE = Limits(5, 5, 5, 10)
GET = HttpRequest("GET", "/v1/models")
Script = Callable[["Peer"], None]


class Peer:
    """One connection, seen from the server."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(10)

    def request(self) -> bytes:
        """One whole request; b"" when the client has closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.sock.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line[15:])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        whole = bytearray(rest)
        while len(whole) < length:
            whole += self.sock.recv(65536)
        return head + b"\r\n\r\n" + whole

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def wait_for_close(self) -> bool:
        """Whether the client closes within ten seconds."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


class WireServer:
    """`with WireServer(script) as server:`; every connection runs the script in a thread of its
    own."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self._script, self._context = script, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        self.connections = 0
        self.requests: list[bytes] = []
        self.failed: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._peers: list[socket.socket] = []

    def __enter__(self) -> WireServer:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        if kind is None and self.failed:
            raise self.failed[0]

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._start(lambda sock=sock: self._serve(sock))  # type: ignore[misc]

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            self._peers.append(sock)
            try:
                self._script(Peer(sock))
            except AssertionError as error:
                self.failed.append(error)
            finally:
                sock.close()

    def answer(self, peer: Peer, reply: bytes = OK) -> None:
        """A script's usual end: the same answer to every request of a connection."""
        while request := peer.request():
            self.requests.append(request)
            peer.send(reply)


def answering(reply: bytes = OK) -> WireServer:
    """A server that gives one and the same answer, for as long as the connection lasts."""
    server = WireServer(lambda peer: server.answer(peer, reply))
    return server


def own_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for 127.0.0.1, and a server's context with it; skips where there is
    no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        *names,
    ]
    subprocess.run(
        [*make, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=30,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


def begin(
    origin: Origin, request: HttpRequest = GET, limits: Limits = AMPLE
) -> tuple[Call, Waiter]:
    poller = Waiter(CLOCK)
    call = poller.add(Call(origin, request, limits, CLOCK, "it"))
    call.start()
    return call, poller


def run(origin: Origin, request: HttpRequest = GET, limits: Limits = AMPLE) -> tuple[Call, bytes]:
    """A call to its end, and its body."""
    call, poller = begin(origin, request, limits)
    body, until = b"", time.monotonic() + 15
    while not call.finished and time.monotonic() < until:
        poller.wait(until)
        body += call.take()
    call.close()
    return call, body + call.take()


def origin_of(server: WireServer, **options: str) -> Origin:
    return Origin(server.url, CLOCK, **options)
