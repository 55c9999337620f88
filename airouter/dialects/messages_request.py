"""Requests in the format of Anthropic's Messages API as OpenAI's. Pure: nothing of the client's is
edited.

What a chat completion cannot express is left out with a note, for the X-Router-Adjusted header, or
refused. `cache_control` is left out without one: backends cache prefixes of their own accord.
"""

import hashlib
from typing import Any

from airouter.dialects.messages_conversation import conversation
from airouter.dialects.translating import MAX_NAME, SERVER_FIELDS, note, refuse

# Passed on under the same name.
_SAME = ("temperature", "top_p", *SERVER_FIELDS)
_READ = frozenset({
    "model", "messages", "system", "max_tokens", "metadata", "stop_sequences", "stream", "tools",
    "tool_choice", "thinking", "output_config", "output_format", "cache_control", *_SAME,
})  # fmt: skip
_EFFORTS = {"low": "low", "medium": "medium", "high": None, "xhigh": "high", "max": "high"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_MAX_USER = 64  # characters of `user` that OpenAI's servers accept


def chat(payload: dict[str, Any], notes: list[str], *, counting: bool = False) -> dict[str, Any]:
    """`POST /v1/messages` as a chat completion.

    Args:
        notes: receives what was left out or is not quite the same.
        counting: the request is for `/v1/messages/count_tokens`, which needs no max_tokens.

    Raises:
        BadRequest: names the parameter, as a path such as `messages.0.content.1`.
    """
    body = {"model": payload.get("model"), "messages": conversation(payload, notes)}
    if not counting:
        _limits(payload, body)
    for name in _SAME:
        if payload.get(name) is not None:
            body[name] = payload[name]
    _tools(payload, body, notes)
    _effort(payload, body, notes)
    metadata = payload.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if isinstance(user, str) and user:
        body["user"] = user if len(user) <= _MAX_USER else hashlib.sha256(user.encode()).hexdigest()
    for name, value in payload.items():
        if name not in _READ and value not in (None, [], {}):
            note(notes, f"{name[:MAX_NAME]} left out")
    return body


def thinks(payload: dict[str, Any]) -> bool:
    """Whether the client wants to see the model's reasoning."""
    thinking = payload.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "adaptive"):
        return False
    return thinking.get("display") != "omitted"


def stop_sequences(payload: dict[str, Any]) -> tuple[str, ...]:
    """Those of the request, as far as they are texts."""
    given = payload.get("stop_sequences")
    return tuple(one for one in given if isinstance(one, str)) if isinstance(given, list) else ()


def _limits(payload: dict[str, Any], body: dict[str, Any]) -> None:
    if payload.get("max_tokens") is None:
        refuse("max_tokens", "is required; it is the most tokens of the answer, such as 4096")
    body["max_tokens"] = payload["max_tokens"]
    stream = payload.get("stream")
    if stream not in (None, True, False):
        refuse("stream", "must be true or false")
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    stops = payload.get("stop_sequences")
    if stops is not None:
        if not isinstance(stops, list) or len(stop_sequences(payload)) != len(stops):
            refuse("stop_sequences", "must be a list of strings")
        if stops:
            body["stop"] = stops


def _tools(payload: dict[str, Any], body: dict[str, Any], notes: list[str]) -> None:
    given = payload.get("tools") or []
    if not isinstance(given, list):
        refuse("tools", "must be a list")
    tools = [tool for i, one in enumerate(given) if (tool := _tool(one, i, notes)) is not None]
    choice = payload.get("tool_choice")
    if choice is not None and (not isinstance(choice, dict) or "type" not in choice):
        refuse("tool_choice", 'must be an object such as {"type": "auto"}')
    if not tools:
        if choice and choice["type"] in ("any", "tool"):
            refuse("tool_choice", "demands a tool, but there is none that a backend can be given")
        return
    body["tools"] = tools
    if not choice:
        return
    kind = choice["type"]
    if kind == "tool":
        name = choice.get("name")
        if all(tool["function"]["name"] != name for tool in tools):
            refuse("tool_choice.name", "names none of the tools that a backend can be given")
        body["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif isinstance(kind, str) and kind in _CHOICES:
        body["tool_choice"] = _CHOICES[kind]
    else:
        refuse("tool_choice.type", "must be auto, any, tool or none")
    if choice.get("disable_parallel_tool_use") and kind != "none":
        body["parallel_tool_calls"] = False


def _tool(tool: Any, i: int, notes: list[str]) -> dict[str, Any] | None:
    """A tool as a function; None for one that only Anthropic's servers know."""
    if not isinstance(tool, dict):
        refuse(f"tools.{i}", "must be an object with a name and an input_schema")
    kind = tool.get("type") or "custom"
    if kind != "custom":
        note(notes, f"tool {str(kind)[:MAX_NAME]} left out")
        return None
    name, schema = tool.get("name"), tool.get("input_schema")
    if not isinstance(name, str) or not name:
        refuse(f"tools.{i}.name", "must be a string")
    if not isinstance(schema, dict):
        refuse(f"tools.{i}.input_schema", "must be a JSON schema")
    function: dict[str, Any] = {"name": name}
    if tool.get("description"):
        function["description"] = tool["description"]
    function["parameters"] = schema
    if tool.get("strict") is not None:
        function["strict"] = tool["strict"]
    return {"type": "function", "function": function}


def _effort(payload: dict[str, Any], body: dict[str, Any], notes: list[str]) -> None:
    """How much to reason, and the form of the answer."""
    for name in ("thinking", "output_config"):
        if payload.get(name) is not None and not isinstance(payload[name], dict):
            refuse(name, "must be an object")
    thinking, output = payload.get("thinking") or {}, payload.get("output_config") or {}
    kind, effort = thinking.get("type"), output.get("effort")
    if kind not in (None, "enabled", "adaptive", "disabled"):
        refuse("thinking.type", "must be enabled, adaptive or disabled")
    if effort is not None and not (isinstance(effort, str) and effort in _EFFORTS):
        refuse("output_config.effort", f"must be one of {', '.join(_EFFORTS)}")
    if kind in ("disabled", "enabled"):  # "adaptive" is for the model to decide
        budget = thinking.get("budget_tokens")
        body["thinking"] = {"type": kind} | ({"budget_tokens": budget} if budget else {})
    if effort and _EFFORTS[effort]:  # "high" is what a request without it means
        body["reasoning"] = {"effort": _EFFORTS[effort]}
        if effort != _EFFORTS[effort]:
            note(notes, f"effort={effort} read as {_EFFORTS[effort]}")
    wanted = output.get("format") or payload.get("output_format")
    if wanted is not None:
        schema = wanted.get("schema") if isinstance(wanted, dict) else None
        if not isinstance(schema, dict) or wanted.get("type") != "json_schema":
            refuse("output_config.format", 'must be {"type": "json_schema", "schema": …}')
        answer = {"name": "answer", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": answer}
