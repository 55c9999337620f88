"""Errors in the format of the simulated server."""

from __future__ import annotations

from typing import Any

import orjson

_VLLM_TYPES = {400: "BadRequestError", 404: "NotFoundError", 503: "ServiceUnavailableError"}
_OPENAI_TYPES = {401: "invalid_request_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An error response: status, message, and other fields of the server's format."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    def body(self, kind: str) -> bytes:
        return orjson.dumps(
            {"error": error_object(kind, self.status, self.message, self.param, self.code)}
        )


def error_object(
    kind: str, status: int, message: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """vLLM uses the status as code; OpenAI and xAI use a string."""
    if kind == "vllm":
        name = _VLLM_TYPES.get(
            status, "InternalServerError" if status >= 500 else "BadRequestError"
        )
        return {"message": message, "type": name, "param": param, "code": status}
    default = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "message": message,
        "type": _OPENAI_TYPES.get(status, default),
        "param": param,
        "code": code,
    }
