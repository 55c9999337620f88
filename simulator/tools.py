"""Tool calls: the function that a request makes the model call, and its arguments."""

from __future__ import annotations

from typing import Any

import orjson

from simulator.prompts import Prompt, bad_request
from simulator.schemas import value_for
from simulator.writing import lm_tokens


def tool_called(body: dict[str, Any], prompt: Prompt) -> str:
    """The name of the function to call; empty for a text answer.

    Raises:
        ApiError: `tool_choice` requires a call that is not possible.
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
    """Arguments that conform to the function's schema, as JSON, in token-sized pieces."""
    parameters = _functions(body).get(name)
    values = value_for(parameters) if isinstance(parameters, dict) and parameters else {}
    return lm_tokens(orjson.dumps(values if isinstance(values, dict) else {}).decode())


def _functions(body: dict[str, Any]) -> dict[str, Any]:
    """The parameter schemas by function name."""
    tools = body.get("tools")
    found: dict[str, Any] = {}
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(function, dict) and isinstance(name, str) and name:
            found.setdefault(name, function.get("parameters"))
    return found
