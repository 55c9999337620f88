"""Extracts the features of a request that the routing decision is based on."""

from typing import Any

from airouter.classify.client_tools import tools_of
from airouter.classify.harness import human_text, is_agent
from airouter.dialects.openai_request import ChatRequest, text_of
from airouter.domain.types import Features

_SYSTEM_ROLES = ("system", "developer")
_IMAGE_PARTS = ("image_url", "input_image", "image")
_MAX_PREVIOUS = 8  # earlier turns
_FOLLOW_UP_CHARS = 60  # shorter requests after other turns are taken to depend on these


def features_of(request: ChatRequest) -> Features:
    """The features of a request. The cost grows with the number of messages and the length of the
    latest ones.

    The ask is the latest user message that a person wrote: text inserted by an agent's harness is
    removed, and messages that consist of nothing else are skipped.
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


def is_follow_up(features: Features) -> bool:
    """Whether the request probably depends on earlier turns: it is short, and there are some."""
    return bool(features.previous) and len(features.ask) < _FOLLOW_UP_CHARS


def _conversation(
    messages: list[dict[str, Any]], texts: list[str]
) -> tuple[str, tuple[tuple[str, str], ...], int, bool]:
    """The ask, the turns before it, the number of user messages by a person, and whether a harness
    inserted text.

    Messages are read from the end; user messages before the kept turns are counted without being
    read.
    """
    ask: str | None = None
    previous: list[tuple[str, str]] = []
    users, harness, newest = 0, False, ""
    for message, text in zip(reversed(messages), reversed(texts), strict=True):
        role = message["role"]
        if role == "user":
            if len(previous) >= _MAX_PREVIOUS:
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
        elif role == "assistant" and ask is not None and len(previous) < _MAX_PREVIOUS:
            previous.append((role, text))
    if ask is None:  # all text is the harness's: better than none
        return newest, (), int(bool(newest)), harness
    return ask, tuple(reversed(previous)), users, harness


def _leading_system(messages: list[dict[str, Any]], texts: list[str]) -> str:
    """The system messages before the first turn; later ones do not instruct the conversation."""
    leading = []
    for message, text in zip(messages, texts, strict=True):
        if message["role"] not in _SYSTEM_ROLES:
            break
        leading.append(text)
    return "\n".join(filter(None, leading))
