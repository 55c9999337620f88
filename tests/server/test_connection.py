"""One client's connection: bounded in time and memory, whatever the client does."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from loop_rig import GET, Rig, hello, replying
from upstream.wire_server import own_certificate

from airouter.flow.exchange import Exchange
from airouter.flow.reply import INCOMING, Sending
from airouter.server.connection import Limits

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
SHORT = Limits(head=0.2, write=0.2, idle=0.2)


def make(rigs: list[Rig], *args: Any, **changes: Any) -> Rig:
    rigs.append(Rig(*args, **changes))
    return rigs[-1]


def endless(exchange: Exchange, _environ: Any, start: Any) -> Sending:
    start("200 OK", [])
    while True:
        yield b"x" * 1000


def test_one_request_after_the_other(rigs: list[Rig]) -> None:
    rig = make(rigs)
    sock = rig.connect(GET)
    assert rig.read(sock, b"hi").startswith(b"HTTP/1.1 200 OK\r\n")
    sock.sendall(GET[:10])
    rig.step()
    sock.sendall(GET[10:] + GET)
    assert rig.read(sock, b"hi").count(b"hi") >= 1
    rig.step()
    assert len(rig.clients.connections) == 1


def test_an_idle_connection_is_closed_after_its_time(rigs: list[Rig]) -> None:
    rig = make(rigs, limits=SHORT)
    silent, served = rig.connect(), rig.connect(GET)
    assert rig.read(silent) == b""
    assert rig.read(served).endswith(b"hi")
    assert not rig.clients.connections


def test_a_head_that_does_not_end_is_answered_408(rigs: list[Rig]) -> None:
    """However slowly it goes on coming: the limit counts from its beginning."""
    rig = make(rigs, limits=Limits(head=0.3, write=60, idle=60))
    sock = rig.connect(b"GET / HTTP/1.1\r\nX-A: ")
    for _ in range(100):
        rig.step(0.02)
        try:
            sock.sendall(b"a")
        except OSError:
            break
        if rig.warned:
            break
    assert rig.read(sock).startswith(b"HTTP/1.1 408 ")
    assert "request_timeout" in rig.warned[0]


def test_a_reader_that_stops_costs_a_bounded_buffer_and_is_cut(rigs: list[Rig]) -> None:
    rig = make(rigs, replying(endless), limits=Limits(head=5, write=0.3, idle=5))
    rig.connect(GET)
    rig.step(0.1)
    (connection,) = rig.clients.connections
    assert connection.congested
    assert connection._out_size < 256_000
    rig.until(lambda: not rig.clients.connections)


def test_a_slow_reader_gets_everything_in_order(rigs: list[Rig]) -> None:
    def numbers(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        start("200 OK", [("Content-Length", "3000000")])
        for number in range(3000):
            yield b"%1000d" % number

    rig = make(rigs, replying(numbers))
    sock = rig.connect(GET)
    rig.step(0.05)
    body = rig.read(sock, b"%1000d" % 2999).partition(b"\r\n\r\n")[2]
    assert [int(body[i : i + 1000]) for i in range(0, 3_000_000, 1000)] == list(range(3000))


def test_closing_waits_for_the_client_without_anybody_waiting_for_it(rigs: list[Rig]) -> None:
    """It may still send; the others are served meanwhile."""
    rig = make(rigs)
    slow = rig.connect(GET.replace(b"Host", b"Connection: close\r\nHost"))
    assert rig.read(slow).endswith(b"hi")
    slow.setblocking(True)
    slow.sendall(b"more" * 1000)
    assert rig.read(rig.connect(GET), b"hi")
    assert len(rig.clients.connections) == 2
    slow.close()
    rig.until(lambda: len(rig.clients.connections) == 1)


def test_a_client_that_does_not_close_is_closed(
    rigs: list[Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airouter.server.connection._LINGER", 0.2)
    rig = make(rigs)
    rig.connect(GET.replace(b"Host", b"Connection: close\r\nHost"))
    rig.until(lambda: not rig.clients.connections)


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", GET + b"nonsense\r\n\r\n"])
def test_what_is_no_request_ends_the_connection(rigs: list[Rig], raw: bytes) -> None:
    rig = make(rigs)
    got = rig.read(rig.connect(raw))
    assert (b"HTTP/1.1 200" in got) is raw.startswith(b"GET")
    assert b"HTTP/1.1 400 " in got
    assert rig.warned == ["Invalid request from ip=127.0.0.1: invalid_http"]


def test_an_unread_body_ends_the_connection(rigs: list[Rig]) -> None:
    """What follows it could not be told from it; the client is told, lest it uses it again."""
    rig = make(rigs)
    sock = rig.connect(POST % 1000 + b"part")
    answer = rig.read(sock)
    assert answer.endswith(b"hi")
    assert b"Connection: close\r\n" in answer


def test_more_of_a_body_than_is_wanted_is_not_read(rigs: list[Rig]) -> None:
    seen: list[Any] = []

    def wants(exchange: Exchange, environ: dict[str, Any], start: Any) -> Sending:
        incoming = environ[INCOMING]
        incoming.most = 100_000
        seen.append(incoming)
        while not incoming.complete and incoming.size <= incoming.most:
            yield from exchange.wait()  # type: ignore[misc]
        start("413 Too Large", [("Content-Length", "0")])

    rig = make(rigs, replying(wants))
    sock = rig.connect(POST % 50_000_000)
    sock.setblocking(False)
    sent = 0
    for _ in range(200):
        try:
            sent += sock.send(b"x" * 100_000)
        except OSError:
            break
        rig.step(0.002)
    assert seen[0].size < 300_000
    assert rig.read(sock).startswith(b"HTTP/1.1 413 ")


def test_the_client_may_ask_before_it_sends_the_body(rigs: list[Rig]) -> None:
    def reads(exchange: Exchange, environ: dict[str, Any], start: Any) -> Sending:
        while not environ[INCOMING].complete:
            yield from exchange.wait()  # type: ignore[misc]
        start("200 OK", [("Content-Length", "5")])
        yield environ[INCOMING].take()

    rig = make(rigs, replying(reads))
    sock = rig.connect(POST.replace(b"Host", b"Expect: 100-continue\r\nHost") % 5)
    assert rig.read(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b"Hello")
    assert rig.read(sock, b"Hello").startswith(b"HTTP/1.1 200 ")


def test_tls(rigs: list[Rig], tls_pair: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """A client that does not finish its handshake delays no other."""
    serving, asking = tls_pair
    rig = make(rigs, hello, tls=serving, limits=Limits(head=5, write=5, idle=0.5))
    silent = rig.connect()
    sock = rig.connect()
    sock.setblocking(False)
    wrapped = asking.wrap_socket(sock, do_handshake_on_connect=False, server_hostname="localhost")
    rig.opened.append(wrapped)
    while True:
        try:
            wrapped.do_handshake()
            break
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            rig.step(0.002)
    wrapped.send(GET)
    got = b""
    while not got.endswith(b"hi"):
        rig.step(0.002)
        try:
            got += wrapped.recv(65536)
        except ssl.SSLWantReadError:
            continue
    assert rig.read(silent) == b""


def test_a_broken_handshake_is_closed(
    rigs: list[Rig], tls_pair: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    rig = make(rigs, hello, tls=tls_pair[0])
    sock = rig.connect(GET)
    rig.read(sock)
    assert not rig.clients.connections


@pytest.fixture(scope="module")
def tls_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(of a server, of a client that trusts it)."""
    certificate, serving = own_certificate(tmp_path_factory.mktemp("tls"))
    asking = ssl.create_default_context(cafile=str(certificate))
    asking.check_hostname = False
    return serving, asking
