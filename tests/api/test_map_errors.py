"""Errors below /map."""

from __future__ import annotations

import pytest

from airouter.api.map_errors import CODES, shaped
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
    ("error", "code", "retryable"),
    [
        (BadRequest("x"), "INVALID_REQUEST", False),
        (TooLarge("x"), "INVALID_REQUEST", False),
        (Unauthorized("x"), "UNAUTHORIZED", False),
        (Unauthorized("x", status=403), "INSUFFICIENT_RBAC", False),
        (RequestTimeout("x"), "REQUEST_TIMEOUT", True),
        (DeadlineExceeded("x"), "REQUEST_TIMEOUT", True),
        (RateLimited("x"), "RATE_LIMITED", True),
        (RouterError("x"), "INTERNAL_ERROR", False),
        (RouterError("x", status=503), "INTERNAL_ERROR", True),
        (BadRequest("x", status=408, code="INVALID_REQUEST"), "INVALID_REQUEST", True),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'status', '')}",
)
def test_each_error_has_a_code(error: RouterError, code: str, retryable: bool) -> None:
    assert shaped(error, error.status, "id") == {
        "error_code": code,
        "message": "x",
        "request_id": "id",
        "retryable": retryable,
    }
    assert code in CODES
