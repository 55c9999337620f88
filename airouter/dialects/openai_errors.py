"""What a backend's error says, whatever its shape: OpenAI's, a string, a list of details, plain
text, a page; with an error status, within a 200, or within a stream. Pure.
"""

import re
from typing import Any

import orjson

from airouter.dialects import wire_json
from airouter.dialects.wire_json import EVENT_ELEMENTS
from airouter.domain.errors import RouterError, UpstreamStatus
from airouter.domain.redaction import masked_json, masked_text

CONTEXT_CODE = "context_length_exceeded"
_MOST = 2000  # characters of a reason
_DEEP = 6  # levels of an error within an error
_TEXT = ("message", "msg", "detail", "error", "errors", "reason", "text", "title", "description")
_SAID = ("object", "detail", "error", "errors")  # told by the message
# Beginning and end of the parts of a page that are not its text.
_HIDDEN = tuple(
    (re.compile(opening + r".*?" + closing, re.DOTALL | re.I), re.compile(closing, re.I))
    for opening, closing in (
        ("<!--", "-->"),
        *((rf"<{name}\b", rf"</{name}\s*>") for name in ("script", "style", "head")),
    )
)
_TAG = re.compile(r"<[^<>]*>")
# How backends say that prompt and answer do not fit their window: OpenAI, vLLM, SGLang, llama.cpp,
# Ollama, LM Studio, TGI, xAI, Anthropic, Gemini, Mistral, Groq, TabbyAPI.
_CONTEXT = re.compile(
    rb"context_length_exceeded|exceed_context_size|context.?(length|window|size)"
    rb"|model_max_prompt_tokens|maximum (model|prompt|input|sequence) length"
    rb"|(prompt|input|request|conversation) is too long"
    rb"|max_(seq|model|position|total)_?(len|length|tokens|embeddings)\b"
    rb"|`?max_new_tokens`? must be <=|maximum number of tokens allowed"
    rb"|too many (input |prompt )?tokens"
    rb"|reduce the length of the (messages|input|prompt)|string_above_max_length"
)
_CONTEXT_STATUS = (400, 413, 422, 500, 502)  # the last two: of servers that know no better
_LOOKED_AT = (
    2000  # bytes; behind them some backends repeat the request, which may speak of anything
)

# How backends say that they do not serve a model: OpenAI, vLLM, Ollama, DeepSeek; Mistral and
# LiteLLM; LM Studio; Groq; OpenRouter; TabbyAPI and LM Studio before a model is loaded.
_MODEL_GONE = re.compile(
    rb"model_not_(?:found|supported|available|loaded)|model_decommissioned|invalid_model\b"
    rb"|(?:no such|unknown|unsupported|invalid) model\b(?! (?:output|type|config|param))"
    rb"|model\b[^{}]{0,120}?\b(?:not found|does not exist|not exist|has been decommissioned"
    rb"|is not (?:currently )?loaded)"
    rb"|not a valid model|no models? (?:is |are )?(?:currently )?loaded"
)
_POLICY_MARKS = (b"content_policy", b"content_filter", b"content policy")


def context_exceeded(status: int, body: bytes) -> bool:
    """Whether a backend refuses a request because it is longer than its context window."""
    return status in _CONTEXT_STATUS and _CONTEXT.search(body[:_LOOKED_AT].lower()) is not None


def model_is_gone(error: RouterError) -> bool:
    """Whether a backend says that it does not serve the model it was asked for."""
    if not isinstance(error, UpstreamStatus) or error.upstream_status not in (400, 404, 422):
        return False
    body = error.upstream_body.lower()
    return error.upstream_status == 404 or bool(_MODEL_GONE.search(body))


def refuses_content(error: UpstreamStatus) -> bool:
    """Whether a backend will not answer because of what is asked, by its policy."""
    body = error.upstream_body.lower()
    return any(mark in body for mark in _POLICY_MARKS)


def openai_shaped(error: UpstreamStatus) -> dict[str, object]:
    """`{"error": {message, type, param, code}}` out of whatever a backend sent. The code keeps
    its JSON type."""
    inner = masked_json(_inner(error.upstream_body))
    message = masked_text(reason_of(inner) or _plain(error.upstream_body, inner))
    kind = "invalid_request_error" if error.upstream_status < 500 else "upstream_error"
    fields = inner if isinstance(inner, dict) else {}
    code = fields.get("code")
    if context_exceeded(error.upstream_status, error.upstream_body):
        code = CONTEXT_CODE
    type_ = fields.get("type")
    return {
        "error": {
            **{k: v for k, v in fields.items() if k not in _SAID},
            "message": message[:_MOST] if message else error.message,
            "type": type_ if isinstance(type_, str) and type_ else kind,
            "param": fields.get("param"),
            "code": code,
        }
    }


