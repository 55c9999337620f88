"""Reads request bodies, with limits on time and on size, before and after decompression."""

import zlib
from collections.abc import Mapping
from typing import Any

from gunicorn.http.errors import ParseException

from airouter.domain.clock import Clock
from airouter.domain.errors import BadRequest, RequestTimeout, TooLarge, UnsupportedEncoding
from airouter.settings.schema import Server

ENCODINGS = ("gzip", "deflate")
_SAME = {"x-gzip": "gzip"}
_MOST_ENCODINGS = 2  # one upon another
_PIECE = 256 * 1024
_SLOWEST = 50_000  # bytes/s: minimum upload rate beyond body_timeout


def read_body(environ: Mapping[str, Any], limits: Server, clock: Clock) -> bytes:
    """Read the whole body and decompress it.

    Raises:
        TooLarge, RequestTimeout, UnsupportedEncoding, BadRequest: the message says what to do.
    """
    encodings = _encodings(environ.get("HTTP_CONTENT_ENCODING", ""))
    most = int(limits.max_body_mb * 1_000_000)
    declared = environ.get("CONTENT_LENGTH") or ""
    length = int(declared) if declared.isdigit() else None
    if length is not None and length > most:
        raise _too_large(limits)
    started = clock.monotonic()
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
        raise RequestTimeout(
            f"The request body did not arrive within {limits.body_timeout:g} s "
            "(server.body_timeout)."
        ) from None
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
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    for encoding in reversed(encodings):
        body = _decompressed(body, encoding, limits)
    return body


def _too_large(limits: Server) -> TooLarge:
    return TooLarge(
        f"The request body is larger than {limits.max_body_mb:g} MB (server.max_body_mb)."
    )


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
    most = int(limits.max_body_mb * 1_000_000)
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
