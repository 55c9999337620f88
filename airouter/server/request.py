"""Reads HTTP/1 requests out of the bytes of a client's connection, and makes a WSGI environment of
each. Pure: no sockets, no time."""

import sys
from collections import deque
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import httptools
import orjson

from airouter.domain.errors import BadRequest, RouterError
from airouter.flow.reply import INCOMING

FIELD_SIZE = 32_768  # bytes per header: browsers send the cookies of all ports of localhost
_MOST_FIELDS = 100
_MOST_URL = 4094  # bytes, as in gunicorn
_MOST_HEAD = 262_144  # bytes of all headers together
_MOST_AHEAD = 32  # requests that a client may send before it has the answer to the first
_VERSIONS = ("1.0", "1.1")


class Incoming:
    """The body of a request, as it arrives."""

    def __init__(self) -> None:
        self.size = 0
        self.complete = False
        self.problem: RouterError | None = None
        self.most = FIELD_SIZE  # until the application says how much it wants
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)

    def take(self) -> bytes:
        """What has come, once."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @property
    def full(self) -> bool:
        """Whether reading pauses."""
        return self.size > self.most


class Request:
    """One request: its head, and its body as it arrives."""

    def __init__(self) -> None:
        self.target = b""
        self.method = ""
        self.version = "1.1"
        self.keep_alive = True
        self.expects_continue = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = Incoming()


class RequestReader:
    """Fed with the bytes of one connection; hands out requests whose head is complete."""

    def __init__(self) -> None:
        self.requests: deque[Request] = deque()
        self.problem: RouterError | None = None  # the connection cannot be read any further
        self._request: Request | None = None  # under way
        self._head_size = 0
        self._in_body = False
        self._resumed: Request | None = None  # its body is read by a parser of its own
        self._parser: Any = httptools.HttpRequestParser(self)

    @property
    def head_begun(self) -> bool:
        """Whether a head is incomplete."""
        return self._request is not None and not self._in_body

    @property
    def overfull(self) -> bool:
        """Whether more of a body has come than is wanted."""
        return self._in_body and self._request is not None and self._request.body.full

    def feed(self, data: bytes) -> None:
        """The next bytes; what is wrong with them is `problem`."""
        if self.problem is not None:
            return
        if not self._in_body:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade()
            if rest := data[upgrade.args[0] :]:
                self.feed(rest)
        except httptools.HttpParserError:
            self._fail(self.problem or _unreadable(in_body=self._in_body))
        else:
            if not self._in_body and self._head_size > _MOST_HEAD:
                self._fail(_too_large_head())

    def end(self) -> None:
        """The client sends no more."""
        request = self._request
        if request is not None and self._in_body and request.body.problem is None:
            request.body.problem = BadRequest(
                "The request body is shorter than its Content-Length.", code="incomplete_body"
            )

    def let_go(self) -> None:
        """No more bytes will come: break the reference cycle with the parser."""
        self._parser = None

    def _decline_upgrade(self) -> None:
        """Another protocol was offered, which HTTP allows to ignore; the parser did not read the
        body, so a new one does, behind a head that offers nothing."""
        request = self.requests[-1]
        self._parser = httptools.HttpRequestParser(self)
        framing = [
            b"%b: %b\r\n" % field
            for field in request.headers
            if field[0] in (b"content-length", b"transfer-encoding")
        ]
        if framing:
            request.body.complete = False
            self._resumed = request
            self._parser.feed_data(b"".join([b"POST / HTTP/1.1\r\n", *framing, b"\r\n"]))

    def _fail(self, problem: RouterError) -> None:
        self.problem = problem
        if self._in_body and self._request is not None:
            self._request.body.problem = problem

    # Called by the parser -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._resumed is not None:
            return
        if len(self.requests) > _MOST_AHEAD:
            self._stop(BadRequest("Too many requests were sent ahead.", code="invalid_http"))
        self._request = Request()
        self._in_body = False

    def on_url(self, url: bytes) -> None:
        if self._resumed is not None:
            return
        assert self._request is not None
        self._request.target += url
        if len(self._request.target) > _MOST_URL:
            self._stop(BadRequest("The request URL is too long.", status=414, code="url_too_long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self._request
        if request is None or self._in_body:  # a trailer
            return
        request.headers.append((name.lower(), value))
        if len(value) > FIELD_SIZE or len(request.headers) > _MOST_FIELDS:
            self._stop(_too_large_head())

    def on_headers_complete(self) -> None:
        if self._resumed is not None:
            self._request, self._resumed, self._in_body = self._resumed, None, True
            return
        request = self._request
        assert request is not None
        request.method = self._parser.get_method().decode("ascii")
        request.version = self._parser.get_http_version()
        request.keep_alive = self._parser.should_keep_alive()
        for name, value in request.headers:
            if name == b"transfer-encoding":
                self._check_coding(value, request.version)
            elif name == b"expect":
                if value.lower() != b"100-continue":
                    self._stop(
                        BadRequest(
                            "The only supported value of the Expect header is 100-continue.",
                            status=417,
                            code="expectation_failed",
                        )
                    )
                request.expects_continue = request.version == "1.1"
        if request.version not in _VERSIONS:
            self._stop(BadRequest("Only HTTP/1.0 and HTTP/1.1 are supported.", code="invalid_http"))
        self._head_size = 0
        self._in_body = True
        self.requests.append(request)

    def on_body(self, piece: bytes) -> None:
        assert self._request is not None
        self._request.body.add(piece)

    def on_message_complete(self) -> None:
        if self._request is not None:
            self._request.body.complete = True
        self._request, self._in_body = None, False

    def _check_coding(self, value: bytes, version: str) -> None:
        codings = [part.strip() for part in value.lower().split(b",")]
        if codings != [b"chunked"] and codings != [b"identity", b"chunked"]:
            self._stop(
                BadRequest(
                    "This Transfer-Encoding is not supported; use Content-Length or chunked "
                    "encoding.",
                    status=501,
                    code="unsupported_transfer_encoding",
                )
            )
        if version == "1.0":
            self._stop(_not_http())

    def _stop(self, problem: RouterError) -> None:
        """End the parser's work: what follows cannot be trusted."""
        if self.problem is None:
            self.problem = problem
        raise httptools.HttpParserError("stopped")


