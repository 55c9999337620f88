"""OpenAI-shaped errors for requests that gunicorn rejects before the application sees them."""

from http import HTTPStatus

import orjson
from gunicorn.http import errors as http

from airouter.domain.errors import BadRequest, RouterError

FIELD_SIZE = 32_768  # bytes per header: browsers send the cookies of all ports of localhost


def error_for(problem: BaseException) -> RouterError:
    """The error to send to the client."""
    if isinstance(problem, http.LimitRequestHeaders):
        return BadRequest(
            f"The request headers are too large: at most 100 headers of {FIELD_SIZE} bytes each. "
            "The usual cause is cookies of other services on this host.",
            status=431,
            code="headers_too_large",
        )
    if isinstance(problem, http.LimitRequestLine):
        return BadRequest("The request URL is too long.", status=414, code="url_too_long")
    if isinstance(problem, http.UnsupportedTransferCoding):
        return BadRequest(
            "This Transfer-Encoding is not supported; use Content-Length or chunked encoding.",
            status=501,
            code="unsupported_transfer_encoding",
        )
    if isinstance(problem, http.ExpectationFailed):
        return BadRequest(
            "The only supported value of the Expect header is 100-continue.",
            status=417,
            code="expectation_failed",
        )
    if isinstance(problem, http.InvalidHTTPVersion):
        return BadRequest("Only HTTP/1.0 and HTTP/1.1 are supported.", code="invalid_http")
    if isinstance(problem, http.InvalidResponseHeader | http.InvalidResponseHeaderName):
        return RouterError("Internal error in the router; see its log for details.")
    if isinstance(problem, http.ParseException):
        return BadRequest(
            "Not a valid HTTP request; make sure that the URL starts with http://, not https://.",
            code="invalid_http",
        )
    return RouterError("Internal error in the router; see its log for details.")


def whole_answer(error: RouterError) -> bytes:
    """The whole HTTP response. The connection is closed after it, because the start of the next
    request is unknown."""
    body = orjson.dumps(error.body())
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
        "Connection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
