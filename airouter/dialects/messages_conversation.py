"""The conversation of a request in the format of Anthropic's Messages API as the messages of a chat
completion. Pure."""

from typing import Any, NoReturn

import orjson

from airouter.dialects.translating import MAX_NAME, note, refuse

_REMINDER, _REMINDED = "<system-reminder>", "</system-reminder>"
_EARLIER_THINKING = "thinking of earlier turns left out"


def conversation(payload: dict[str, Any], notes: list[str]) -> list[dict[str, Any]]:
    """The messages, the system text first.

    Args:
        notes: receives what was left out.

    Raises:
        BadRequest: names the parameter.
    """
    messages = payload.get("messages")
    if not isinstance(messages, list) or not messages:
        refuse("messages", 'must be a list such as [{"role": "user", "content": "Hello"}]')
    translated = _system(payload.get("system"))
    _add(translated, messages, notes)
    if translated[-1]["role"] == "assistant":
        note(notes, "a last message by the assistant may be answered instead of continued")
    return translated


def _system(given: Any) -> list[dict[str, Any]]:
    """One system message: templates take one, and some take no list of parts."""
    if given in (None, "", []):
        return []
    return [{"role": "system", "content": _joined(given, "system")}]


def _joined(content: Any, where: str) -> str:
    """The texts of blocks that may only be text."""
    if isinstance(content, str):
        return content
    texts = []
    for j, block in enumerate(_blocks(content, where)):
        if block["type"] != "text":
            _unknown(block, f"{where}.{j}")
        texts.append(_text(block, f"{where}.{j}"))
    return "\n\n".join(filter(None, texts))


def _add(translated: list[dict[str, Any]], messages: list[Any], notes: list[str]) -> None:
    """Add the messages to those translated so far."""
    last_user = max((i for i, message in enumerate(messages) if _asks(message)), default=-1)
    for i, message in enumerate(messages):
        where = f"messages.{i}"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant", "system"):
            refuse(where, "must be an object with the role user, assistant or system")
        content = message.get("content")
        if role == "system":
            remind(translated, _joined(content, f"{where}.content"), notes)
        elif isinstance(content, str):
            translated.append({"role": role, "content": content})
        elif role == "user":
            translated += _user(content, f"{where}.content")
        else:
            translated.append(_assistant(content, f"{where}.content", i > last_user, notes))


def remind(translated: list[dict[str, Any]], text: str, notes: list[str]) -> None:
    """Add a system message. Many templates take one at the beginning only, so a later one is put at
    the end of the message before it, in the form of Claude Code's own reminders. Where it stands
    stays the same from turn to turn."""
    last = translated[-1] if translated else None
    if last is None:
        translated.append({"role": "system", "content": text})
    elif last["role"] == "system":
        extend(last, [text_part(text)])
    else:
        note(notes, "later system messages sent as reminders")
        reminder = f"{_REMINDER}\n{text}\n{_REMINDED}"
        if last["role"] == "assistant":
            translated.append({"role": "user", "content": reminder})
        else:
            extend(last, [text_part(reminder)])


