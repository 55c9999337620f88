"""Errors below /map."""

from __future__ import annotations

import pytest

from airouter.api.mapper_errors import shaped
from airouter.domain.errors import (
    BadRequest,
    DeadlineExceeded,
    RateLimited,
    RequestTimeout,
    RouterError,
    TooLarge,
    Unauthorized,
)


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (BadRequest("x"), 400, "INVALID_REQUEST", False),
        (TooLarge("x"), 413, "INVALID_REQUEST", False),
        (Unauthorized("x"), 401, "UNAUTHORIZED", False),
        (Unauthorized("x", status=403), 403, "INSUFFICIENT_RBAC", False),
        (RequestTimeout("x"), 408, "REQUEST_TIMEOUT", True),
        (DeadlineExceeded("x"), 408, "REQUEST_TIMEOUT", True),
        (RateLimited("x"), 429, "RATE_LIMITED", True),
        (RouterError("x"), 500, "INTERNAL_ERROR", False),
        (RouterError("x", status=503), 503, "INTERNAL_ERROR", False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_a_code(error: RouterError, status: int, code: str, retryable: bool) -> None:
    found, body = shaped(error, "id")
    assert (found, body["error_code"], body["retryable"]) == (status, code, retryable)
    assert set(body) == {"error_code", "message", "request_id", "retryable"}
