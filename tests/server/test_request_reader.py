"""Requests out of bytes: however they are cut, whatever is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.domain.errors import BadRequest
from airouter.server.request import FIELD_SIZE, Request, RequestReader, environ_of, whole_answer

POST = (
    b"POST /v1/chat/completions?a=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 5\r\n\r\nHello"
)
CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nHel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n"
)


def read(*pieces: bytes) -> RequestReader:
    reader = RequestReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


def environ(request: Request) -> dict[str, Any]:
    return environ_of(request, ("10.0.0.1", 5), ("127.0.0.1", 80), secure=False)


def one(raw: bytes) -> dict[str, Any]:
    reader = read(raw)
    assert reader.problem is None
    return environ(reader.requests[0])


@pytest.mark.parametrize("raw", [POST, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_however_it_is_cut(raw: bytes, size: int) -> None:
    reader = read(*(raw[i : i + size] for i in range(0, len(raw), size)))
    (request,) = reader.requests
    assert request.body.complete
    assert request.body.take() == b"Hello"
    assert not reader.head_begun
    assert len(request.headers) == (2 if raw is CHUNKED else 3)  # a trailer is none


def test_the_head_comes_before_the_body() -> None:
    """It can be refused before its body has come."""
    reader = read(POST[:-3])
    (request,) = reader.requests
    assert not request.body.complete
    assert request.body.size == 2
    reader.end()
    assert request.body.problem is not None
    assert request.body.problem.code == "incomplete_body"


def test_requests_sent_ahead() -> None:
    reader = read(POST + CHUNKED + POST[:10])
    assert [request.body.take() for request in reader.requests] == [b"Hello", b"Hello"]
    assert reader.head_begun
    assert read(POST * 100).problem is not None


def test_what_is_sent_behind_a_bad_request_is_not_served() -> None:
    reader = read(POST + b"nonsense\r\n\r\n" + POST)
    assert len(reader.requests) == 1
    assert reader.problem is not None
    reader.feed(POST)
    assert len(reader.requests) == 1


def test_an_offer_of_another_protocol_is_ignored() -> None:
    """Java's client sends it with each first request."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    get = b"GET / HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n"
    post = POST.replace(b"Host: x\r\n", b"Host: x\r\n" + offer)
    reader = read(get + post + POST)
    assert reader.problem is None
    assert [request.method for request in reader.requests] == ["GET", "POST", "POST"]
    assert [request.body.take() for request in reader.requests] == [b"", b"Hello", b"Hello"]


def test_reading_pauses_when_more_comes_than_is_wanted() -> None:
    reader = read(POST.replace(b": 5", b": 50"))
    (request,) = reader.requests
    request.body.most = 5
    assert not reader.overfull
    reader.feed(b"x")
    assert reader.overfull
    request.body.most = 100
    assert not reader.overfull


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (
            b"GET / HTTP/1.1\r\nCookie: " + b"a" * FIELD_SIZE + b"a\r\n\r\n",
            431,
            "headers_too_large",
        ),
        (b"GET / HTTP/1.1\r\nCookie: " + b"a" * 300_000, 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"A: 1\r\n" * 102, 431, "headers_too_large"),
        (b"GET /" + b"a" * 5000, 414, "url_too_long"),
        (b"GET / HTTP/2.0\r\n\r\n", 400, "invalid_http"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "invalid_http"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, None),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "invalid_http"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "invalid_http",
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            400,
            "invalid_http",
        ),
        (b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", 400, "invalid_http"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nA: 1\x00\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nA : 1\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nExpect: 200-ok\r\n\r\n", 417, "expectation_failed"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_refused(raw: bytes, status: int, code: str | None) -> None:
    reader = read(raw)
    problem = reader.problem
    assert problem is not None
    assert problem.status == status
    assert code in (None, problem.code)
    assert not reader.requests
    head, _, text = whole_answer(problem).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in head
    assert problem.message.encode() in text


@pytest.mark.parametrize("size", [b"zz", b"5;", b"-1", b"0x5"])
def test_a_bad_chunk_is_the_bodys_fault(size: bytes) -> None:
    reader = read(CHUNKED.split(b"\r\n\r\n")[0] + b"\r\n\r\n", size + b"\r\nHello\r\n0\r\n\r\n")
    (request,) = reader.requests
    if size != b"5;":  # an extension without a name
        assert request.body.problem is not None
        assert request.body.problem.code == "invalid_body"


def test_the_environment() -> None:
    found = one(
        b"GET /a%20b%2Fc?q=%20 HTTP/1.1\r\nHost: here:1\r\n"
        b"X-One: a\r\nx-one:  b \r\nX_One: evil\r\n"
        b"Content-Type: text/plain\r\nAccept: \xe4\r\n\r\n"
    )
    assert (found["PATH_INFO"], found["QUERY_STRING"]) == ("/a b/c", "q=%20")
    assert (found["HTTP_HOST"], found["HTTP_X_ONE"]) == ("here:1", "a,b")
    assert (found["CONTENT_TYPE"], found["HTTP_ACCEPT"]) == ("text/plain", "ä")
    assert (found["REMOTE_ADDR"], found["SERVER_PORT"]) == ("10.0.0.1", "80")
    assert found["wsgi.url_scheme"] == "http"
    assert "HTTP_CONTENT_TYPE" not in found


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"http://here/v1/models?x=1", "/v1/models"), (b"http://here", "/"), (b"//x", "//x")],
)
def test_targets_in_other_forms(target: bytes, path: str) -> None:
    assert one(b"GET " + target + b" HTTP/1.1\r\n\r\n")["PATH_INFO"] == path


def test_a_proxys_request_is_refused() -> None:
    (request,) = read(b"CONNECT elsewhere:443 HTTP/1.1\r\n\r\n").requests
    with pytest.raises(BadRequest):
        environ(request)


def test_unknown_header_names_are_not_kept_for_ever() -> None:
    from airouter.server import request as module

    for number in range(2000):
        one(b"GET / HTTP/1.1\r\nX-%d: 1\r\n\r\n" % number)
    assert len(module._names) <= 1000
