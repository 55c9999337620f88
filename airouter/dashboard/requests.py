"""Past requests: a list with filters, and everything that is known about one."""

import re
from collections.abc import Mapping
from typing import Any

from airouter.dashboard.documents import Documents
from airouter.dashboard.history import SWITCHED_OFF, WINDOWS
from airouter.domain.clock import Clock
from airouter.domain.errors import BadRequest, NotFound
from airouter.domain.types import immutable
from airouter.index.reading import NAME, look_up
from airouter.sessions.files import row
from airouter.sessions.show import facts, spans, text_of
from airouter.settings.schema import Settings

_PAGE = 50
_MOST_TEXT = 20_000  # characters of a message
_LISTED = (
    *("id", "at", "endpoint", "stream", "requested_model", "requested_route", "route", "label"),
    *("tier", "p", "backend", "model", "outcome", "reason", "status", "total_ms", "ttft_ms"),
    *("classification_ms", "queue_ms", "tokens_in", "tokens_out", "speculation", "attempts"),
    "saved",
)
_DETAILS = (
    *_LISTED,
    *("enrichment_ms", "connect_ms", "inference_ms", "own_ms", "gap_ms", "tokens_cached"),
    *("tokens_wasted", "in_flight", "trace_id", "max_tokens", "test"),
)
_ID = re.compile(r"[0-9a-f]{1,32}")
_FILTERS = ("route", "backend", "tier", "outcome")
_KINDS = {"first content": "mark"}
NO_FILE = (
    "There is no session file of this request: it was refused before it was read, or the file was "
    "deleted after LOG_MAX_AGE_DAYS, or because there are more than LOG_MAX_COUNT."
)


@immutable
class Content:
    """Whether messages are shown: "shown", "needs_admin" or "off"; and what to do to see them."""

    state: str
    hint: str = ""


