"""Which function a request makes a model call, and with what arguments."""

from __future__ import annotations

from typing import Any

import orjson

from simulator.prompts import Prompt, bad_request
from simulator.schemas import value_for
from simulator.writing import lm_tokens


def tool_called(body: dict[str, Any], prompt: Prompt) -> str:
    """The name of the function to call; empty for an answer in words.

    Raises:
        ApiError: `tool_choice` asks for a call that is not possible.
    """
    functions, choice = _functions(body), body.get("tool_choice")
    if choice == "none":
        return ""
    if isinstance(choice, dict):
        named = choice.get("function")
        name = named.get("name") if isinstance(named, dict) else None
        if not isinstance(name, str) or name not in functions:
            raise bad_request(
                "tool_choice names a function that is not among the tools.", "tool_choice"
            )
        return name
    if choice == "required":
        if not functions:
            raise bad_request("tool_choice is required, but there are no tools.", "tool_choice")
        return next(iter(functions))
    asked = prompt.last_role != "tool" and "use the tool" in prompt.last_user.lower()
    return next(iter(functions), "") if asked else ""


def arguments(body: dict[str, Any], name: str) -> tuple[str, ...]:
    """Arguments that fit the function's schema, as JSON, in the pieces that a model gives."""
    parameters = _functions(body).get(name)
    values = value_for(parameters) if isinstance(parameters, dict) and parameters else {}
    return lm_tokens(orjson.dumps(values if isinstance(values, dict) else {}).decode())


def _functions(body: dict[str, Any]) -> dict[str, Any]:
    """The parameters' schemas by the functions' names."""
    tools = body.get("tools")
    found: dict[str, Any] = {}
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(function, dict) and isinstance(name, str) and name:
            found.setdefault(name, function.get("parameters"))
    return found
