"""Errors in the shape of the server that is stood in for."""

from __future__ import annotations

from typing import Any

import orjson

_VLLM_TYPES = {400: "BadRequestError", 404: "NotFoundError", 503: "ServiceUnavailableError"}
_OPENAI_TYPES = {401: "invalid_request_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An error answer: status, message, and what the server's shape has besides."""

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
    """vLLM gives the status as the code; OpenAI and xAI give a word."""
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
