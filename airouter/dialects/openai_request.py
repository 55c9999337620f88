"""Parses and validates client requests, as far as the router needs to understand them. Unknown
fields are passed on unchanged.

Backends accept more than OpenAI documents, such as numbers as text or plain strings as content
parts. Unambiguous values are normalised; others are refused with the name of the parameter.
"""

from typing import Any, NoReturn

import orjson

from airouter.dialects.wire_json import from_client, too_many
from airouter.domain.dialect import Original
from airouter.domain.errors import BadRequest, TooLarge
from airouter.domain.types import Endpoint

_MAX_MODEL_NAME = 256
AS_MANY_AS_FIT = -1  # no limit, as in LM Studio, llama.cpp and Ollama
# input_text and output_text belong to the Responses API; vLLM accepts them in chat requests, too.
TEXT_PARTS = ("text", "input_text", "output_text")
_MAX_DEPTH = 200  # orjson serialises at most 254 levels


class ChatRequest:
    """A typed view of a payload. `messages` is empty for text completions and embeddings;
    `adjusted` describes values that were normalised. `original`: what the payload was translated
    from, where a backend may speak that dialect. `thinking`: the level that was named with the
    model, as in `ai-router:low`."""

    __slots__ = (
        *("adjusted", "endpoint", "messages", "model", "original", "payload", "stream", "thinking"),
        "wants_usage",
    )

    def __init__(
        self, endpoint: Endpoint, payload: dict[str, Any], adjusted: tuple[str, ...] = ()
    ) -> None:
        self.endpoint = endpoint
        self.payload = payload
        self.adjusted = adjusted
        self.original: Original | None = None
        self.model: str | None = payload.get("model") or None
        self.thinking: str | None = None
        self.stream: bool = bool(payload.get("stream")) and endpoint != "embeddings"
        self.messages: list[dict[str, Any]] = payload["messages"] if endpoint == "chat" else []
        options = payload.get("stream_options")
        self.wants_usage = bool(isinstance(options, dict) and options.get("include_usage"))

    @property
    def has_tools(self) -> bool:
        return bool(self.payload.get("tools") or self.payload.get("functions"))

    @property
    def max_tokens(self) -> int | None:
        """The client's limit on the length of the answer."""
        value = self.payload.get("max_completion_tokens") or self.payload.get("max_tokens")
        return value if isinstance(value, int) else None

    @property
    def inputs(self) -> int | None:
        """How many texts are to be embedded; a list of integers is one, in tokens."""
        if self.endpoint != "embeddings":
            return None
        given: Any = self.payload.get("input")
        several = isinstance(given, list) and given and not isinstance(given[0], int)
        return len(given) if several else 1

    @property
    def choices(self) -> int:
        """The number of choices in the answer: `n` per prompt."""
        n: int = self.payload.get("n") or 1
        prompts = self.payload.get("prompt") if self.endpoint == "completions" else None
        if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
            return n * len(prompts)  # a list of integers is a single prompt, in tokens
        return n


