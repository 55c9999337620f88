"""What a client calls its conversation: a header, or a field of the body."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

_HEADERS = ("HTTP_X_CLAUDE_CODE_SESSION_ID", "HTTP_X_SESSION_ID", "HTTP_X_OPENWEBUI_CHAT_ID")
# Of an agent that Claude Code starts beside the main one, in the same session; if it is sent.
_AGENT = "HTTP_X_CLAUDE_CODE_AGENT_ID"
# Claude Code packs the session into metadata.user_id.
_PACKED = re.compile(r"_session_([0-9A-Za-z-]{8,})\Z")
_CHARS = 256


def session_name(environ: Mapping[str, Any], payload: Mapping[str, Any]) -> str | None:
    """The name of a conversation; None if the client gives none. `metadata.user_id` is one only
    where it has a session in it: a person has several conversations.

    Args:
        payload: the body, in the client's own dialect.
    """
    for header in _HEADERS:
        if name := environ.get(header, "").strip():
            return f"{name[:_CHARS]} {environ.get(_AGENT, '')[:_CHARS]}".strip()
    key = payload.get("prompt_cache_key")
    if isinstance(key, str) and key:
        return key[:_CHARS]
    metadata = payload.get("metadata")
    if not isinstance(metadata, dict):
        return None
    name = metadata.get("session_id")
    return name[:_CHARS] if isinstance(name, str) and name else _packed(metadata.get("user_id"))


def _packed(user: Any) -> str | None:
    if not isinstance(user, str):
        return None
    if user.startswith("{"):
        try:
            name = orjson.loads(user).get("session_id")
        except orjson.JSONDecodeError:
            return None
        return name[:_CHARS] if isinstance(name, str) and name else None
    found = _PACKED.search(user)
    return found[1][:_CHARS] if found else None
