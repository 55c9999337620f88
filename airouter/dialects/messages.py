"""Anthropic's Messages API as a client's dialect."""

import re
from typing import Any

import orjson

from airouter.dialects import messages_request
from airouter.dialects.messages_answer import Whole
from airouter.dialects.messages_stream import Events
from airouter.dialects.openai_errors import CONTEXT_CODE
from airouter.domain.dialect import Translator
from airouter.domain.types import immutable

_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_TYPES = frozenset(_BY_STATUS.values())
# The router's codes, and words in the types of backends.
_BY_CODE = {
    "invalid_api_key": "authentication_error",
    "insufficient_scope": "permission_error",
    "forbidden_host": "permission_error",
    "forbidden_origin": "permission_error",
    "model_not_found": "not_found_error",
    "not_found": "not_found_error",
    "unknown_url": "not_found_error",
    "request_too_large": "request_too_large",
    "too_many_elements": "request_too_large",
    "no_backend": "overloaded_error",
    "backend_unavailable": "overloaded_error",
    "backend_out": "overloaded_error",
    CONTEXT_CODE: "invalid_request_error",
}
_BY_WORD = (
    (re.compile("auth", re.I), "authentication_error"),
    (re.compile("permission|forbidden", re.I), "permission_error"),
    (re.compile("not_?found", re.I), "not_found_error"),
    (re.compile("rate_?limit", re.I), "rate_limit_error"),
    (re.compile("overload|unavailable", re.I), "overloaded_error"),
    (re.compile("timeout", re.I), "timeout_error"),
    (re.compile("invalid|bad_?request", re.I), "invalid_request_error"),
)
_TOO_LONG = "prompt is too long"  # clients compact the conversation when a 400 says so


@immutable
class Messages:
    """Implements `ClientDialect` for one request.

    `id`: of the request, in hexadecimal digits. `model`: as the client calls it. `thinks`: whether
    it wants to see reasoning. `stops`: its stop sequences. `notes`: receives what was left out of
    the request.
    """

    id: str = ""
    model: str = ""
    thinks: bool = False
    stops: tuple[str, ...] = ()
    notes: list[str] | None = None

    comment = b": waiting\n"
    stream_type = "text/event-stream; charset=utf-8"

    def parse(self, payload: dict[str, Any]) -> dict[str, Any]:
        return messages_request.chat(payload, [] if self.notes is None else self.notes)

    def writer(self, *, stream: bool) -> Translator:
        known = f"msg_{self.id}"
        if not stream:
            return Whole(known, self.model, self.stops, thinks=self.thinks)
        return Events(known, self.model, self.stops, thinks=self.thinks, error=self._failed)

    def error(self, body: dict[str, Any]) -> dict[str, Any]:
        error = body["error"]
        message = error["message"]
        if error.get("code") == CONTEXT_CODE and _TOO_LONG not in message.lower():
            message = f"{_TOO_LONG}: {message}"
        said = {"type": _type_of(error), "message": message}
        return {"type": "error", "error": said, "request_id": request_id(self.id)}

    def _failed(self, error: dict[str, Any]) -> bytes:
        """An error as the last event of a stream."""
        return b"event: error\ndata: " + orjson.dumps(self.error({"error": error})) + b"\n\n"


def request_id(known: str) -> str | None:
    """The id of a request as the API calls it; None where it is not known."""
    return f"req_{known}" if known else None


def _type_of(error: dict[str, Any]) -> str:
    """One of Anthropic's types for an error in OpenAI's format: by the router's code, a status as
    the code, or the type."""
    code, kind = str(error.get("code")), str(error.get("type"))
    if code in _BY_CODE:
        return _BY_CODE[code]
    if kind in _TYPES:
        return kind
    status = int(code) if code.isdecimal() and len(code) == 3 else 0
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    words = (found for pattern, found in _BY_WORD if pattern.search(kind))
    return next(words, "api_error")


MESSAGES = Messages()  # for errors before a request is read
