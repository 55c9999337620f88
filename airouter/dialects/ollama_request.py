"""Requests in Ollama's format as OpenAI's. Pure: nothing of the client's is edited.

Options that say how a local model is loaded and run (num_ctx, num_gpu, mirostat, …) are left out,
as is keep_alive: they are the backends' own settings.
"""

from typing import Any, NoReturn

import orjson

from airouter.dialects.openai_request import AS_MANY_AS_FIT
from airouter.domain.errors import BadRequest

_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repeat_penalty": "repetition_penalty",  # as vLLM, SGLang and OpenRouter call it
}
# The type of an image, by how its base64 begins.
_IMAGES = (("/9j/", "jpeg"), ("iVBOR", "png"), ("R0lGOD", "gif"), ("UklGR", "webp"))


def chat(payload: dict[str, Any]) -> dict[str, Any]:
    """`POST /api/chat` as a chat completion.

    Raises:
        BadRequest: names the parameter, in Ollama's words.
    """
    messages = payload.get("messages")
    if not isinstance(messages, list):
        _refuse("messages", 'must be a list such as [{"role": "user", "content": "Hello"}]')
    body = {**_common(payload), **_for_chats(payload), "messages": _messages(messages)}
    if payload.get("tools"):
        body["tools"] = _tools(payload["tools"])
    return body


def generate(payload: dict[str, Any]) -> dict[str, Any]:
    """`POST /api/generate` as a chat completion of one question.

    Raises:
        BadRequest: names the parameter; a template, or the context of an earlier answer, cannot
            reach a backend.
    """
    for name, instead in (
        ("template", "backends use their model's own; send `raw` with the finished prompt"),
        ("context", "send the conversation to /api/chat"),
    ):
        if payload.get(name):
            _refuse(name, f"is not supported: {instead}")
    asked = {"role": "user", "content": _text(payload, "prompt"), "images": payload.get("images")}
    system = _text(payload, "system")
    told = [{"role": "system", "content": system}] if system else []
    messages = [*told, *_messages([asked])]
    return {**_common(payload), **_for_chats(payload), "messages": messages}


def raw(payload: dict[str, Any]) -> dict[str, Any]:
    """`POST /api/generate` with `raw` or `suffix` as a text completion.

    Raises:
        BadRequest: names the parameter.
    """
    if payload.get("images"):
        _refuse("images", "cannot be combined with raw or suffix")
    body = {**_common(payload), "prompt": _text(payload, "prompt")}
    body.setdefault("max_tokens", AS_MANY_AS_FIT)
    if suffix := _text(payload, "suffix"):
        body["suffix"] = suffix
    return body


def embed(payload: dict[str, Any]) -> dict[str, Any]:
    """`POST /api/embed` as an embeddings request.

    Raises:
        BadRequest: names the parameter.
    """
    given = payload.get("input")
    several = isinstance(given, list) and all(isinstance(text, str) for text in given)
    if not (isinstance(given, str) or several):
        _refuse("input", "must be a string or a list of strings")
    body = {"model": payload.get("model"), "input": given, "encoding_format": "float"}
    if payload.get("dimensions"):
        body["dimensions"] = payload["dimensions"]
    return body


def embeddings(payload: dict[str, Any]) -> dict[str, Any]:
    """`POST /api/embeddings`, the older form of /api/embed, as an embeddings request.

    Raises:
        BadRequest: names the parameter.
    """
    prompt = _text(payload, "prompt")
    return {"model": payload.get("model"), "input": prompt, "encoding_format": "float"}


def _common(payload: dict[str, Any]) -> dict[str, Any]:
    """What all that generate text have in common."""
    stream = payload.get("stream")
    if stream not in (None, True, False):
        _refuse("stream", "must be true or false")
    body: dict[str, Any] = {"model": payload.get("model"), "stream": stream is not False}
    if body["stream"]:
        body["stream_options"] = {"include_usage": True}
    options = payload.get("options")
    if options is not None and not isinstance(options, dict):
        _refuse("options", "must be an object")
    for name, value in (options or {}).items():
        if name in _OPTIONS and value not in (None, []):
            body[_OPTIONS[name]] = value
    limit = (options or {}).get("num_predict")
    if limit is not None:
        if type(limit) is float and limit.is_integer():
            limit = int(limit)
        if type(limit) is not int:
            _refuse("options.num_predict", "must be an integer")
        if limit > 0:  # -1 and -2: no limit
            body["max_tokens"] = limit
    if payload.get("format"):
        body["response_format"] = _format(payload["format"])
    return body


