"""Errors of the mapper: {error_code, message, request_id, retryable}."""

from typing import Any

from airouter.domain.errors import DeadlineExceeded, RouterError

_CODES = {
    401: "UNAUTHORIZED",
    403: "INSUFFICIENT_RBAC",
    408: "REQUEST_TIMEOUT",
    429: "RATE_LIMITED",
}
_RETRYABLE = frozenset({"REQUEST_TIMEOUT", "RATE_LIMITED"})
_LATE = "The request was not answered within its deadline (mapper.deadline, or X-Router-Timeout)."


def code_of(error: RouterError) -> str:
    """The `error_code`."""
    if isinstance(error, DeadlineExceeded):
        return "REQUEST_TIMEOUT"
    return _CODES.get(error.status, "INVALID_REQUEST" if error.status < 500 else "INTERNAL_ERROR")


def shaped(error: RouterError, request_id: str) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer to an error."""
    code = code_of(error)
    late = isinstance(error, DeadlineExceeded) and error.status != 503
    return 408 if late else error.status, {
        "error_code": code,
        "message": _LATE if late else error.message,
        "request_id": request_id,
        "retryable": code in _RETRYABLE,
    }
