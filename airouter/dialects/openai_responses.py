"""OpenAI's Responses API as a client's dialect."""

from collections.abc import Callable
from typing import Any

from airouter.dialects import openai_responses_request
from airouter.dialects.openai_responses_answer import Whole
from airouter.dialects.openai_responses_repeated import repeated
from airouter.dialects.openai_responses_stream import Events
from airouter.dialects.openai_responses_tools import Names
from airouter.domain.dialect import Translator
from airouter.domain.types import immutable


@immutable
class Responses:
    """Implements `ClientDialect` for one request.

    `id`: of the request, in hexadecimal digits. `response`: its fields before there is any output.
    `names`: receives those of its tools. `notes`: receives what was left out of the request.
    `done`: receives the response of an answer that is complete.
    """

    id: str
    response: dict[str, Any]
    names: Names
    notes: list[str]
    done: Callable[[dict[str, Any]], None] | None = None

    comment = b": waiting\n"
    stream_type = "text/event-stream; charset=utf-8"

    def parse(self, payload: dict[str, Any]) -> dict[str, Any]:
        return openai_responses_request.chat(payload, self.names, self.notes)

    def writer(self, *, stream: bool) -> Translator:
        kind = Events if stream else Whole
        return kind(self.id, self.response, self.names, self.done)

    def error(self, body: dict[str, Any]) -> dict[str, Any]:
        error = body["error"]
        # Some servers give the status as the code, a number, which the API's codes never are.
        odd = {name: None for name in ("param", "code") if not isinstance(error.get(name), str)}
        return {"error": error | odd}


def response_id(known: str) -> str:
    """The id of a response; `known`: its request's, in hexadecimal digits."""
    return f"resp_{known}"


def opening(
    known: str, created: int, payload: dict[str, Any], model: str, *, store: bool
) -> dict[str, Any]:
    """A response before there is any output.

    Args:
        known: the request's id, in hexadecimal digits.
        created: seconds since 1970.
        model: as the client calls it.
        store: whether it is kept.
    """
    return {
        "id": response_id(known),
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "service_tier": "default",
        "store": store,
        "usage": None,
        **repeated(payload),
    }
