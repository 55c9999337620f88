"""The items of a request in the format of the Responses API as the messages of a chat completion.
Pure."""

from typing import Any, NoReturn

import orjson

from airouter.dialects.messages_conversation import plain, remind, text_part
from airouter.dialects.openai_responses_tools import INPUT, Names
from airouter.dialects.translating import MAX_NAME, note, refuse

_DETAILS = ("low", "high", "auto")  # of an image, as chat completions know them
_TEXTS = ("input_text", "output_text", "text")
# Records of what OpenAI's servers did within an answer, whose text has the result.
_HOSTED = frozenset({
    "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call",
    "mcp_list_tools", "mcp_call", "mcp_approval_request", "mcp_approval_response",
    "tool_search_call", "tool_search_output",
})  # fmt: skip


def messages_of(
    instructions: Any, given: Any, names: Names, notes: list[str]
) -> list[dict[str, Any]]:
    """The messages, the system text first: `instructions`, then what systems and developers say
    before anyone else does.

    Args:
        given: the request's `input`: a text, or items.
        notes: receives what was left out.

    Raises:
        BadRequest: names the parameter, as a path such as `input.0.content.1`.
    """
    messages: list[dict[str, Any]] = []
    if instructions is not None and not isinstance(instructions, str):
        refuse("instructions", "must be a string")
    if instructions:
        messages.append({"role": "system", "content": instructions})
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
        return messages
    if not isinstance(given, list):
        refuse("input", "must be a string or a list of items")
    last_ask = max((i for i, item in enumerate(given) if _role(item) == "user"), default=-1)
    for i, item in enumerate(given):
        _add(messages, item, f"input.{i}", i > last_ask, names, notes)
    if not messages:
        refuse("input", "must not be empty")
    return messages


def kind_of(item: Any) -> str:
    """The type of an item, which messages need not say; "" if it has none."""
    if not isinstance(item, dict):
        return ""
    kind = item.get("type")
    if kind is None:
        return "message" if "role" in item else "item_reference" if "id" in item else ""
    return kind if isinstance(kind, str) else ""


def _role(item: Any) -> Any:
    return item.get("role") if kind_of(item) == "message" else None


def _add(
    messages: list[dict[str, Any]],
    item: Any,
    where: str,
    current: bool,
    names: Names,
    notes: list[str],
) -> None:
    """Add an item to the messages.

    Args:
        current: it belongs to the turn that goes on, of whose reasoning templates show the model.
    """
    kind = kind_of(item)
    if kind == "message":
        _message(messages, item, where, notes)
    elif kind in ("function_call", "custom_tool_call"):
        _assistant(messages).setdefault("tool_calls", []).append(_call(item, where, names))
    elif kind in ("function_call_output", "custom_tool_call_output"):
        messages.append(_output(item, where, notes))
    elif kind == "reasoning":
        _reasoning(messages, item, current, notes)
    elif kind == "additional_tools":
        pass  # read with the request's own tools
    elif kind in _HOSTED:
        note(notes, f"{kind} left out")
    elif kind == "item_reference":
        refuse(where, "refers to an item that is not stored; send the item itself")
    elif kind:
        refuse(where, f"is an item of the type {kind[:MAX_NAME]!r}, which is not supported")
    else:
        refuse(where, "must be an object with a type, or a message with a role")


def _message(
    messages: list[dict[str, Any]], item: dict[str, Any], where: str, notes: list[str]
) -> None:
    role, content = item.get("role"), item.get("content")
    if role not in ("user", "assistant", "system", "developer"):
        refuse(f"{where}.role", "must be user, assistant, system or developer")
    parts = _parts(content, f"{where}.content", notes)
    if role == "user":
        messages.append({"role": "user", "content": plain(parts)})
        return
    for j, part in enumerate(parts):
        if part["type"] != "text":
            refuse(f"{where}.content.{j}", f"must be text in a message by the role {role}")
    text = "\n\n".join(filter(None, (part["text"] for part in parts)))
    if role == "assistant":
        message = _assistant(messages)
        message["content"] = "\n\n".join(filter(None, (message["content"], text)))
    else:  # many templates take a single system message, at the beginning
        remind(messages, text, notes)


