"""Estimates of how many tokens a prompt has."""

from __future__ import annotations

import pytest

from airouter.api.count_tokens import estimate, estimated
from airouter.dialects.openai_request import parse_request

PROSE = (
    "The router decides for each request which model answers it. Short questions stay with the "
    "local model; long ones, which need more knowledge, are sent to a cloud."
)
CODE = (
    "def handler(environ, start_response):\n    path = environ['PATH_INFO']\n"
    "    if path not in routes:\n        raise NotFound(path)\n    return routes[path](environ)\n"
)
CHINESE = "路由器决定每个请求由哪个模型回答。简短的问题留在本地模型。"


@pytest.mark.parametrize(
    ("text", "tokens"),  # as cl100k counts them
    [(PROSE, 32), (CODE, 44), (CHINESE, 31), ("", 0)],
    ids=["prose", "code", "Chinese", "nothing"],
)
def test_within_a_quarter(text: str, tokens: int) -> None:
    assert estimate(text) == pytest.approx(tokens, rel=0.25)


def test_all_of_a_request_counts() -> None:
    """Messages, calls, tools, images."""
    user = {"role": "user", "content": PROSE}
    plain = estimated(parse_request("chat", {"messages": [user]}))
    call = {"id": "x", "type": "function", "function": {"name": "a", "arguments": CODE}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}}
    tool = {"type": "function", "function": {"name": "a", "description": PROSE}}
    more: list[tuple[dict, int]] = [  # type: ignore[type-arg]
        ({"messages": [user, user]}, 30),
        ({"messages": [user, {"role": "assistant", "tool_calls": [call]}]}, 50),
        ({"messages": [{"role": "user", "content": [image]}, user]}, 900),
        ({"messages": [user], "tools": [tool]}, 30),
    ]
    for body, least in more:
        assert estimated(parse_request("chat", body)) >= plain + least, body
