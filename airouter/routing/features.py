"""What deciding looks at, read off a request once."""

from airouter.request import ChatRequest, text_of
from airouter.types import Features

_SYSTEM_ROLES = ("system", "developer")
_IMAGE_PARTS = ("image_url", "input_image", "image")
_PREVIOUS_KEPT = 8


def features_of(request: ChatRequest) -> Features:
    """Read the features; cost grows with the number of messages, not with their text."""
    ask, ask_at, system = "", -1, ""
    total, users, images = 0, 0, False
    texts: list[tuple[str, str]] = []
    for i, message in enumerate(request.messages):
        text = text_of(message)
        role = message["role"]
        total += len(text)
        texts.append((role, text))
        if role == "user":
            ask, ask_at = text, i
            users += 1
        elif role in _SYSTEM_ROLES and ask_at < 0 and not system:
            system = text
        content = message.get("content")
        if isinstance(content, list) and not images:
            images = any(part.get("type") in _IMAGE_PARTS for part in content)
    before = [pair for pair in texts[: max(ask_at, 0)] if pair[0] in ("user", "assistant")]
    metadata = request.payload.get("metadata")
    task = metadata.get("task") if isinstance(metadata, dict) else None
    last_role, last_text = texts[-1] if texts else ("", "")
    return Features(
        ask=ask,
        previous=tuple(before[-_PREVIOUS_KEPT:]),
        system=system,
        last_role=last_role,
        last_text=last_text,
        n_messages=len(texts),
        n_user=users,
        total_chars=total,
        has_tools=request.has_tools,
        has_images=images,
        task=task if isinstance(task, str) and task else None,
    )
