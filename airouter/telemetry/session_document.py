"""Serialises an ExchangeRecord as the JSON of a session file, without credentials and image
data."""

import hashlib
import json
import re
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson

from airouter.domain.types import ExchangeRecord, Step, Verdict

Content = Literal["full", "off"]
MAX_QUERY, MAX_RESPONSE = 500, 2_000  # characters
# Characters decoded at a time, a multiple of 4; other threads can run in between.
CHUNK = 1 << 18

_REMOVED = "[removed]"
_SECRET_KEY = re.compile(
    r"authorization|api_?key|(^|_)(key|auth)$|secret|passw|credential|cookie|bearer|token$"
)
_SECRET_TEXT = re.compile(
    r"(?i)(?<=bearer )\S+|(?<=://)[^/\s@]+(?=@)|(?<=key=)[^&\s]+|(?<=token=)[^&\s]+|"
    r"\b(?:sk|xai|gsk)-[\w-]{8,}|\bair_[\w-]{16,}"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Message parts that contain data, and the fields that contain it, as a `data:` URL or plain base64.
_HOLDERS = (
    "image_url",
    "video_url",
    "audio_url",
    "input_audio",
    "audio",
    "file",
    "source",
    "file_data",
)
_NAMES = {
    kind: tuple(field.name for field in fields(kind)) for kind in (ExchangeRecord, Step, Verdict)
}
_VALUES = {kind: attrgetter(*names) for kind, names in _NAMES.items()}
_Part = Callable[..., Any]  # _plain or _json
_URL_FIELDS, _DATA_FIELDS = ("url", "image_url"), ("data", "file_data")


def document(record: ExchangeRecord, content: Content = "full") -> bytes:
    """The record as a JSON object.

    A message of a step that is identical to a client message (the same object) is written as
    `{"client_message": index}`. With content "off", all text of the conversation is omitted.
    """
    full = content == "full"
    try:
        return _dumps(_document(record, full, _plain))
    except Exception:  # serialise part by part, so that the other parts are kept
        return _object(_document(record, full, _json))


def _document(record: ExchangeRecord, full: bool, part: _Part) -> dict[str, Any]:
    known = {id(message): index for index, message in enumerate(record.client_messages)}
    values = _fields(record) | {
        "attempts": [str(attempt) for attempt in record.attempts],
        "timestamp": record.timestamp.isoformat(),
        "user_query": record.user_query[:MAX_QUERY] if full else "",
        "client_messages": [part(message, _slim) for message in record.client_messages]
        if full
        else [],
        "classification_raw": record.classification_raw if full else "",
        "verdicts": [_verdict(verdict, full, part) for verdict in record.verdicts],
        "steps": [_step(step, known, full, part) for step in record.steps],
        "error": _without_secrets(record.error),
    }
    del values["save"]  # an instruction to the sinks
    return values


def _verdict(verdict: Verdict, full: bool, part: _Part) -> Any:
    if full and part is _plain:
        return verdict  # orjson serialises dataclasses, faster
    return part(_fields(verdict) if full else _fields(verdict) | {"raw": ""})


def _step(step: Step, known: Mapping[int, int], full: bool, part: _Part) -> Any:
    sent = step.messages_sent if full else []
    params = step.params
    if not full:  # descriptions of tools and search queries are content, too
        params = {
            key: value
            for key, value in params.items()
            if value is None or isinstance(value, bool | int | float)
        }
    values = _fields(step) | {
        "url": _clean_url(step.url),
        "messages_sent": [
            {"client_message": known[id(message)]} if id(message) in known else part(message, _slim)
            for message in sent
        ],
        "params": part(params, _clean),
        "response_content": step.response_content[:MAX_RESPONSE] if full else "",
        "error": _without_secrets(step.error),
    }
    return values if part is _plain else orjson.Fragment(_object(values))


def _fields(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, not copied (unlike `asdict`)."""
    kind = type(instance)
    return dict(zip(_NAMES[kind], _VALUES[kind](instance), strict=True))


def _plain(value: Any, prepare: Callable[[Any], Any] | None = None) -> Any:
    return value if prepare is None else prepare(value)


def _json(value: Any, prepare: Callable[[Any], Any] | None = None) -> orjson.Fragment:
    """Serialise any value: by orjson, else by json (lone surrogates, huge integers), else as a
    note."""
    try:
        value = value if prepare is None else prepare(value)
        try:
            return orjson.Fragment(_dumps(value))
        except Exception:
            return orjson.Fragment(
                json.dumps(value, default=str, skipkeys=True, allow_nan=False).encode()
            )
    except Exception:  # nested too deeply, for instance
        return orjson.Fragment(_dumps({"unserialisable": type(value).__name__}))


def _object(values: dict[str, Any]) -> bytes:
    """Serialise an object at once; if that fails, field by field, so that other fields are kept."""
    try:
        return _dumps(values)
    except Exception:
        return _dumps({name: _json(value) for name, value in values.items()})


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)


def _clean(value: Any, *, schema: bool = False) -> Any:
    """Parameters with credentials removed, by the name of the key.

    Within `properties` of a JSON schema (e.g. of a tool), an argument may be called "token"; it is
    kept.
    """
    if isinstance(value, Mapping):
        clean = {}
        for key, item in value.items():
            kind = _key_kind(str(key))
            if kind == "secret" and not (schema and isinstance(item, Mapping)):
                clean[key] = _REMOVED
            elif kind == "url" and isinstance(item, str):
                clean[key] = _clean_url(item)
            else:
                clean[key] = _clean(item, schema=kind == "properties")
        return clean
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


@lru_cache(maxsize=1024)
def _key_kind(key: str) -> str:
    """What a parameter may contain: "secret", "url", "properties" (of a JSON schema) or ""."""
    name = _CAMEL.sub("_", key).lower().replace("-", "_")
    if _SECRET_KEY.search(name):
        return "secret"
    return "url" if name.endswith("url") else "properties" if name == "properties" else ""


def _clean_url(url: str) -> str:
    """The URL without userinfo, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return _REMOVED
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else parts.path


def _without_secrets(text: str | None) -> str | None:
    return _SECRET_TEXT.sub(_REMOVED, text) if text else text


def _slim(message: Any) -> Any:
    """The message, or a copy in which images, audio and files are replaced by hash and size."""
    parts = message.get("content") if isinstance(message, dict) else None
    if not isinstance(parts, list):
        return message
    slim = [_slim_part(part) for part in parts]
    return (
        message
        if all(a is b for a, b in zip(slim, parts, strict=True))
        else {**message, "content": slim}
    )


def _slim_part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    changed = {key: _slim_holder(key, part[key]) for key in _HOLDERS if key in part}
    if "content" in part:  # a tool result contains parts itself
        changed["content"] = _slim(part)["content"]
    return {**part, **changed} if any(changed[key] is not part[key] for key in changed) else part


def _slim_holder(key: str, value: Any) -> Any:
    if isinstance(value, str):
        return _described(value, "") if key in _DATA_FIELDS or _is_data_url(value) else value
    if not isinstance(value, dict) or value.get("type") == "text":  # plain text is kept
        return value
    kind = str(value.get("media_type") or value.get("format") or "")
    changed = {
        name: _described(item, kind)
        for name, item in value.items()
        if isinstance(item, str)
        and (name in _DATA_FIELDS or (name in _URL_FIELDS and _is_data_url(item)))
    }
    return {**value, **changed} if changed else value


def _is_data_url(text: str) -> bool:
    return text[:5].lower() == "data:"


def _described(text: str, media_type: str) -> dict[str, Any]:
    """The replacement for a `data:` URL or plain base64: `{"sha256", "bytes", "media_type"}`.

    Hash and size are those of the decoded bytes, or of the text if it is not base64.
    """
    start, base64 = 0, True
    if _is_data_url(text):
        start = text.find(",", 0, 1_000) + 1
        header = text[5 : max(start - 1, 5)].lower()
        media_type, base64 = header.split(";")[0], header.endswith(";base64")
    digest, size = hashlib.sha256(), 0
    try:
        if not base64:
            raise ValueError
        for at in range(start, len(text), CHUNK):
            data = a2b_base64(text[at : at + CHUNK])
            digest.update(data)
            size += len(data)
    except ValueError:
        raw = text[start:].encode("utf-8", "surrogatepass")
        digest, size = hashlib.sha256(raw), len(raw)
    return {"sha256": digest.hexdigest(), "bytes": size, "media_type": media_type}