def reason_of(error: Any) -> str:
    """What an error says, whatever its shape; "" when it says nothing."""
    return _reason(error, _DEEP)


def _inner(body: bytes) -> Any:
    """The part of the answer that describes the error; a dict where there is one. None: it is
    not JSON."""
    try:
        payload = wire_json.lenient(body, EVENT_ELEMENTS)
        orjson.dumps(payload)  # some that can be read cannot be written
    except (ValueError, TypeError):
        return None
    if isinstance(payload, list) and len(payload) == 1 and isinstance(payload[0], dict):
        payload = payload[0]  # Gemini's
    if not isinstance(payload, dict):
        return payload
    error = payload.get("error")
    if isinstance(error, dict):
        return error
    if error is True:
        return payload
    if error:
        # xAI's and Ollama's: the text is the error, and what else there is stands beside it.
        return {"message": error, **{k: v for k, v in payload.items() if k != "message"}}
    return payload


def _reason(value: Any, depth: int) -> str:
    """The first text within an error; of a list (FastAPI's details), all of them with where they
    belong."""
    if depth == 0:
        return ""
    if isinstance(value, str):
        text = value.strip()
        if text[:1] in ("{", "["):  # JSON within JSON
            try:
                return _reason(wire_json.lenient(text.encode()), depth - 1) or text
            except ValueError:
                return text
        return text
    if isinstance(value, dict):
        for name in _TEXT:
            text = _reason(value.get(name), depth - 1)
            if text:
                where = value.get("loc")
                place = ".".join(map(str, where)) + ": " if isinstance(where, list) else ""
                return place + text
        return ""
    if isinstance(value, list):
        found = [_reason(item, depth - 1) for item in value[:20]]
        return "; ".join(text for text in found if text)
    return ""


def _plain(body: bytes, inner: Any) -> str:
    """Of an answer that is not JSON: its text, without markup."""
    if inner is not None or not body.strip() or body.strip() == b"null":
        return ""
    text = body[: 20 * _MOST].decode("utf-8", "replace")
    if "<" in text:
        text = _without_markup(text)
    return " ".join(text.replace("\0", "").split())


def _without_markup(page: str) -> str:
    for part, closing in _HIDDEN:
        # Nothing is searched behind the last end: thousands of beginnings would each do so.
        last = max((found.end() for found in closing.finditer(page)), default=0)
        page = part.sub(" ", page[:last]) + page[last:]
    return _TAG.sub(" ", page)


_TEXTS = ("detail", "message", "msg")
_KINDS = ("object", "type", "status", "code", "status_code", "success")
_ANSWERS = ("choices", "data", "embedding", "embeddings", "usage")


def error_in(payload: Any) -> dict[str, Any] | None:
    """The error that a payload reports; None when it reports none."""
    if isinstance(payload, list):  # Gemini's: one error within a list
        only = payload[0] if len(payload) == 1 else None
        return error_in(only) if isinstance(only, dict) and "error" in only else None
    if not isinstance(payload, dict):
        return None
    error = payload.get("error")
    if isinstance(error, dict) and error:
        return error
    if isinstance(error, str) and error:
        return {"message": error}
    if error or payload.get("object") == "error" or payload.get("type") == "error":
        return payload  # `"error": true` says no more than that the rest describes one
    if any(name in payload for name in _ANSWERS):
        return None
    if payload.get("errors"):
        return {"message": payload["errors"]}
    said = [name for name in _TEXTS if payload.get(name) and not isinstance(payload[name], dict)]
    # A text alone is an error as well; beside other fields it may be anything.
    if said and ("detail" in said or len(payload) == 1 or any(map(_failed, _kinds(payload)))):
        return payload
    return None


def _kinds(payload: dict[str, Any]) -> list[Any]:
    return [payload[name] for name in _KINDS if name in payload]


def _failed(kind: Any) -> bool:
    """Whether a type, a status or a code names a failure."""
    if isinstance(kind, str):
        return "error" in kind.lower() or (kind.isdecimal() and int(kind[:4]) >= 400)
    return kind is False or (isinstance(kind, int) and kind >= 400)