class PastRequests:
    """Reads the index and the session files; has no state."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents, self._clock = documents, clock

    def listed(self, settings: Settings, asked: Mapping[str, str]) -> dict[str, Any]:
        """A page of requests, newest first.

        Args:
            asked: the filters, as text.

        Raises:
            BadRequest: a filter is not valid.
            RouterError: the index cannot be read.
        """
        conditions, values = _conditions(asked, self._clock.time())
        if not settings.index.enabled:
            return {"requests": [], "next": None, "problem": SWITCHED_OFF}
        query = (
            f"SELECT rowid, {', '.join(_LISTED)} FROM requests WHERE {' AND '.join(conditions)} "
            f"ORDER BY rowid DESC LIMIT {_PAGE + 1}"
        )
        rows = look_up(settings.logging.dir / NAME, query, values)
        found = [_shown(dict(zip(_LISTED, values, strict=True))) for _, *values in rows[:_PAGE]]
        following = str(rows[_PAGE - 1][0]) if len(rows) > _PAGE else None
        return {"requests": found, "next": following, "problem": ""}

    def one(self, settings: Settings, request: str, content: Content) -> dict[str, Any]:
        """What is known about a request.

        Args:
            request: its id, or the first 8 characters or more of it.

        Raises:
            NotFound: nothing is known.
        """
        if not (_ID.fullmatch(request) and len(request) >= 8):
            raise NotFound("That is not the id of a request.", code="unknown_request")
        known = self._row(settings, request)
        if known is not None:
            document = self._documents.of(known["id"], known["at"]) if known["saved"] else None
        else:
            document = self._documents.find(request)
            if document is None:
                raise NotFound(
                    "Nothing is known about this request: it has not ended yet, or it is too old.",
                    code="unknown_request",
                )
            known = _shown({name: row(document)[name] for name in _DETAILS})
        shown = content.state == "shown"
        if document is not None and not shown:
            document = _without_texts(document)
        return {
            "request": known,
            "file": document is not None,
            "file_hint": "" if document is not None else NO_FILE,
            "facts": [] if document is None else [list(fact) for fact in facts(document)],
            "timeline": [] if document is None else _timeline(document),
            "verdicts": [] if document is None else _verdicts(document),
            "content": content.state,
            "content_hint": content.hint,
            "messages": _messages(document) if shown and document is not None else [],
        }

    def _row(self, settings: Settings, request: str) -> dict[str, Any] | None:
        if not settings.index.enabled:
            return None
        query = (
            f"SELECT {', '.join(_DETAILS)} FROM requests WHERE id >= ? AND id < ? "
            "ORDER BY rowid DESC LIMIT 1"
        )
        rows = look_up(settings.logging.dir / NAME, query, [request, request + "g"])
        return _shown(dict(zip(_DETAILS, rows[0], strict=True))) if rows else None


def _conditions(asked: Mapping[str, str], now: float) -> tuple[list[str], list[Any]]:
    conditions, values = ["1"], list[Any]()
    if prefix := asked.get("id", "").strip().lower():
        if not _ID.fullmatch(prefix):
            raise BadRequest(
                "An id consists of the digits 0-9 and a-f.", param="id", code="invalid_filter"
            )
        conditions.append("id >= ? AND id < ?")
        values += [prefix, prefix + "g"]
    else:
        window = _number(asked, "window", 900.0)
        if window not in WINDOWS:
            raise BadRequest(
                f"'window' must be one of {', '.join(map(str, WINDOWS))}.",
                param="window",
                code="invalid_filter",
            )
        conditions.append("at >= ?")
        values.append(now - window)
    for name in _FILTERS:
        value = asked.get(name, "")
        if name == "outcome" and value == "failed":
            conditions.append("outcome != 'ok'")
        elif value:
            conditions.append(f"{name} = ?")
            values.append(value)
    if asked.get("slow_ms"):
        conditions.append("total_ms >= ?")
        values.append(_number(asked, "slow_ms", 0.0))
    if asked.get("before"):
        conditions.append("rowid < ?")
        values.append(_number(asked, "before", 0.0))
    return conditions, values


def _number(asked: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(asked.get(name) or default)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e15:
        raise BadRequest(f"'{name}' must be a number.", param=name, code="invalid_filter")
    return value


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    return one | {"stream": bool(one["stream"]), "saved": bool(one["saved"])}


def _without_texts(document: dict[str, Any]) -> dict[str, Any]:
    """Without the texts of errors, in which a backend may quote the conversation."""
    error, steps = document.get("error"), document.get("steps") or []
    return document | {
        "error": str(error).partition(":")[0] if error else None,
        "steps": [
            step | {"error": "failed"} if isinstance(step, dict) and step.get("error") else step
            for step in steps
        ],
    }


def _timeline(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": span.name.strip(),
            "kind": "tier" if span.name[:1] == " " else _KINDS.get(span.name, span.name),
            "start_ms": round(span.start, 3),
            "ms": round(span.ms, 3),
            "note": span.note,
        }
        for span in spans(document)
    ]


def _verdicts(document: dict[str, Any]) -> list[dict[str, Any]]:
    names = ("tier", "label", "guess", "p", "threshold", "ms", "reason")
    given = document.get("verdicts") or []
    return [{name: one.get(name) for name in names} for one in given if isinstance(one, dict)]


def _messages(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What the client sent and what was answered. Of a picture, that there was one."""
    found = [
        (str(one.get("role")), one.get("content")) if isinstance(one, dict) else ("", one)
        for one in document.get("client_messages") or []
    ]
    found += [
        (f"{step.get('step')}: {step.get('provider')}", step["response_content"])
        for step in document.get("steps") or []
        if isinstance(step, dict) and step.get("response_content")
    ]
    made = []
    for role, content in found:
        text = text_of(content)
        more = max(0, len(text) - _MOST_TEXT)
        made.append({"role": role, "text": text[:_MOST_TEXT], "more": more})
    return made
