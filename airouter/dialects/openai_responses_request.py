"""Requests in the format of OpenAI's Responses API as chat completions. Pure: nothing of the
client's is edited.

What a chat completion cannot express is left out with a note, for the X-Router-Adjusted header, or
refused.
"""

from typing import Any

from airouter.dialects.openai_responses_items import kind_of, messages_of
from airouter.dialects.openai_responses_repeated import check, check_optional
from airouter.dialects.openai_responses_tools import Names, choose, functions
from airouter.dialects.translating import MAX_NAME, SERVER_FIELDS, note, refuse

# Passed on under the same name.
_SAME = ("temperature", "top_p", "user", *SERVER_FIELDS)
# Read here or by the endpoint; or of no effect: backends cache prefixes of their own accord, and
# some clouds refuse a chat completion with fields that they do not know.
_READ = frozenset({
    "model", "input", "instructions", "max_output_tokens", "metadata", "stream", "stream_options",
    "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "store", "background",
    "previous_response_id", "include", "client_metadata", "truncation",
    "service_tier", "prompt_cache_key", *_SAME,
})  # fmt: skip
_REFUSED = {
    "background": "is not supported: leave it out, or stream the answer",
    "conversation": "is not supported: send the conversation as input",
    "prompt": "is not supported: send the prompt's text as instructions or input",
}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LOGPROBS = "message.output_text.logprobs"
_USUAL_TIERS = ("auto", "default")  # of service_tier


def chat(
    payload: dict[str, Any], names: Names, notes: list[str], *, counting: bool = False
) -> dict[str, Any]:
    """`POST /v1/responses` as a chat completion.

    Args:
        payload: items that it refers to are in it.
        names: receives the names of the tools.
        notes: receives what was left out or is not quite the same.
        counting: the request is for `/v1/responses/input_tokens`.

    Raises:
        BadRequest: names the parameter, as a path such as `input.0.content.1`.
    """
    for name, what in _REFUSED.items():
        if payload.get(name):
            refuse(name, what)
    check(payload)
    body: dict[str, Any] = {"model": payload.get("model")}
    tools = functions(_given_tools(payload), names, notes)
    instructions, given = payload.get("instructions"), payload.get("input")
    body["messages"] = messages_of(instructions, given, names, notes)
    if not counting:
        _limits(payload, body)
    for name in _SAME:
        if payload.get(name) is not None:
            body[name] = payload[name]
    tools, choice = choose(payload.get("tool_choice"), tools, names, notes)
    if tools:
        body["tools"] = tools
        if choice is not None:
            body["tool_choice"] = choice
        if payload.get("parallel_tool_calls") is not None:
            body["parallel_tool_calls"] = payload["parallel_tool_calls"]
    _effort(payload.get("reasoning"), body, notes)
    _format(payload.get("text"), body, notes)
    metadata = payload.get("metadata")
    if isinstance(metadata, dict) and "task" in metadata:  # for the router
        body["metadata"] = metadata
    _left_out(payload, notes)
    return body


def items_of(payload: dict[str, Any]) -> list[Any]:
    """The request's `input` as items; none if it is not valid."""
    given = payload.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return given if isinstance(given, list) else []


def _given_tools(payload: dict[str, Any]) -> Any:
    """The tools of the request, and those that its items add."""
    tools, items = payload.get("tools"), payload.get("input")
    if not isinstance(items, list) or not isinstance(tools, list | None):
        return tools
    more = [item.get("tools") for item in items if kind_of(item) == "additional_tools"]
    return [*(tools or ()), *(tool for one in more if isinstance(one, list) for tool in one)]


def _limits(payload: dict[str, Any], body: dict[str, Any]) -> None:
    most = payload.get("max_output_tokens")
    if most is not None:
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            refuse("max_output_tokens", "must be a positive integer")
        body["max_tokens"] = most
    for name in ("stream", "store"):
        if payload.get(name) not in (None, True, False):
            refuse(name, "must be true or false")
    if payload.get("stream"):
        body |= {"stream": True, "stream_options": {"include_usage": True}}


def _effort(given: Any, body: dict[str, Any], notes: list[str]) -> None:
    """How much to reason."""
    if given is None:
        return
    if not isinstance(given, dict):
        refuse("reasoning", "must be an object")
    effort = given.get("effort")
    if effort is not None:
        if not isinstance(effort, str) or effort not in _EFFORTS:
            refuse("reasoning.effort", f"must be one of {', '.join(_EFFORTS)}")
        body["reasoning"] = {"effort": effort}  # becomes what the backend understands
    if given.get("summary") or given.get("generate_summary"):
        note(notes, "reasoning.summary left out: reasoning is shown as it is")


def _format(given: Any, body: dict[str, Any], notes: list[str]) -> None:
    """The form of the answer."""
    if given is None:
        return
    if not isinstance(given, dict):
        refuse("text", "must be an object")
    if given.get("verbosity") is not None:
        note(notes, "text.verbosity left out")
    wanted = given.get("format")
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_object":
        body["response_format"] = {"type": "json_object"}
    elif kind == "json_schema":
        if not isinstance(wanted.get("schema"), dict):
            refuse("text.format.schema", "must be a JSON schema")
        check_optional(wanted, "text.format", name=str, description=str, strict=bool)
        schema = {
            key: value for key, value in wanted.items() if key != "type" and value is not None
        }
        body["response_format"] = {"type": kind, "json_schema": {"name": "answer", **schema}}
    elif kind != "text":
        refuse("text.format", "must have the type text, json_object or json_schema")


def _left_out(payload: dict[str, Any], notes: list[str]) -> None:
    include = payload.get("include")
    if isinstance(include, list) and _LOGPROBS in include:
        note(notes, f"{_LOGPROBS} left out")
    if payload.get("truncation") not in (None, "disabled"):
        note(notes, "truncation left out")
    if payload.get("service_tier") not in (None, *_USUAL_TIERS):
        note(notes, "service_tier left out")
    for name, value in payload.items():
        if name not in _READ and name not in _REFUSED and value not in (None, False, [], {}):
            note(notes, f"{name[:MAX_NAME]} left out")
