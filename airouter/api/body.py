"""Reads request bodies, with limits on time and on size, before and after decompression."""

import zlib
from collections.abc import Mapping
from typing import Any

from gunicorn.http.errors import ParseException

from airouter.domain.clock import Clock
from airouter.domain.errors import (
    BadRequest,
    ClientGone,
    RequestTimeout,
    TooLarge,
    UnsupportedEncoding,
)
from airouter.flow.exchange import Exchange
from airouter.flow.reply import INCOMING, Incoming
from airouter.flow.waits import Waiting
from airouter.settings.schema import Server

ENCODINGS = ("gzip", "deflate")
_SAME = {"x-gzip": "gzip"}
_MOST_ENCODINGS = 2  # one upon another
_PIECE = 256 * 1024
_SMALL_MB = 1.0
_SLOWEST = 50_000  # bytes/s: minimum upload rate beyond body_timeout


def small(limits: Server) -> Server:
    """The limits for /admin/* and /dashboard/*, which check who sends a body after it is there."""
    if limits.max_body_mb <= _SMALL_MB:
        return limits
    return limits.model_copy(update={"max_body_mb": _SMALL_MB})


def receive(exchange: Exchange, environ: Mapping[str, Any], limits: Server) -> Waiting[bytes]:
    """Wait for the whole body, where the server reads it without a thread, else read it; and
    decompress it.

    Raises:
        TooLarge, RequestTimeout, UnsupportedEncoding, BadRequest: the message says what to do.
    """
    encodings, length = _declared(environ, limits)
    incoming: Incoming | None = environ.get(INCOMING)
    if incoming is None:
        return _decoded(_read(environ, length, limits, exchange.clock), encodings, limits)
    incoming.most = most = _most(limits)
    started = exchange.clock.monotonic()
    while True:
        if incoming.size > most:
            raise _too_large(limits)
        if incoming.complete:
            if exchange.left:
                raise ClientGone
            return _decoded(incoming.take(), encodings, limits)
        if incoming.problem is not None:
            raise incoming.problem
        until = started + limits.body_timeout + incoming.size / _SLOWEST
        if exchange.clock.monotonic() >= until:
            raise _too_slow(limits)
        yield from exchange.wait(until)


def read_body(environ: Mapping[str, Any], limits: Server, clock: Clock) -> bytes:
    """Read the whole body and decompress it.

    Raises:
        TooLarge, RequestTimeout, UnsupportedEncoding, BadRequest: the message says what to do.
    """
    encodings, length = _declared(environ, limits)
    return _decoded(_read(environ, length, limits, clock), encodings, limits)


def _declared(environ: Mapping[str, Any], limits: Server) -> tuple[list[str], int | None]:
    """(encodings, length if it is declared)."""
    encodings = _encodings(environ.get("HTTP_CONTENT_ENCODING", ""))
    declared = environ.get("CONTENT_LENGTH") or ""
    length = int(declared) if declared.isdigit() else None
    if length is not None and length > _most(limits):
        raise _too_large(limits)
    return encodings, length


def _read(environ: Mapping[str, Any], length: int | None, limits: Server, clock: Clock) -> bytes:
    most, started = _most(limits), clock.monotonic()
    stream, pieces, size = environ["wsgi.input"], [], 0
    try:
        while length is None or size < length:
            piece = stream.read(_PIECE if length is None else min(_PIECE, length - size))
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise _too_large(limits)
            if clock.monotonic() - started > limits.body_timeout + size / _SLOWEST:
                raise TimeoutError
    except TimeoutError:
        raise _too_slow(limits) from None
    except OSError:
        raise BadRequest(
            "The connection broke before the request body was complete.", code="incomplete_body"
        ) from None
    except ParseException:
        raise BadRequest(
            "The chunked encoding of the request body is invalid.", code="invalid_body"
        ) from None
    if length is not None and size < length:
        raise BadRequest(
            "The request body is shorter than its Content-Length.", code="incomplete_body"
        )
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _decoded(body: bytes, encodings: list[str], limits: Server) -> bytes:
    for encoding in reversed(encodings):
        body = _decompressed(body, encoding, limits)
    return body


def _most(limits: Server) -> int:
    return int(limits.max_body_mb * 1_000_000)


def _too_slow(limits: Server) -> RequestTimeout:
    return RequestTimeout(
        f"The request body did not arrive within {limits.body_timeout:g} s (server.body_timeout)."
    )


def _too_large(limits: Server) -> TooLarge:
    setting = "" if limits.max_body_mb == _SMALL_MB else " (server.max_body_mb)"
    return TooLarge(f"The request body is larger than {limits.max_body_mb:g} MB{setting}.")


def _encodings(header: str) -> list[str]:
    """The content encodings of the body, in the order in which they were applied.

    Raises:
        UnsupportedEncoding: the message lists the supported ones.
    """
    if not header:
        return []
    named = [_SAME.get(name, name) for name in (n.strip() for n in header.lower().split(","))]
    found = [name for name in named if name not in ("", "identity")]
    if len(found) > _MOST_ENCODINGS or not set(found) <= set(ENCODINGS):
        raise UnsupportedEncoding(
            f"Content-Encoding {header[:40]!r} is not supported; send the body uncompressed, or "
            f"compressed with {' or '.join(ENCODINGS)}.",
            headers={"Accept-Encoding": ", ".join(ENCODINGS)},
        )
    return found


def _decompressed(body: bytes, encoding: str, limits: Server) -> bytes:
    """The decompressed body; never more than max_body_mb, which guards against zip bombs."""
    most = _most(limits)
    # 47: gzip or zlib, detected by header. Some clients send "deflate" without a zlib header (-15).
    zlib_head = len(body) >= 2 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    bits = -15 if encoding == "deflate" and not zlib_head else 47
    pieces, size = [], 0
    try:
        while body:
            member = zlib.decompressobj(bits)
            pieces.append(member.decompress(body, most - size + 1))
            size += len(pieces[-1])
            if size > most:
                raise _too_large(limits)
            if not member.eof:
                raise zlib.error("truncated")
            body = member.unused_data if bits == 47 else b""  # gzip allows several members
    except zlib.error:
        raise BadRequest(
            f"The request body is not valid {encoding}, although Content-Encoding says so.",
            code="invalid_body",
        ) from None
    return b"".join(pieces)