def _for_chats(payload: dict[str, Any]) -> dict[str, Any]:
    """What text completions do not have, or spell otherwise."""
    body = _thinking(payload.get("think"))
    if payload.get("logprobs"):
        body["logprobs"] = True
        if payload.get("top_logprobs"):
            body["top_logprobs"] = payload["top_logprobs"]
    return body


def _thinking(think: Any) -> dict[str, Any]:
    """Whether and how much to reason; each backend's way to say so is `thinking.py`'s."""
    if think is None or think == "":
        return {}
    if not isinstance(think, bool | str):
        _refuse("think", "must be true, false, low, medium or high")
    return {"think": think}


def _format(wanted: Any) -> dict[str, Any]:
    if wanted == "json":
        return {"type": "json_object"}
    if not isinstance(wanted, dict):
        _refuse("format", 'must be "json" or a JSON schema')
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted}}


def _tools(tools: Any) -> list[Any]:
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        _refuse("tools", "must be a list of objects")
    return [{"type": "function", **tool} for tool in tools]


def _messages(messages: list[Any]) -> list[Any]:
    """OpenAI tells by ids which call a tool's result belongs to; Ollama by names and by order. The
    ids made here depend on nothing but the position, so that a conversation that goes on is
    recognised."""
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    last_user = max((i for i, role in enumerate(roles) if role == "user"), default=-1)
    unanswered: list[tuple[str, str]] = []  # (name, id) of calls
    translated = []
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            _refuse(f"messages[{i}]", "must be an object with a role")
        content = message.get("content")
        meant: dict[str, Any] = {"role": roles[i], "content": "" if content is None else content}
        if message.get("images"):
            meant["content"] = _with_images(meant["content"], message["images"], i)
        if message.get("tool_calls"):
            meant["tool_calls"] = _calls(message["tool_calls"], i)
            unanswered = [(c["function"]["name"], c["id"]) for c in meant["tool_calls"]]
        # Templates show a model its reasoning since the last question alone; clouds refuse it.
        if message.get("thinking") and roles[i] == "assistant" and i > last_user:
            meant["reasoning_content"] = message["thinking"]
        if roles[i] == "tool":
            meant["tool_call_id"] = _answered(message, unanswered, i)
        translated.append(meant)
    return translated


def _calls(calls: Any, i: int) -> list[dict[str, Any]]:
    where = f"messages[{i}].tool_calls"
    if not isinstance(calls, list):
        _refuse(where, "must be a list")
    translated = []
    for j, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            _refuse(f"{where}[{j}]", "must be an object with a function and its name")
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode()
        translated.append(
            {
                "id": call.get("id") or f"call_{i}_{j}",
                "type": "function",
                "function": {"name": function["name"], "arguments": text},
            }
        )
    return translated


def _answered(message: dict[str, Any], unanswered: list[tuple[str, str]], i: int) -> str:
    """The id of the call that a tool's result belongs to, which is taken off the list."""
    named, known = message.get("tool_name") or message.get("name"), message.get("tool_call_id")
    found = (
        next((call for call in unanswered if known and call[1] == known), None)
        or next((call for call in unanswered if not known and call[0] == named), None)
        or next((call for call in unanswered if not known and not named), None)
    )
    if found is None:
        return known if isinstance(known, str) and known else f"call_{i}"
    unanswered.remove(found)
    return found[1]


def _with_images(content: Any, images: Any, i: int) -> list[Any]:
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        _refuse(f"messages[{i}].images", "must be a list of images in base64")
    parts: list[Any] = content if isinstance(content, list) else []
    if isinstance(content, str) and content:
        parts = [{"type": "text", "text": content}]
    return [*parts, *({"type": "image_url", "image_url": {"url": _url(one)}} for one in images)]


def _url(image: str) -> str:
    if image.startswith("data:"):
        return image
    kind = next((kind for begin, kind in _IMAGES if image.startswith(begin)), "png")
    return f"data:image/{kind};base64,{image}"


def _text(payload: dict[str, Any], name: str) -> str:
    value = payload.get(name)
    if value is not None and not isinstance(value, str):
        _refuse(name, "must be a string")
    return value or ""


def _refuse(param: str, what: str) -> NoReturn:
    raise BadRequest(f"'{param}' {what}.", param=param, code="invalid_type")
