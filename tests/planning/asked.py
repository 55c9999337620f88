"""Demands of made-up requests, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from airouter.classify.features import features_of
from airouter.dialects.openai_request import parse_request
from airouter.domain.types import Endpoint
from airouter.planning.demand import Demand, demand_of

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOLS = [{"type": "function", "function": {"name": "read_file"}}]


def demand(
    content: Any = "Hello", task: str | None = None, counted: int | None = None, **request: Any
) -> Demand:
    """Of a chat of one user message; `counted`: as if a backend had counted its tokens."""
    body = {"messages": [{"role": "user", "content": content}], **request}
    return of_body("chat", body, task, counted)


def of_body(
    endpoint: Endpoint, body: dict[str, Any], task: str | None = None, counted: int | None = None
) -> Demand:
    request = parse_request(endpoint, body)
    made = demand_of(request, features_of(request), task)
    if counted is not None:
        made.tokens.counted = made.tokens.at_most = counted
    return made
