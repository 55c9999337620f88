"""What gunicorn refuses before the application sees it, as clients of OpenAI expect an error."""

from http import HTTPStatus

import orjson
from gunicorn.http import errors as http

from airouter.errors import BadRequest, RouterError

FIELD_SIZE = (
    32_768  # bytes of one header: browsers send every cookie of localhost, of whatever port
)


def error_for(problem: BaseException) -> RouterError:
    """The error that a client is told of."""
    if isinstance(problem, http.LimitRequestHeaders):
        return BadRequest(
            f"The request's headers are too large: at most 100, of at most {FIELD_SIZE} bytes each."
            " Cookies of other services on this host are the usual cause.",
            status=431,
            code="headers_too_large",
        )
    if isinstance(problem, http.LimitRequestLine):
        return BadRequest("The request's URL is too long.", status=414, code="url_too_long")
    if isinstance(problem, http.UnsupportedTransferCoding):
        return BadRequest(
            "The Transfer-Encoding is not supported; send a Content-Length, or chunks.",
            status=501,
            code="unsupported_transfer_encoding",
        )
    if isinstance(problem, http.ExpectationFailed):
        return BadRequest(
            "The header Expect may only be 100-continue.", status=417, code="expectation_failed"
        )
    if isinstance(problem, http.InvalidHTTPVersion):
        return BadRequest("Only HTTP/1.0 and HTTP/1.1 are spoken here.", code="invalid_http")
    if isinstance(problem, http.InvalidResponseHeader | http.InvalidResponseHeaderName):
        return RouterError("The router failed on this request; its log says why.")
    if isinstance(problem, http.ParseException):
        return BadRequest(
            "This is not a valid HTTP request; is the URL http:// and not https://?",
            code="invalid_http",
        )
    return RouterError("The router failed on this request; its log says why.")


def whole_answer(error: RouterError) -> bytes:
    """The whole answer, behind which the connection is closed: where the next request begins is
    not known."""
    body = orjson.dumps(error.body())
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
        "Connection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