def environ_of(
    request: Request, client: tuple[Any, ...], server: tuple[Any, ...], *, secure: bool
) -> dict[str, Any]:
    """The WSGI environment of a request.

    Args:
        client, server: addresses of both ends, as the socket gives them.
        secure: whether it came by https.

    Raises:
        BadRequest: its target is not one.
    """
    target = request.target
    if not target.startswith(b"/"):
        target = _origin_form(target)
    path, _, query = target.partition(b"?")
    if b"%" in path:
        path = unquote_to_bytes(path)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "RAW_URI": target.decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if secure else "http",
        "wsgi.input": _NO_BODY,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        INCOMING: request.body,
    }
    names = _names
    for name, raw in request.headers:
        key = names.get(name)
        if key is None:
            key = _learn(name)
        if not key:
            continue
        value = raw.decode("latin-1").strip(" \t")
        if key in environ and key not in _SINGLE:
            value = f"{environ[key]},{value}"
        environ[key] = value
    return environ


def whole_answer(error: RouterError) -> bytes:
    """The whole HTTP response to what is no request. The connection is closed after it, because
    the start of the next request is unknown."""
    body = orjson.dumps(error.body())
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
        "Connection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


_NO_BODY = BytesIO()  # the body is in INCOMING
_SINGLE = ("CONTENT_TYPE", "CONTENT_LENGTH")
_names: dict[bytes, str] = {  # of the headers that have been seen, as keys of the environment
    b"content-type": "CONTENT_TYPE",
    b"content-length": "CONTENT_LENGTH",
}


def _learn(name: bytes) -> str:
    """The key of a header; "" if it is dropped: X_Y could pass for X-Y."""
    key = "" if b"_" in name else f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"
    if len(_names) < 1000:  # the names are the clients'
        _names[name] = key
    return key


def _origin_form(target: bytes) -> bytes:
    """The path and query of a target that is not only these."""
    parts = urlsplit(target)
    if parts.scheme not in (b"http", b"https") or not parts.netloc:
        if target == b"*":
            return b"/*"
        raise _not_http()
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")


def _unreadable(*, in_body: bool) -> BadRequest:
    if in_body:
        return BadRequest(
            "The chunked encoding of the request body is invalid.", code="invalid_body"
        )
    return _not_http()


def _not_http() -> BadRequest:
    return BadRequest(
        "Not a valid HTTP request; make sure that the URL starts with http://, not https://.",
        code="invalid_http",
    )


def _too_large_head() -> BadRequest:
    return BadRequest(
        f"The request headers are too large: at most {_MOST_FIELDS} headers of {FIELD_SIZE} bytes "
        "each. The usual cause is cookies of other services on this host.",
        status=431,
        code="headers_too_large",
    )
