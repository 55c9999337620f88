"""Reading a request's body: bounded in size, also once it is decompressed, and in time."""

import zlib
from collections.abc import Mapping
from typing import Any

from gunicorn.http.errors import ParseException

from airouter.clock import Clock
from airouter.errors import BadRequest, RequestTimeout, TooLarge, UnsupportedEncoding
from airouter.settings import Server

ENCODINGS = ("gzip", "deflate")
_SAME = {"x-gzip": "gzip"}
_MOST_ENCODINGS = 2  # one upon another
_PIECE = 256 * 1024
_SLOWEST = 50_000  # bytes/s below which a sender is not waited for beyond body_timeout


def read_body(environ: Mapping[str, Any], limits: Server, clock: Clock) -> bytes:
    """All of it, decompressed.

    Raises:
        TooLarge, RequestTimeout, UnsupportedEncoding, BadRequest: the sentence says what to do.
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
            f"The body did not arrive within {limits.body_timeout:g} s; send it in one go."
        ) from None
    except OSError:
        raise BadRequest(
            "The connection broke while the body was sent.", code="incomplete_body"
        ) from None
    except ParseException:
        raise BadRequest("The body's chunks are not valid.", code="invalid_body") from None
    if length is not None and size < length:
        raise BadRequest("The body is shorter than its Content-Length.", code="incomplete_body")
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    for encoding in reversed(encodings):
        body = _decompressed(body, encoding, limits)
    return body


def _too_large(limits: Server) -> TooLarge:
    return TooLarge(f"The body is larger than {limits.max_body_mb:g} MB (server.max_body_mb).")


def _encodings(header: str) -> list[str]:
    """What a body was compressed with, in the order in which that was done.

    Raises:
        UnsupportedEncoding: naming those that are understood.
    """
    if not header:
        return []
    named = [_SAME.get(name, name) for name in (n.strip() for n in header.lower().split(","))]
    found = [name for name in named if name not in ("", "identity")]
    if len(found) > _MOST_ENCODINGS or not set(found) <= set(ENCODINGS):
        raise UnsupportedEncoding(
            f"The body's Content-Encoding {header[:40]!r} is not supported; send it as it is, "
            f"or with one of {', '.join(ENCODINGS)}.",
            headers={"Accept-Encoding": ", ".join(ENCODINGS)},
        )
    return found


def _decompressed(body: bytes, encoding: str, limits: Server) -> bytes:
    """Never makes more than max_body_mb, however well it was compressed."""
    most = int(limits.max_body_mb * 1_000_000)
    # 47: gzip or zlib by its head. "deflate" without zlib's head (-15) is what some clients send.
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
                raise zlib.error("it breaks off")
            body = member.unused_data if bits == 47 else b""  # gzip files may be joined
    except zlib.error:
        raise BadRequest(
            f"The body is not valid {encoding}, which its Content-Encoding says it is.",
            code="invalid_body",
        ) from None
    return b"".join(pieces)
