"""Reads one HTTP response out of the bytes of a connection. Pure, but for the clock."""

import zlib
from collections import deque
from typing import Any

import httptools

from airouter.domain.clock import Clock
from airouter.domain.errors import UpstreamBroken
from airouter.upstream.transport.inflate import Decode, TooDense, decoder_for

_MAX_HEADER_BYTES = 256 * 1024
# HttpParserUpgrade, raised for a 101 that was not asked for, is not an HttpParserError.
_NOT_HTTP = (httptools.HttpParserError, httptools.HttpParserUpgrade)


class ResponseReader:
    """Fed with bytes; `status` and `headers` once they came, body bytes through `take()`.

    As lenient as the HTTP libraries of most clients in what changes no meaning: lines without CR, a
    length beside chunks (which count), blanks behind a chunk's size.

    Args:
        name: of the backend, for messages.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.head_at: float | None = None
        self.first_body_at: float | None = None
        self.buffered = 0  # body bytes received and not yet taken
        self.received = 0  # bytes of the head so far
        self.whole = False  # the answer's last byte has been parsed
        self.reusable = False  # the connection, as far as the answer says
        self._name = name
        self._clock = clock
        self._body: deque[bytes] = deque()
        self._error: UpstreamBroken | None = None
        self._has_length = False
        self._contradictory = False  # it states its length in two ways
        self._switches = False  # it wants to speak another protocol
        self._decode: Decode | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    def feed(self, data: bytes) -> None:
        """The next bytes of the connection.

        Raises:
            UpstreamBroken: they are not an HTTP response, or not one that can be read.
        """
        if self.head_at is None:
            self.received += len(data)
            if self.received > _MAX_HEADER_BYTES:
                raise UpstreamBroken(
                    f"The backend {self._name!r} sent more than 256 kB of headers."
                )
        try:
            self._parser.feed_data(data)
        except _NOT_HTTP as error:
            if self._error is None and not self.whole:
                upgrade = isinstance(error, httptools.HttpParserUpgrade) or self._switches
                what = "a protocol switch (101)" if upgrade else "data that is not HTTP"
                self._error = UpstreamBroken(f"The backend {self._name!r} answered with {what}.")
            self.reusable = False  # bytes behind the answer that are not even HTTP
        if self._error is not None:
            raise self._error

    def let_go(self) -> None:
        """No more bytes will come: break the reference cycle with the parser."""
        self._parser = None

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of the answer."""
        return self.head_at is not None and not self._has_length

    def take(self) -> bytes:
        """The body bytes received since the last call (b"" when none)."""
        if not self._body:
            return b""
        if len(self._body) == 1:
            data = self._body.popleft()
        else:
            data = b"".join(self._body)
            self._body.clear()
        self.buffered = 0
        return data

    # Called by the parser -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        # A second answer, which nothing has asked for: it would be taken for that of the next
        # request.
        self.reusable = self.reusable and not self.whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_at is None:  # later ones are trailers
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self.whole:
            return
        status = self._parser.get_status_code()
        # Final, unlike the others below 200; without `Upgrade` the parser itself accepts it.
        if status == 101:
            self._switches = True
            raise httptools.HttpParserInvalidStatusError
        if status < 200:  # 100 Continue, 103 Early Hints: the answer is still to come
            self.headers.clear()
            return
        self.status = status
        self.head_at = self._clock.monotonic()
        transfer = self.headers.get("transfer-encoding")
        length = "content-length" in self.headers
        self._has_length = length if transfer is None else "chunked" in transfer.lower()
        self._contradictory = length and transfer is not None
        encoding = self.headers.get("content-encoding", "identity")
        if encoding.strip().lower() not in ("", "identity"):
            self._decode = decoder_for(encoding) or self._undecodable

    def _undecodable(self, _data: bytes) -> bytes:
        """The body of an error may be missing; that of an answer may not."""
        if self.status < 400:
            encoding = self.headers["content-encoding"][:40]
            self._error = UpstreamBroken(
                f"The backend {self._name!r} sent a body compressed with {encoding!r}, "
                "although it was asked for an uncompressed one."
            )
        return b""

    def on_body(self, data: bytes) -> None:
        if self.whole or self._error is not None:
            return
        if self._decode is not None:
            try:
                data = self._decode(data)
            except zlib.error as error:
                dense = isinstance(error, TooDense)
                what = "unpacks to far more than it weighs" if dense else "is damaged"
                self._error = UpstreamBroken(
                    f"The backend {self._name!r} sent a compressed body that {what}."
                )
                return
        if self.first_body_at is None:
            self.first_body_at = self._clock.monotonic()
        self._body.append(data)
        self.buffered += len(data)

    def on_message_complete(self) -> None:
        if self.head_at is not None and self._error is None and not self.whole:
            keep = self._parser.should_keep_alive() and not self._contradictory
            self.whole, self.reusable = True, keep