def parse_json(
    raw: bytes,
    content_type: str,
    adjusted: list[str] | None = None,
    *,
    most_elements: int = 2_000_000,
) -> dict[str, Any]:
    """Parse a request body into a JSON object.

    Args:
        adjusted: receives a note if invalid characters were replaced.
        most_elements: maximum number of JSON elements (`server.max_json_elements`), checked before
            parsing.

    Raises:
        TooLarge: the body has more elements.
        BadRequest: the body is not JSON, not an object, or not declared as JSON.
    """
    if content_type and "json" not in content_type.partition(";")[0].lower():
        raise BadRequest(
            "Send the body as JSON with 'Content-Type: application/json'; "
            f"got {content_type[:80]!r}.",
            code="invalid_content_type",
        )
    if not raw.strip():
        raise BadRequest("The body is empty; send a JSON object.", code="empty_body")
    if too_many(raw, most_elements):
        raise TooLarge(
            f"The body has more than {most_elements:,} JSON elements (server.max_json_elements); "
            "split it into several requests.",
            code="too_many_elements",
        )
    try:
        payload, replaced = from_client(raw)
    except orjson.JSONDecodeError as error:
        if "UTF-8" in str(error):
            raise BadRequest(
                "The body is not valid UTF-8; send JSON encoded as UTF-8.", code="invalid_json"
            ) from None
        raise BadRequest(
            f"The body is not valid JSON: {str(error).split(': line')[0]} "
            f"(line {error.lineno}, column {error.colno}).",
            code="invalid_json",
        ) from None
    if replaced and adjusted is not None:
        adjusted.append("lone surrogates replaced by U+FFFD")
    if not isinstance(payload, dict):
        raise BadRequest('The body must be a JSON object such as {"model": …, "messages": […]}.')
    if raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH and _too_deep(payload):
        raise BadRequest(
            f"The body is nested more than {_MAX_DEPTH} levels deep.", code="nested_too_deeply"
        )
    return payload


