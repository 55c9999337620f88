"""Frames the response to one request as HTTP/1.1; the head leaves with the first bytes of the
body."""

from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from airouter.domain.clock import Clock
from airouter.server.request import Request

_NO_BODY = ("204", "304")
_END = b"0\r\n\r\n"


class Response:
    """`start()` is WSGI's `start_response`."""

    def __init__(self, request: Request) -> None:
        self.started = False  # a status is known
        self.sent = False  # bytes of it have left
        self.keep_alive = request.keep_alive
        self._request = request
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._chunked = False
        self._bodiless = False
        self._left: int | None = None  # bytes of the declared length that are still to come

    def start(
        self, status: str, headers: list[tuple[str, str]], *error: Any
    ) -> Callable[[bytes], None]:
        self._status, self._headers, self.started = status, headers, True
        return _write

    def frame(self, data: bytes) -> bytes:
        """Bytes of the body, as they are sent."""
        head = b"" if self.sent else self._head()
        if self._bodiless or not data:
            return head
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if self._chunked:
            return b"%b%X\r\n%b\r\n" % (head, len(data), data)
        return head + data if head else data

    def end(self) -> bytes:
        """What is sent after the body."""
        head = b"" if self.sent else self._head()
        if self._left and not self._bodiless:
            self.keep_alive = False  # shorter than declared: the client has to notice
        return head + _END if self._chunked else head

    def _head(self) -> bytes:
        request, code = self._request, self._status[:3]
        length = None
        lines = []
        for name, value in self._headers:
            if name.lower() == "content-length":
                length = int(value)
            lines.append(f"{name}: {value}\r\n")
        self._bodiless = request.method == "HEAD" or code in _NO_BODY
        if length is not None:
            self._left = length
        elif not self._bodiless and code not in _NO_BODY:
            self._chunked = request.version == "1.1"
            self.keep_alive = self.keep_alive and self._chunked
        if self._chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        fields = "".join(lines)
        if fields.count("\n") != len(lines) or "\n" in self._status:
            raise ValueError("a line end in a header")
        # An unread body ends the connection: a client that is told so does not use it again.
        self.keep_alive = self.keep_alive and request.body.complete
        connection = "keep-alive" if self.keep_alive else "close"
        head = (
            f"HTTP/1.1 {self._status}\r\nServer: gunicorn\r\nDate: {_date()}\r\n"
            f"Connection: {connection}\r\n{fields}\r\n"
        )
        raw = head.encode("latin-1")
        self.sent = True
        return raw


def _write(_data: bytes) -> None:
    raise NotImplementedError("the write() of WSGI is not supported")


_today = (0, "")


def _date() -> str:
    global _today
    second = int(Clock.monotonic())
    if second != _today[0]:
        _today = second, formatdate(usegmt=True)
    return _today[1]
