"""Backends that answer what was not asked for: a switch of protocols, a second answer, shapes that
break their reader."""

from __future__ import annotations

import gzip
import threading
import zlib
from pathlib import Path

import pytest
from making import make_backend
from wire_server import (
    CLOCK,
    GET,
    OK,
    Peer,
    WireServer,
    answering,
    begin,
    origin_of,
    own_certificate,
    run,
)

from airouter.domain.errors import UpstreamBroken
from airouter.settings.schema import BackendSettings
from airouter.upstream.backend import Backend
from airouter.upstream.client import open_call
from airouter.upstream.health import HealthChecker, ask_all
from airouter.upstream.transport.inflate import decoder_for

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\n"
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSTOLEN"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def backend(url: str, **fields: object) -> Backend:
    settings = BackendSettings(kind="vllm", url=url, **fields)  # type: ignore[arg-type]
    return make_backend("b", settings, CLOCK)


@pytest.mark.parametrize(
    "answer",
    [
        SWITCH + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        SWITCH + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n\x00\x00\x00\x04",
        SWITCH + b"\r\n",
        SWITCH + b"Content-Length: 5\r\n\r\nhello",
    ],
)
def test_a_switch_of_protocols_is_no_answer(answer: bytes) -> None:
    """101 is a broken answer at once, with or without `Upgrade`, and its connection is closed."""
    with answering(answer) as server:
        origin = origin_of(server)
        call, body = run(origin)
        assert isinstance(call.error, UpstreamBroken)
        assert ("101" in call.error.message, body, origin.idle_count()) == (True, b"", 0)


def test_an_offered_upgrade_is_not_a_switch() -> None:
    """A server that only says what it could also speak has answered."""
    offer = OK.replace(b"\r\n\r\n", b"\r\nUpgrade: h2,h2c\r\nConnection: Upgrade\r\n\r\n")
    with answering(offer) as server:
        call, body = run(origin_of(server))
        assert (call.error, call.status, body) == (None, 200, b"hello")


@pytest.mark.parametrize("whole", [OK, CHUNKED])
@pytest.mark.parametrize(
    "surplus", [SECOND, b"STOLEN", b"H", b"\x00", b"HTTP/1.1 401 No\r\nX-A: STOLEN\r\n\r\n", OK]
)
def test_what_follows_an_answer_is_not_read(whole: bytes, surplus: bytes) -> None:
    """The answer is the first one, and the connection is not used again."""
    with answering(whole + surplus) as server:
        origin = origin_of(server)
        for count in (1, 2):
            call, body = run(origin)
            assert (call.error, call.complete, call.status, body) == (None, True, 200, b"hello")
            assert (origin.idle_count(), server.connections) == (0, count)
        assert "x-a" not in call.headers


def test_what_follows_later_closes_the_idle_connection() -> None:
    """Bytes received on an idle connection close it and do not belong to any answer."""

    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(OK)
            if server.connections == 1:
                peer.send(SECOND)
                arrived.set()

    arrived = threading.Event()
    with WireServer(script) as server:
        origin = origin_of(server)
        run(origin)
        assert arrived.wait(5)
        call, body = run(origin)
        assert (call.error, body) == (None, b"hello")
        assert server.connections == 2
        origin.close()


def test_what_follows_inside_tls_closes_the_connection(tmp_path: Path) -> None:
    """Decrypted bytes that poll() does not see count as well."""
    certificate, context = own_certificate(tmp_path)
    with WireServer(lambda peer: server.answer(peer, OK + SECOND), context) as server:
        origin = origin_of(server, ca_file=str(certificate))
        for count in (1, 2):
            call, body = run(origin)
            assert (call.error, body) == (None, b"hello")
            assert (origin.idle_count(), server.connections) == (0, count)