def _too_deep(payload: dict[str, Any]) -> bool:
    level: list[Any] = [payload]
    for _ in range(_MAX_DEPTH):
        items = (
            item
            for value in level
            for item in (value.values() if isinstance(value, dict) else value)
        )
        level = [item for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def parse_request(
    endpoint: Endpoint, payload: dict[str, Any], adjusted: list[str] | None = None
) -> ChatRequest:
    """Validate the fields that the router uses. The payload is not modified; normalised values go
    into a copy.

    Args:
        adjusted: earlier changes, for the X-Router-Adjusted header.

    Raises:
        BadRequest: names the invalid parameter and what is expected.
    """
    notes = list(adjusted or ())
    payload = _normalised(endpoint, payload, notes)
    model = payload.get("model")
    if model is not None and (not isinstance(model, str) or len(model) > _MAX_MODEL_NAME):
        _refuse("model", "must be a string")
    if endpoint == "chat":
        _check_messages(payload.get("messages"))
    elif endpoint == "completions":
        if not isinstance(payload.get("prompt"), str | list) and not payload.get("prompt_embeds"):
            _refuse("prompt", "must be a string or a list")
    elif not isinstance(payload.get("input"), str | list) or payload["input"] in ("", []):
        _refuse("input", "must be a non-empty string or list")
    if payload.get("metadata") is not None and not isinstance(payload["metadata"], dict):
        _refuse("metadata", "must be an object")
    if endpoint != "embeddings":
        _check_options(endpoint, payload)
    return ChatRequest(endpoint, payload, tuple(notes))


def _check_options(endpoint: Endpoint, payload: dict[str, Any]) -> None:
    if payload.get("stream") not in (None, True, False):
        _refuse("stream", "must be true or false")
    for name in ("max_tokens", "max_completion_tokens"):
        value = payload.get(name)
        # 0 in a text completion: echo the prompt, generate nothing.
        if value is not None and not (
            _is_integer(value)
            and (
                value >= 1 or value == AS_MANY_AS_FIT or (value == 0 and endpoint == "completions")
            )
        ):
            _refuse(name, "must be a positive integer, or -1 for as many as fit")
    n = payload.get("n")
    if n is not None and not (_is_integer(n) and 1 <= n <= 128):
        _refuse("n", "must be an integer from 1 to 128")
    if payload.get("stream_options") is not None and not isinstance(
        payload["stream_options"], dict
    ):
        _refuse("stream_options", "must be an object")
    for name in ("tools", "functions"):
        if payload.get(name) is not None and not isinstance(payload[name], list):
            _refuse(name, "must be a list")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        _refuse(
            "messages",
            'must be a non-empty list of objects such as {"role": "user", "content": "Hello"}',
        )
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            _refuse(f"messages[{i}]", "must be an object with a role")
        if not isinstance(message.get("role"), str) or not message["role"]:
            _refuse(
                f"messages[{i}].role", "must be one of system, developer, user, assistant, tool"
            )
        content = message.get("content")
        if content is None or isinstance(content, str):
            continue
        if not isinstance(content, list):
            _refuse(f"messages[{i}].content", "must be a string, a list of parts, or null")
        for j, part in enumerate(content):
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                _refuse(
                    f"messages[{i}].content[{j}]",
                    "must be a string or an object with a type, such as "
                    '{"type": "text", "text": "Hello"}',
                )
            if part["type"] in TEXT_PARTS and not isinstance(part.get("text"), str):
                _refuse(f"messages[{i}].content[{j}].text", "must be a string")


def _refuse(param: str, what: str) -> NoReturn:
    raise BadRequest(f"'{param}' {what}.", param=param, code="invalid_type")


def text_of(message: dict[str, Any]) -> str:
    """The text of a message, for content of any type; "" if it has none."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            part["text"]
            for part in content
            if part.get("type") in TEXT_PARTS and isinstance(part.get("text"), str)
        )
    return ""


_LARGEST = 2**53  # larger integers are not exact as floats
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def _normalised(endpoint: Endpoint, given: dict[str, Any], adjusted: list[str]) -> dict[str, Any]:
    """The payload with numbers, booleans and content parts in their documented types; the same
    object if nothing has to be changed.

    Args:
        adjusted: receives one note per normalised field.
    """
    changed: dict[str, Any] = {}
    for name, read in _READERS:
        value = given.get(name)
        if value is None:
            continue
        meant = read(value)
        if meant is not value:
            changed[name] = meant
            if meant != value:
                adjusted.append(f"{name}={value!r} read as {_shown(meant)}"[:120])
    if endpoint == "chat":
        messages = _messages(given.get("messages"))
        if messages is not None:
            changed["messages"] = messages
            adjusted.append("content parts converted to objects with a type")
    return {**given, **changed} if changed else given


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _switch(value: Any) -> Any:
    if isinstance(value, str):
        return _TRUTH.get(value.strip().lower(), value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value in (0, 1):
        return bool(value)
    return value


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value_read = float(value) if len(value) <= 20 else None
        except ValueError:
            return value
        if value_read is None or not _exact(value_read):
            return value
        return int(value_read)
    return int(value) if isinstance(value, float) and _exact(value) else value


def _exact(value: float) -> bool:
    return value.is_integer() and abs(value) <= _LARGEST


def _limit(value: Any) -> Any:
    """A limit in tokens. In Ollama, -2 means "until the context window is full"."""
    value = _integer(value)
    return AS_MANY_AS_FIT if value == -2 else value


_READERS = (
    ("stream", _switch),
    ("n", _integer),
    ("max_tokens", _limit),
    ("max_completion_tokens", _limit),
)


def _messages(messages: Any) -> list[Any] | None:
    """The messages with each content part as an object with a type; None if nothing has to be
    changed."""
    if not isinstance(messages, list):
        return None
    changed = False
    result = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if content is not None and not isinstance(content, str):
            parts = _parts(content)
            if parts is not None:
                message = {**message, "content": parts}
                changed = True
        result.append(message)
    return result if changed else None


def _parts(content: Any) -> list[Any] | None:
    if isinstance(content, dict) and "type" in content:  # a single part without a list
        return [_part(content)]
    if not isinstance(content, list):
        return None
    parts = [_part(part) for part in content]
    return parts if any(new is not old for new, old in zip(parts, content, strict=True)) else None


def _part(part: Any) -> Any:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict) or "type" in part:
        return part
    if isinstance(part.get("text"), str):
        return {"type": "text", **part}
    if "image_url" in part:
        image = part["image_url"]
        return {
            "type": "image_url",
            "image_url": {"url": image} if isinstance(image, str) else image,
        }
    return part
