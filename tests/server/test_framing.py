"""The response as bytes: the head leaves with the first piece, and the body is framed as the client
can read it."""

from __future__ import annotations

import pytest

from airouter.server.request import RequestReader
from airouter.server.response import Response


def a_response(method: str = "GET", version: str = "1.1", *lines: str) -> Response:
    reader = RequestReader()
    head = "".join(f"{line}\r\n" for line in lines)
    reader.feed(f"{method} / HTTP/{version}\r\n{head}\r\n".encode())
    return Response(reader.requests[0])


def test_a_whole_answer_leaves_in_one_piece() -> None:
    response = a_response()
    response.start("200 OK", [("Content-Length", "5")])
    head, _, rest = response.frame(b"whole").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Length: 5" in head
    assert b"\r\nConnection: keep-alive" in head
    assert b"\r\nDate: " in head
    assert (rest, response.end()) == (b"whole", b"")
    assert response.keep_alive


def test_a_stream_is_framed_piece_by_piece() -> None:
    response = a_response()
    response.start("200 OK", [])
    first = response.frame(b"one")
    assert first.endswith(b"\r\n\r\n3\r\none\r\n")
    assert b"Transfer-Encoding: chunked" in first
    assert response.frame(b"") == b""  # an empty chunk would end it
    assert response.frame(b"x" * 16) == b"10\r\n" + b"x" * 16 + b"\r\n"
    assert response.end() == b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "status"),
    [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")],
)
def test_no_body_where_there_must_be_none(method: str, status: str) -> None:
    response = a_response(method)
    response.start(status, [])
    assert response.frame(b"never sent").endswith(b"\r\n\r\n")
    assert response.end() == b""
    assert response.keep_alive


def test_the_head_of_a_head_request_tells_the_length() -> None:
    response = a_response("HEAD")
    response.start("200 OK", [("Content-Length", "10")])
    assert response.frame(b"0123456789").endswith(b"Content-Length: 10\r\n\r\n")
    assert response.end() == b""
    assert response.keep_alive


def test_an_answer_without_a_body_still_has_a_head() -> None:
    response = a_response()
    response.start("200 OK", [("Content-Length", "0")])
    assert response.end().endswith(b"Content-Length: 0\r\n\r\n")


def test_http_1_0_gets_no_chunks() -> None:
    response = a_response("GET", "1.0", "Connection: keep-alive")
    response.start("200 OK", [])
    sent = response.frame(b"one") + response.frame(b"two") + response.end()
    assert sent.endswith(b"\r\n\r\nonetwo")
    assert b"chunked" not in sent
    assert b"Connection: close" in sent
    assert not response.keep_alive


def test_a_client_that_wants_the_end_gets_it() -> None:
    response = a_response("GET", "1.1", "Connection: close")
    response.start("200 OK", [("Content-Length", "1")])
    assert b"Connection: close" in response.frame(b"x")
    assert not response.keep_alive


@pytest.mark.parametrize("body", [b"12345678", b"123"])
def test_a_body_is_never_longer_than_declared_and_a_shorter_one_ends_the_connection(
    body: bytes,
) -> None:
    """What follows would be read as the next answer."""
    response = a_response()
    response.start("200 OK", [("Content-Length", "5")])
    assert response.frame(body).endswith(b"\r\n\r\n" + body[:5])
    response.end()
    assert response.keep_alive is (len(body) >= 5)


@pytest.mark.parametrize("where", ["status", "name", "value"])
def test_no_header_ends_the_line(where: str) -> None:
    response = a_response()
    bad = "a\r\nX-Evil: 1"
    response.start(
        bad if where == "status" else "200 OK",
        [(bad if where == "name" else "A", bad if where == "value" else "1")],
    )
    with pytest.raises(ValueError, match="line end"):
        response.frame(b"x")
