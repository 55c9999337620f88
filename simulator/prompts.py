"""Parses requests: messages as text, and the validation of the real servers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from simulator.errors import ApiError
from simulator.overrides import MARKER, split_marker
from simulator.role import Role
from simulator.text import IMAGE_TOKENS, MESSAGE_TOKENS, count_tokens


@dataclass(slots=True)
class Prompt:
    """A request as seen by a model."""

    text: str  # all of it, as the prefix cache sees it
    last_user: str  # without markers
    tokens: int
    images: int = 0
    last_role: str = "user"
    partial: str = ""  # the text of a last message by the assistant
    marker: dict[str, Any] = field(default_factory=dict)


def bad_request(message: str, param: str | None = None) -> ApiError:
    return ApiError(400, message, param)


def content_text(content: Any) -> tuple[str, int]:
    """A message's text and its number of images; content is a string, null or a list of parts."""
    if isinstance(content, str):
        return content, 0
    if content is None:
        return "", 0
    if not isinstance(content, list):
        raise bad_request(
            "1 validation error for ChatCompletionRequest: content must be a string or a list",
            "content",
        )
    texts: list[str] = []
    images = 0
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type") in (
            "text",
            "input_text",
            "output_text",
            "refusal",
        ):
            text = part.get("text", part.get("refusal"))
            texts.append(text if isinstance(text, str) else "")
        elif isinstance(part, dict) and part.get("type") in ("image_url", "input_image", "image"):
            images += 1
        else:
            raise bad_request("Unknown part type in message content", "content")
    return "\n".join(texts), images


def read_messages(messages: Any) -> Prompt:
    if not isinstance(messages, list) or not messages:
        raise bad_request(
            "1 validation error for ChatCompletionRequest: messages must be a non-empty list",
            "messages",
        )
    parts: list[str] = []
    last_user = last_role = partial = ""
    images = 0
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise bad_request(
                "1 validation error for ChatCompletionRequest: each message needs a role",
                "messages",
            )
        last_role = message["role"]
        text, pictures = content_text(message.get("content"))
        images += pictures
        if last_role == "user":
            last_user = text
        calls = message.get("tool_calls")
        parts.append(f"<|{last_role}|>{text}" + (orjson.dumps(calls).decode() if calls else ""))
        partial = text if last_role == "assistant" else ""
    whole = "".join(parts)
    tokens = count_tokens(whole) + MESSAGE_TOKENS * len(messages) + IMAGE_TOKENS * images
    prompt = Prompt(whole, last_user, tokens, images, last_role, partial)
    return _without_marker(prompt)


def read_prompt(value: Any, param: str = "prompt") -> Prompt:
    """The prompt of /v1/completions or the input of /v1/responses: text, token ids, or messages."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return read_messages([item for item in value if isinstance(item, dict) and "role" in item])
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if isinstance(value, list) and value and all(isinstance(item, int) for item in value):
        text = " ".join(map(str, value))
        return Prompt(text, text, len(value))
    if not isinstance(value, str):
        raise bad_request(f"1 validation error: {param} must be a string", param)
    return _without_marker(Prompt(value, value, count_tokens(value)))


def _without_marker(prompt: Prompt) -> Prompt:
    if MARKER in prompt.last_user:
        prompt.last_user, prompt.marker = split_marker(prompt.last_user)
    return prompt


def check_model(role: Role, body: dict[str, Any]) -> str:
    model = body.get("model")
    if model is None and role.profile.kind == "vllm":
        return role.profile.model
    if not isinstance(model, str) or not model:
        raise bad_request("you must provide a model parameter", "model")
    if not role.serves(model):
        code = None if role.profile.kind == "vllm" else "model_not_found"
        raise ApiError(404, f"The model `{model}` does not exist.", "model", code)
    return model


def limit_of(body: dict[str, Any], *fields: str) -> int | None:
    """The token limit of the answer, from the first of the fields present."""
    for name in fields:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise bad_request(f"{name} must be at least 1, got {value}.", name)
        return value
    return None


def check_length(role: Role, prompt: Prompt, limit: int | None) -> None:
    longest = role.profile.max_model_len
    if prompt.tokens + (limit or 1) <= longest:
        return
    wanted = f"{prompt.tokens} tokens in the messages"
    if limit is not None:
        wanted = (
            f"{prompt.tokens + limit} tokens "
            f"({prompt.tokens} in the messages, {limit} in the completion)"
        )
    raise ApiError(
        400,
        f"This model's maximum context length is {longest} tokens. "
        f"However, you requested {wanted}. "
        "Please reduce the length of the messages or completion.",
        "input_tokens" if role.profile.kind == "vllm" else "messages",
        "context_length_exceeded",
    )
