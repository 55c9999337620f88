"""OpenAI's dialect, for both sides: nothing to translate."""

from collections.abc import Mapping
from typing import Any

from airouter.domain.dialect import Translator
from airouter.domain.types import Endpoint

PATHS: Mapping[Endpoint, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
}


class OpenAI:
    """Implements `ClientDialect` and `BackendDialect`."""

    # One newline only: an empty event confuses clients that expect an id in every event.
    comment = b": waiting\n"
    stream_type = "text/event-stream; charset=utf-8"

    def request(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return PATHS[endpoint], body

    def reader(self, *, stream: bool) -> Translator | None:
        return None

    def parse(self, payload: dict[str, Any]) -> dict[str, Any]:
        return payload

    def writer(self, *, stream: bool) -> Translator | None:
        return None

    def error(self, body: dict[str, Any]) -> dict[str, Any]:
        return body


OPENAI = OpenAI()
