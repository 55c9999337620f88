"""Per-request overrides: the `sim` body field, the `X-Sim` header, and a marker in the last user
message.

Routers do not always pass on unknown fields and headers; a marker in the text always gets through:
`[[sim {"tokens": 50}]]`. The JSON may be keyed by role: `{"primary": {...}, "all": {...}}`.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from simulator import ROLES

MARKER = "[[sim "
HEADER = "X-Sim"
_KEYS = frozenset((*ROLES, "all"))
_DECODER = json.JSONDecoder()


def split_marker(text: str) -> tuple[str, dict[str, Any]]:
    """The text without markers, and the content of the last marker."""
    found: dict[str, Any] = {}
    while True:
        start = text.rfind(MARKER)
        if start < 0:
            return text, found
        value, end = _decode(text, start + len(MARKER))
        if end < 0:
            return text, found
        found = found or value
        text = text[:start].rstrip(" ") + text[end:]


def _decode(text: str, start: int) -> tuple[dict[str, Any], int]:
    close = text.find("]]", start)
    while close >= 0:  # "]]" may also end a list within the JSON
        raw = text[start:close]
        # In a prompt that quotes the query as JSON, quotes are escaped.
        for candidate in (raw, raw.replace('\\"', '"')):
            try:
                value, end = _DECODER.raw_decode(candidate.strip())
            except ValueError:
                continue
            if isinstance(value, dict) and end == len(candidate.strip()):
                return value, close + 2
        close = text.find("]]", close + 1)
    return {}, -1


def for_role(role: str, value: dict[str, Any]) -> dict[str, Any]:
    """The overrides for this role: plain keys, then "all", then the role's own."""
    if not value or _KEYS.isdisjoint(value):
        return value
    result = {key: item for key, item in value.items() if key not in _KEYS}
    for key in ("all", role):
        part = value.get(key)
        if isinstance(part, dict):
            result.update(part)
    return result


def from_header(header: str | None) -> dict[str, Any]:
    if not header:
        return {}
    try:
        value = orjson.loads(header)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
