"""What deciding looks at, read off a request once."""

from typing import Any

from airouter.classify.client_tools import tools_of
from airouter.classify.harness import human_text, is_agent
from airouter.dialects.openai_request import ChatRequest, text_of
from airouter.domain.types import Features

_SYSTEM_ROLES = ("system", "developer")
_IMAGE_PARTS = ("image_url", "input_image", "image")
_PREVIOUS_KEPT = 8


def features_of(request: ChatRequest) -> Features:
    """Read the features; cost grows with the number of messages, and with the text of the newest.

    The ask is the newest user message with words of a person in it: what an agent's harness wrote
    is cut, and a message that is all harness is passed over.
    """
    messages = request.messages
    total, images = 0, False
    texts: list[str] = []
    for message in messages:
        text = text_of(message)
        total += len(text)
        texts.append(text)
        content = message.get("content")
        if isinstance(content, list) and not images:
            images = any(part.get("type") in _IMAGE_PARTS for part in content)
    ask, previous, users, harness = _conversation(messages, texts)
    system = _leading_system(messages, texts)
    metadata = request.payload.get("metadata")
    task = metadata.get("task") if isinstance(metadata, dict) else None
    last_role, last_text = (messages[-1]["role"], texts[-1]) if texts else ("", "")
    if last_role == "user" and harness:
        last_text = human_text(messages[-1])[0] or last_text
    return Features(
        ask=ask,
        previous=previous,
        system=system,
        last_role=last_role,
        last_text=last_text,
        n_messages=len(texts),
        n_user=users,
        total_chars=total,
        has_tools=request.has_tools,
        has_images=images,
        task=task if isinstance(task, str) and task else None,
        tools=tools_of(request.payload) if request.has_tools else (),
        agent=harness or bool(system and is_agent(system)),
    )


def _conversation(
    messages: list[dict[str, Any]], texts: list[str]
) -> tuple[str, tuple[tuple[str, str], ...], int, bool]:
    """The ask, the turns before it, how many user messages are a person's, whether a harness writes.

    Read from the end; user messages older than the turns that are kept are counted unread.
    """
    ask: str | None = None
    previous: list[tuple[str, str]] = []
    users, harness, newest = 0, False, ""
    for message, text in zip(reversed(messages), reversed(texts), strict=True):
        role = message["role"]
        if role == "user":
            if len(previous) >= _PREVIOUS_KEPT:
                users += 1
                continue
            own, cut = human_text(message)
            harness = harness or cut
            newest = newest or text
            if cut and not own.strip():
                continue
            users += 1
            if ask is None:
                ask = own
            else:
                previous.append(("user", own))
        elif role == "assistant" and ask is not None and len(previous) < _PREVIOUS_KEPT:
            previous.append((role, text))
    if ask is None:  # nothing but a harness's text: better than nothing
        return newest, (), int(bool(newest)), harness
    return ask, tuple(reversed(previous)), users, harness


def _leading_system(messages: list[dict[str, Any]], texts: list[str]) -> str:
    """The system texts before the first turn. One inside the conversation is no instruction to it."""
    leading = []
    for message, text in zip(messages, texts, strict=True):
        if message["role"] not in _SYSTEM_ROLES:
            break
        leading.append(text)
    return "\n".join(filter(None, leading))
