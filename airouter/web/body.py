"""Reading a request's body: bounded in size and in time."""

from collections.abc import Mapping
from typing import Any

from gunicorn.http.errors import ParseException

from airouter.clock import Clock
from airouter.errors import BadRequest, RequestTimeout, TooLarge
from airouter.settings import Server

_PIECE = 256 * 1024
_SLOWEST = 50_000  # bytes/s below which a sender is not waited for beyond body_timeout


def read_body(environ: Mapping[str, Any], limits: Server, clock: Clock) -> bytes:
    """All of it.

    Raises:
        TooLarge, RequestTimeout, BadRequest: the sentence says what to do.
    """
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
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limits: Server) -> TooLarge:
    # The rest of the body is not read, so the connection cannot be used again.
    return TooLarge(f"The body is larger than {limits.max_body_mb:g} MB (server.max_body_mb).")
