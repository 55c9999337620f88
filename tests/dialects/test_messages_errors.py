"""Errors in the format of Anthropic's Messages API."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.dialects.messages import MESSAGES, Messages
from airouter.domain import errors


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.BadRequest("m"), "invalid_request_error"),
        (errors.Unauthorized("m"), "authentication_error"),
        (errors.Unauthorized("m", status=403, code="forbidden_host"), "permission_error"),
        (errors.NotFound("m", code="model_not_found"), "not_found_error"),
        (errors.TooLarge("m"), "request_too_large"),
        (errors.Busy("m"), "rate_limit_error"),
        (errors.NoBackend("m"), "overloaded_error"),
        (errors.DeadlineExceeded("m"), "timeout_error"),
        (errors.UpstreamBroken("m"), "api_error"),
        (errors.RouterError("m"), "api_error"),
    ],
)
def test_the_routers_own(error: errors.RouterError, kind: str) -> None:
    assert MESSAGES.error(error.body()) == {
        "type": "error",
        "error": {"type": kind, "message": "m"},
        "request_id": None,
    }


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"type": "BadRequestError", "code": 400}, "invalid_request_error"),  # vLLM
        ({"type": "NotFoundError", "code": 404}, "not_found_error"),
        ({"type": "overloaded_error", "code": None}, "overloaded_error"),
        ({"type": "server_error", "code": "503"}, "overloaded_error"),
        ({"type": "requests", "code": "rate_limit_exceeded"}, "api_error"),
        ({"type": "authentication_failed", "code": None}, "authentication_error"),
        ({"type": None, "code": {"a": 1}}, "api_error"),
    ],
)
def test_a_backends(fields: dict[str, Any], kind: str) -> None:
    assert MESSAGES.error({"error": {"message": "m", **fields}})["error"]["type"] == kind


def test_a_prompt_that_is_too_long_is_said_so_that_clients_compact_it() -> None:
    error = {"message": "It has 9 tokens.", "type": "x", "code": "context_length_exceeded"}
    said = Messages("1f").error({"error": error})
    assert said["error"] == {
        "type": "invalid_request_error", "message": "prompt is too long: It has 9 tokens."
    }  # fmt: skip
    assert said["request_id"] == "req_1f"