def extend(message: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    """Add parts to a message's content; to a string, if they are text."""
    content = message["content"]
    if isinstance(content, str):
        texts = [content, *(part["text"] for part in parts)]
        message["content"] = "\n\n".join(filter(None, texts))
    else:
        message["content"] = [*content, *parts]


def _asks(message: Any) -> bool:
    """Whether it is a user's message with more than results of tools and reminders."""
    if not isinstance(message, dict) or message.get("role") != "user":
        return False
    content = message.get("content")
    return not isinstance(content, list) or not all(
        isinstance(block, dict) and (block.get("type") == "tool_result" or _reminds(block))
        for block in content
    )


def _reminds(block: dict[str, Any]) -> bool:
    """Whether a block, or a part of a message, is a reminder that Claude Code has put in."""
    text = block.get("text")
    if block.get("type") != "text" or not isinstance(text, str):
        return False
    return text.lstrip().startswith(_REMINDER) and text.rstrip().endswith(_REMINDED)


def _user(content: Any, where: str) -> list[dict[str, Any]]:
    """Results of tools are messages of their own, before the rest: they belong to the calls in the
    message before. If the rest is reminders only, it is added to the last result: the user has
    written nothing."""
    results, parts = [], []
    for j, block in enumerate(_blocks(content, where)):
        if block["type"] == "tool_result":
            results.append(_result(block, f"{where}.{j}"))
        else:
            parts += _parts(block, f"{where}.{j}")
    if results and all(map(_reminds, parts)):
        extend(results[-1], parts)
    elif parts or not results:
        results.append({"role": "user", "content": plain(parts)})
    return results


def _result(block: dict[str, Any], where: str) -> dict[str, Any]:
    """A tool's result. Chat completions have no mark for an error, so the text says it."""
    known, content = block.get("tool_use_id"), block.get("content")
    if not isinstance(known, str) or not known:
        refuse(f"{where}.tool_use_id", "must be a string")
    if content is None or isinstance(content, str):
        parts = [text_part(content)] if content else []
    else:
        inner = f"{where}.content"
        blocks = enumerate(_blocks(content, inner))
        parts = [part for j, one in blocks for part in _parts(one, f"{inner}.{j}")]
    if block.get("is_error"):
        first = parts[0].get("text", "") if parts else ""
        if "error" not in first[:40].lower():
            parts = [text_part(f"Error: {first}".rstrip()), *(parts[1:] if first else parts)]
    if all(part["type"] == "text" for part in parts):
        text = "\n".join(part["text"] for part in parts)
        return {"role": "tool", "tool_call_id": known, "content": text}
    return {"role": "tool", "tool_call_id": known, "content": parts}


def _assistant(content: Any, where: str, current: bool, notes: list[str]) -> dict[str, Any]:
    """Args:
    current: it belongs to the turn that goes on, of whose reasoning templates show the model.
    """
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for j, block in enumerate(_blocks(content, where)):
        kind, at = block["type"], f"{where}.{j}"
        if kind == "text":
            texts.append(_text(block, at))
        elif kind == "tool_use":
            calls.append(_call(block, at))
        elif kind == "thinking":
            if current:
                thoughts.append(_text(block, at, "thinking"))
            else:
                note(notes, _EARLIER_THINKING)
        elif kind == "redacted_thinking":
            note(notes, "redacted thinking left out")
        elif kind == "server_tool_use" or kind.endswith("_tool_result"):
            note(notes, f"{kind[:MAX_NAME]} left out")
        else:
            _unknown(block, at)
    message: dict[str, Any] = {"role": "assistant", "content": "\n\n".join(filter(None, texts))}
    if any(thoughts):
        message["reasoning_content"] = "\n\n".join(filter(None, thoughts))
    if calls:
        message["tool_calls"] = calls
    return message


def _call(block: dict[str, Any], where: str) -> dict[str, Any]:
    for name in ("id", "name"):
        if not isinstance(block.get(name), str) or not block[name]:
            refuse(f"{where}.{name}", "must be a string")
    given = block.get("input")
    if not isinstance(given, dict):
        refuse(f"{where}.input", "must be an object")
    function = {"name": block["name"], "arguments": orjson.dumps(given).decode()}
    return {"id": block["id"], "type": "function", "function": function}


def _parts(block: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """What a user's message or a tool's result may consist of."""
    kind = block["type"]
    if kind == "text":
        return [text_part(_text(block, where))]
    if kind == "image":
        return [{"type": "image_url", "image_url": {"url": _image(block, where)}}]
    if kind == "document":
        return _document(block, where)
    if kind == "search_result":
        head = "\n".join(str(block[name]) for name in ("title", "source") if block.get(name))
        return [text_part(f"{head}\n{_joined(block.get('content'), f'{where}.content')}")]
    _unknown(block, where)


def _image(block: dict[str, Any], where: str) -> str:
    source = block.get("source")
    source = source if isinstance(source, dict) else {}
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        return str(source["url"])
    if source.get("type") == "base64" and isinstance(source.get("data"), str):
        return f"data:{source.get('media_type') or 'image/png'};base64,{source['data']}"
    refuse(f"{where}.source", "must be an image in base64 or its url")


def _document(block: dict[str, Any], where: str) -> list[dict[str, Any]]:
    source = block.get("source")
    source = source if isinstance(source, dict) else {}
    kind = source.get("type")
    title = block.get("title")
    head = [text_part(title)] if isinstance(title, str) and title else []
    if kind == "text":
        return [*head, text_part(_text(source, f"{where}.source", "data"))]
    if kind == "content":
        content = source.get("content")
        if isinstance(content, str):
            return [*head, text_part(content)]
        blocks = enumerate(_blocks(content, f"{where}.source.content"))
        parts = (_parts(one, f"{where}.source.content.{j}") for j, one in blocks)
        return [*head, *(part for several in parts for part in several)]
    refuse(f"{where}.source", "is not supported: send the document's text")


def _blocks(content: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(content, list):
        refuse(where, "must be a string or a list of blocks")
    for j, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            refuse(f"{where}.{j}", "must be an object with a type")
    return content


def _text(block: Any, where: str, name: str = "text") -> str:
    value = block.get(name)
    if not isinstance(value, str):
        refuse(f"{where}.{name}", "must be a string")
    return value


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def plain(parts: list[dict[str, Any]]) -> Any:
    """A single text as a string, which every template takes."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts or ""


def _unknown(block: dict[str, Any], where: str) -> NoReturn:
    refuse(where, f"is a block of the type {block['type'][:MAX_NAME]!r}, which is not supported")