def _assistant(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The assistant's message that is under way: the items of one turn are one message."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": ""})
    return messages[-1]


def _reasoning(
    messages: list[dict[str, Any]], item: dict[str, Any], current: bool, notes: list[str]
) -> None:
    """Reasoning of the turn that goes on, if it can be read."""
    given = item.get("content")
    parts = [part for part in given if isinstance(part, dict)] if isinstance(given, list) else []
    text = "\n\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    if not text:
        if item.get("summary") or item.get("encrypted_content"):
            note(notes, "reasoning without its text left out")
    elif not current:
        note(notes, "reasoning of earlier turns left out")
    else:
        message = _assistant(messages)
        before = message.get("reasoning_content")
        message["reasoning_content"] = f"{before}\n\n{text}" if before else text


def _call(item: dict[str, Any], where: str, names: Names) -> dict[str, Any]:
    for name in ("call_id", "name"):
        if not isinstance(item.get(name), str) or not item[name]:
            refuse(f"{where}.{name}", "must be a string")
    namespace = item.get("namespace")
    if not isinstance(namespace, str | None):
        refuse(f"{where}.namespace", "must be a string")
    given = item.get("arguments" if item["type"] == "function_call" else INPUT)
    if not isinstance(given, str):
        what = "arguments" if item["type"] == "function_call" else INPUT
        refuse(f"{where}.{what}", "must be a string")
    if item["type"] == "custom_tool_call":
        given = orjson.dumps({INPUT: given}).decode()
    function = {"name": names.flat(namespace or None, item["name"]), "arguments": given or "{}"}
    return {"id": item["call_id"], "type": "function", "function": function}


def _output(item: dict[str, Any], where: str, notes: list[str]) -> dict[str, Any]:
    known = item.get("call_id")
    if not isinstance(known, str) or not known:
        refuse(f"{where}.call_id", "must be a string")
    parts = _parts(item.get("output"), f"{where}.output", notes)
    if all(part["type"] == "text" for part in parts):
        text = "\n".join(part["text"] for part in parts)
        return {"role": "tool", "tool_call_id": known, "content": text}
    return {"role": "tool", "tool_call_id": known, "content": parts}


def _parts(content: Any, where: str, notes: list[str]) -> list[dict[str, Any]]:
    """A text or a list of parts, as parts of a chat's message."""
    if isinstance(content, str):
        return [text_part(content)]
    if not isinstance(content, list):
        refuse(where, "must be a string or a list of parts")
    return [_part(part, f"{where}.{j}", notes) for j, part in enumerate(content)]


def _part(part: Any, where: str, notes: list[str]) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        refuse(where, "must be an object with a type")
    if kind in _TEXTS:
        return text_part(_string(part, "text", where))
    if kind == "refusal":
        return text_part(_string(part, "refusal", where))
    if kind == "input_image":
        return _image(part, where, notes)
    if kind == "input_file" and isinstance(part.get("file_data"), str):
        file = {name: part[name] for name in ("file_data", "filename") if part.get(name)}
        return {"type": "file", "file": file}
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    _unknown(kind, where)


def _image(part: dict[str, Any], where: str, notes: list[str]) -> dict[str, Any]:
    if not isinstance(part.get("image_url"), str):
        refuse(f"{where}.image_url", "must be a URL; images of the Files API are not supported")
    image = {"url": part["image_url"]}
    detail = part.get("detail")
    if detail in _DETAILS:
        image["detail"] = detail
    elif detail is not None:
        note(notes, f"detail={str(detail)[:MAX_NAME]} left out")
    return {"type": "image_url", "image_url": image}


def _string(part: dict[str, Any], name: str, where: str) -> str:
    value = part.get(name)
    if not isinstance(value, str):
        refuse(f"{where}.{name}", "must be a string")
    return value


def _unknown(kind: str, where: str) -> NoReturn:
    refuse(
        where,
        f"is a part of the type {kind[:MAX_NAME]!r}, which is not supported"
        + (" by its id or URL; send its data" if kind == "input_file" else ""),
    )