@pytest.mark.parametrize("error", [ValueError("odd"), RecursionError(), KeyError("x")])
def test_a_fault_of_the_reader_fails_its_call_only(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception while an answer is read is that call's failure: another call on the poller goes
    on."""

    def broken() -> None:
        raise error

    with answering() as server:
        origin = origin_of(server)
        bad, poller = begin(origin)
        bad.on_progress = broken
        good = poller.add(open_call(backend(server.url), GET)).start()
        until = CLOCK.monotonic() + 10
        while not (bad.finished and good.finished) and CLOCK.monotonic() < until:
            poller.wait(until)
        assert isinstance(bad.error, UpstreamBroken)
        assert (good.error, good.take()) == (None, b"hello")
        assert "unexpected error in a call to backend 'it'" in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        SWITCH + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        *(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            for body in (b'{"data": 5}', b'{"data": [5]}', b'{"data": true}', b'{"data": {"a": 1}}')
        ),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 17_000_000,
        b"\x00\xff",
        b"",
    ],
)
def test_one_backend_does_not_spoil_the_others_health(answer: bytes) -> None:
    """Whatever one backend answers to a probe, the others' health is known, twice in a row."""
    models = b'HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{"data": [{"id": "m"}]}'

    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(answer)
            if not answer or answer.endswith(b"x"):
                return

    with WireServer(script) as bad, answering(models) as good:
        backends = {"bad": backend(bad.url), "good": backend(good.url)}
        for told in (HealthChecker(backends, CLOCK, 3).check(), ask_all(backends, CLOCK, 3)):
            assert set(told) == {"bad", "good"}
            assert told["good"].healthy
        assert (backends["bad"].model, backends["good"].model) == (None, "m")


def test_a_backend_that_cannot_even_be_asked_is_unhealthy() -> None:
    """Whatever goes wrong while it is asked is its own backend's problem."""
    models = b'HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{"data": [{"id": "m"}]}'
    with answering(models) as server:
        backends = {
            "bad": backend(server.url),
            "good": backend(server.url),
        }
        backends["bad"].headers = {"Authorization": "Bearer schlüssel-\u20ac"}
        told = ask_all(backends, CLOCK, 3)
        assert (told["bad"].healthy, told["good"].healthy) == (False, True)
        assert "\u20ac" not in str(told["bad"].problem)


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        HEAD + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
    ],
)
def test_what_other_clients_read_is_read(answer: bytes) -> None:
    """Lines without CR, a length beside chunks, a blank behind a chunk's size."""
    with answering(answer) as server:
        call, body = run(origin_of(server), GET)
        assert (call.error, body) == (None, b"hello")


def test_a_connection_with_two_lengths_is_not_kept() -> None:
    """Where the answer ends is not certain there, so nothing else is read from it."""
    twice = HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    with answering(twice) as server:
        origin = origin_of(server)
        run(origin, GET)
        assert origin.idle_count() == 0


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


TEXT = b'{"choices": [{"message": {"content": "hello"}}]}'


@pytest.mark.parametrize("pieces", [1, 1000])
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT) + gzip.compress(b"")),
        ("gzip", gzip.compress(TEXT)[:-8]),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", _raw_deflate(TEXT)),
        ("gzip, gzip", gzip.compress(gzip.compress(TEXT))),
        ("gzip, identity", gzip.compress(TEXT)),
        ("gzip", TEXT),
        ("none", TEXT),
        ("UTF-8", TEXT),
    ],
)
def test_a_body_is_unpacked_as_what_it_is(encoding: str, body: bytes, pieces: int) -> None:
    """Whatever its header says of it: some gateways unpack a body and leave the header."""
    decode = decoder_for(encoding)
    assert decode is not None
    got = b"".join(decode(body[at : at + pieces]) for at in range(0, len(body), pieces))
    assert got == TEXT


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "gzip, gzip, gzip"])
def test_what_cannot_be_unpacked_is_said(encoding: str) -> None:
    """The reason names the encoding."""
    head = HEAD + f"Content-Encoding: {encoding}\r\n".encode()
    with answering(head + b"Content-Length: 2\r\n\r\n\x1b\x00") as server:
        call, _ = run(origin_of(server), GET)
        assert isinstance(call.error, UpstreamBroken)
        assert encoding in call.error.message
