"""Errors of /map and the paths below it: `{error_code, message, request_id, retryable}`."""

from typing import Any

from airouter.domain.errors import RouterError

# Status: code of the errors that other parts of the router raise.
_CODES = {
    401: "UNAUTHORIZED",
    403: "INSUFFICIENT_RBAC",
    408: "REQUEST_TIMEOUT",
    429: "RATE_LIMITED",
    504: "REQUEST_TIMEOUT",
}
CODES = frozenset({*_CODES.values(), "INVALID_REQUEST", "INTERNAL_ERROR"})
_RETRYABLE = frozenset({408, 429, 503, 504})


def shaped(error: RouterError, status: int, request_id: str) -> dict[str, Any]:
    """The body of an error; its own code if that is one of `CODES`, else one for its status."""
    by_status = _CODES.get(status, "INVALID_REQUEST" if status < 500 else "INTERNAL_ERROR")
    return {
        "error_code": error.code if error.code in CODES else by_status,
        "message": error.message,
        "request_id": request_id,
        "retryable": status in _RETRYABLE,
    }
