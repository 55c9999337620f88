"""Anthropic's Messages API as a backend's dialect."""

from typing import Any

from airouter.dialects.anthropic_answer import EventsIn, WholeIn
from airouter.dialects.anthropic_request import messages
from airouter.domain.dialect import Translator
from airouter.domain.errors import BadRequest
from airouter.domain.types import Endpoint


class Anthropic:
    """Implements `BackendDialect`."""

    def request(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Raises:
        BadRequest: the API has no such endpoint, or cannot take a part of the content.
        """
        if endpoint != "chat":
            raise BadRequest(
                "This backend answers chat completions only.", code="unsupported_endpoint"
            )
        try:
            return "/v1/messages", messages(body)
        except (AttributeError, KeyError, TypeError):  # parts that no check has read
            raise BadRequest(
                "A part of the request (tools, calls, temperature) has the wrong type.",
                code="invalid_type",
            ) from None

    def reader(self, *, stream: bool) -> Translator:
        return EventsIn() if stream else WholeIn()


ANTHROPIC = Anthropic()
