"""Chat completions as requests of Anthropic's Messages API, for its servers. Pure.

What they refuse is left out: penalties, `seed`, `n`, log-probabilities, reasoning without its
signature.
"""

from typing import Any, NoReturn

from airouter.dialects.openai_request import TEXT_PARTS, text_of
from airouter.dialects.wire_json import lenient
from airouter.domain.errors import BadRequest

_MAX_TOKENS = 8192  # of an answer without a limit: theirs must have one
_SAME = ("model", "top_p", "top_k")
_OF_TOOLS = ("name", "description", "strict")
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh"}


def messages(body: dict[str, Any]) -> dict[str, Any]:
    """The body of `POST /v1/messages`.

    Args:
        body: of a chat completion, valid.

    Raises:
        BadRequest: a part of the content cannot be sent.
    """
    system, conversation = _conversation(body["messages"])
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    request: dict[str, Any] = {
        "max_tokens": limit if isinstance(limit, int) and limit > 0 else _MAX_TOKENS,
        "messages": conversation,
        # Their cache keeps only what is marked: here all up to the last block.
        "cache_control": {"type": "ephemeral"},
    }
    if system:
        request["system"] = system
    request |= {name: body[name] for name in _SAME if body.get(name) is not None}
    if body.get("temperature") is not None:
        request["temperature"] = min(body["temperature"], 1)  # OpenAI's go up to 2
    if body.get("stream"):
        request["stream"] = True
    if stop := body.get("stop"):
        request["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if user := body.get("user"):
        request["metadata"] = {"user_id": user}
    _tools(body, request)
    _effort(body, request)
    return request


def _tools(body: dict[str, Any], request: dict[str, Any]) -> None:
    functions = [tool["function"] for tool in body.get("tools") or () if tool.get("function")]
    if not functions:
        return
    request["tools"] = [_tool(function) for function in functions]
    choice = body.get("tool_choice")
    chosen: dict[str, Any] = {}
    if isinstance(choice, dict):
        chosen = {"type": "tool", "name": (choice.get("function") or {}).get("name")}
    elif choice in _CHOICES:
        chosen = {"type": _CHOICES[choice]}
    if body.get("parallel_tool_calls") is False and chosen.get("type") != "none":
        chosen = {"type": "auto", **chosen, "disable_parallel_tool_use": True}
    if chosen:
        request["tool_choice"] = chosen


def _tool(function: dict[str, Any]) -> dict[str, Any]:
    tool: dict[str, Any] = {name: function[name] for name in _OF_TOOLS if name in function}
    return {**tool, "input_schema": function.get("parameters") or {"type": "object"}}


def _effort(body: dict[str, Any], request: dict[str, Any]) -> None:
    output: dict[str, Any] = {}
    effort, template = body.get("reasoning_effort"), body.get("chat_template_kwargs")
    off = isinstance(template, dict) and template.get("enable_thinking") is False
    if off or effort == "none":
        request["thinking"] = {"type": "disabled"}
    elif effort in _EFFORTS:
        output["effort"] = _EFFORTS[effort]
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema") or {"type": "object"}
        output["format"] = {"type": "json_schema", "schema": schema}
    if output:
        request["output_config"] = output


def _conversation(given: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The system text, and the messages: one role after the other. Results of parallel calls
    belong to one message."""
    system: list[str] = []
    conversation: list[dict[str, Any]] = []
    for i, message in enumerate(given):
        role = message["role"]
        if role in ("system", "developer"):
            if not conversation:
                system.append(text_of(message))
                continue
            text = f"<system-reminder>\n{text_of(message)}\n</system-reminder>"
            role, blocks = "user", [{"type": "text", "text": text}]
        elif role == "assistant":
            blocks = _assistant(message)
        elif role in ("tool", "function"):
            role, blocks = "user", [_result(message, i)]
        else:
            role, blocks = "user", _content(message, i)
        if not blocks:  # which they refuse
            continue
        if conversation and conversation[-1]["role"] == role:
            conversation[-1]["content"] += blocks
        else:
            conversation.append({"role": role, "content": blocks})
    return "\n\n".join(filter(None, system)), conversation


def _assistant(message: dict[str, Any]) -> list[dict[str, Any]]:
    text = text_of(message)
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text.strip() else []
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        given = function.get("arguments")
        try:
            read = lenient(given.encode()) if isinstance(given, str) and given else given or {}
        except ValueError:
            read = given
        arguments = read if isinstance(read, dict) else {"invalid_arguments": given}
        name, known = function.get("name"), call.get("id")
        blocks.append({"type": "tool_use", "id": known, "name": name, "input": arguments})
    return blocks


def _result(message: dict[str, Any], i: int) -> dict[str, Any]:
    known, content = message.get("tool_call_id") or "", _content(message, i)
    said = {"content": content} if content else {}
    return {"type": "tool_result", "tool_use_id": known, **said}


def _content(message: dict[str, Any], i: int) -> list[dict[str, Any]]:
    content = message.get("content")
    if content is None or isinstance(content, str):
        return [{"type": "text", "text": content}] if content and content.strip() else []
    blocks: list[dict[str, Any]] = []
    for j, part in enumerate(content):
        if part["type"] in TEXT_PARTS:
            if part["text"].strip():
                blocks.append({"type": "text", "text": part["text"]})
        elif part["type"] == "image_url":
            blocks.append({"type": "image", "source": _source(part.get("image_url"), i, j)})
        else:
            _refuse(i, j, f"is of the type {part['type'][:40]!r}, which this backend cannot take")
    return blocks


def _source(image: Any, i: int, j: int) -> dict[str, str]:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        _refuse(i, j, "has no url")
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, _, data = url[5:].partition(",")
    media_type = head.partition(";")[0] or "image/png"
    return {"type": "base64", "media_type": media_type, "data": data}


def _refuse(i: int, j: int, what: str) -> NoReturn:
    param = f"messages[{i}].content[{j}]"
    raise BadRequest(f"'{param}' {what}.", param=param, code="invalid_type")
