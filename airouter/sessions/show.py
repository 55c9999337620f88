"""One session: what was decided and why, a timeline, and its messages."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from airouter.domain.types import immutable
from airouter.sessions.files import Files, NotASession, arrival, read, row
from airouter.sessions.find import NoSessions
from airouter.sessions.terminal import clean, local_time, milliseconds, shown, table

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BAR = 40  # characters
_TEXT = 4_000  # characters that are shown of a message


@immutable
class Span:
    """A bar of the timeline. `start` and `ms`: milliseconds from the arrival, and its length."""

    name: str
    start: float
    ms: float
    note: str = ""
    style: str = "cyan"


def find(files: Files, name: str, path: Path) -> tuple[dict[str, Any], int]:
    """The session of an id or a file.

    Args:
        name: the first characters of the id, or a file as the user named it.
        path: the same as a file.

    Returns:
        The newest that fits, and how many others do.

    Raises:
        NoSessions: there is none, or the file is no session file.
    """
    try:
        if path.is_file():
            return read(path), 0
        inside = files.folder / Path(name).name
        if name.endswith(".json") and inside.is_file():
            return read(inside), 0
    except NotASession:
        raise NoSessions(f"{name} is not a session file, or it is truncated.") from None
    except OSError as error:
        raise NoSessions(f"{name}: {error.strerror}.") from None
    if not _ID.fullmatch(name):
        raise NoSessions(f"There is no file {name}, and it is not the id of a session.")
    fits = [file for file in files.names() if file[20:].startswith(name[:8])]
    found = [document for file in reversed(fits) if (document := files.read(file)) is not None]
    found = [document for document in found if document["id"].startswith(name)]
    if not found:
        raise NoSessions(
            f"There is no session file of {name} in {files.folder}: files are deleted after "
            "LOG_MAX_AGE_DAYS, or when there are more than LOG_MAX_COUNT."
        )
    return found[0], len(found) - 1


def spans(document: dict[str, Any]) -> list[Span]:
    """The timeline. Where a session file of an earlier version does not say when a stage began, it
    follows from their order: decision, search, queue, and the calls, of which the last ends with
    the request."""
    one, starts = row(document), _starts(document)
    total, decided = one["total_ms"], one["classification_ms"] or 0.0
    at = starts.get("classification", 0.0)
    made = [Span("decision", at, decided, _decision(document))]
    for verdict in _dicts(document.get("verdicts")):
        ms = _number(verdict.get("ms"))
        made.append(Span(f"  {clean(verdict.get('tier'))}", at, ms, verdict_of(verdict), "blue"))
        at += ms
    steps = [step for step in _dicts(document.get("steps")) if step.get("step") != "enrichment"]
    for step in steps:
        if step.get("step") == "speculation":
            end = decided + _number(document.get("abort_ms"))
            made.append(_call("speculation", step, end, total, "yellow"))
    if one["enrichment_ms"]:
        start = starts.get("enrichment", decided)
        made.append(Span("search", start, one["enrichment_ms"], style="magenta"))
    calls: list[Span] = []
    end = total
    for step in reversed([step for step in steps if step.get("step") != "speculation"]):
        calls.insert(0, _call("attempt", step, end, total, "green"))
        end = calls[0].start
    if one["queue_ms"]:
        start = starts.get("queue", max(0.0, end - one["queue_ms"]))
        made.append(Span("queue", start, one["queue_ms"], style="yellow"))
    if calls and document.get("speculation") == "won":
        first = calls[0]
        note = f"{first.note}, started during the decision"
        calls[0] = Span(first.name, first.start, first.ms, note, first.style)
    made += calls
    if one["ttft_ms"] is not None:
        made.append(Span("first content", one["ttft_ms"], 0.0, style="bold"))
    return [*made, Span("total", 0.0, total, clean(document.get("outcome")), "white")]


def _starts(document: dict[str, Any]) -> dict[str, float]:
    """When stages began, in ms since the arrival."""
    found = document.get("starts_ms")
    if not isinstance(found, dict):
        return {}
    return {name: float(at) for name, at in found.items() if isinstance(at, int | float)}


def _decision(document: dict[str, Any]) -> str:
    label, tier = document.get("label"), document.get("tier")
    said = f"{clean(label)} by {clean(tier)}" if label else f"by {shown(tier)}"
    return f"{said}: {clean(document['route'])}"


def verdict_of(verdict: dict[str, Any]) -> str:
    """A tier's verdict as a phrase."""
    p, threshold = verdict.get("p"), verdict.get("threshold")
    said = shown(verdict.get("label")) if verdict.get("label") else "abstained"
    if not verdict.get("label") and verdict.get("guess"):
        said += f" (guess: {clean(verdict['guess'])})"
    if isinstance(p, int | float):
        said += f", p {p:.3f}"
        if isinstance(threshold, int | float):
            said += f" {'≥' if p >= threshold else '<'} {threshold:.3f}"
    return said + (f": {clean(verdict['reason'])}" if verdict.get("reason") else "")


def _call(name: str, step: dict[str, Any], end: float, total: float, style: str) -> Span:
    ms = _number(step.get("duration_ms"))
    said = [shown(step.get("provider")), f"status {shown(step.get('status'))}"]
    said += [clean(step[key]) for key in ("finish_reason", "error") if step.get(key)]
    start = step.get("start_ms")
    if not isinstance(start, int | float):
        start = max(0.0, min(end, total) - ms)
    return Span(name, start, ms, ", ".join(said), style)


def waterfall(made: list[Span]) -> RenderableType:
    """The timeline as bars."""
    longest = max((span.start + span.ms for span in made), default=0.0) or 1.0
    lines = table((("", False), ("ms", True), ("", False), ("", False)), [])
    for span in made:
        start = min(_BAR - 1, int(_BAR * span.start / longest))
        length = max(1, min(_BAR - start, round(_BAR * span.ms / longest)))
        mark = "▏" if span.ms == 0 else "█" * length
        lines.add_row(
            Text(span.name),
            Text(milliseconds(span.ms if span.ms or span.name != "first content" else span.start)),
            Text(" " * start + mark + " " * (_BAR - start - len(mark)), style=span.style),
            Text(span.note),
        )
    return lines


def shown_session(document: dict[str, Any]) -> Iterator[RenderableType]:
    """What `show` prints."""
    one = row(document)
    yield Text.assemble(
        (f"Session {clean(document['id'][:8])}", "bold"),
        f"  {local_time(arrival(document))}  {shown(one['endpoint'])}"
        f"{', stream' if one['stream'] else ''}  from {shown(document.get('client_ip') or None)}",
    )
    for name, value in facts(document):
        yield Text.assemble((f"{name:>12}  ", "dim"), clean(value))
    yield Text()
    yield waterfall(spans(document))
    yield from _messages(document)


def facts(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is known about a session, as names and values."""
    one = row(document)
    yield "route", f"{one['route']} (requested: {one['requested_route']})"
    yield "answered by", f"{shown(one['backend'])}, model {shown(one['model'])}"
    if document.get("session_policy"):
        yield "conversation", str(document["session_policy"])
    reason = "" if one["reason"] == one["outcome"] else f", {one['reason']}"
    yield "outcome", f"{one['outcome']}{reason}, status {one['status']}"
    if document.get("error"):
        yield "error", str(document["error"])
    if one["key_id"]:
        yield "key", str(one["key_id"])
    if document.get("attempts"):
        yield "attempts", "; ".join(map(str, document["attempts"]))
    if one["speculation"]:
        wasted = f", {one['tokens_wasted']} tokens wasted" if one["tokens_wasted"] else ""
        yield "speculation", f"{one['speculation']}{wasted}"
    tokens = [
        ("in", "tokens_in"),
        ("out", "tokens_out"),
        ("from the prefix cache", "tokens_cached"),
    ]
    said = [f"{one[column]:,} {name}" for name, column in tokens if one[column] is not None]
    if said:
        yield "tokens", ", ".join(said)
    for change in document.get("adjusted") or []:
        yield "adjusted", str(change)
    for note in document.get("notes") or []:
        yield "note", str(note)


def _messages(document: dict[str, Any]) -> Iterator[RenderableType]:
    messages = document.get("client_messages") or []
    answers = [step for step in _dicts(document.get("steps")) if step.get("response_content")]
    if not messages and not answers:
        yield Text("\nNo messages: CONTENT_LOGGING was off, or there were none.", style="dim")
        return
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else message
        yield from _message(shown(role), content)
    for step in answers:
        heading = f"{shown(step.get('step'))}: {shown(step.get('provider'))}"
        yield from _message(heading, step["response_content"])


def _message(heading: str, content: object) -> Iterator[RenderableType]:
    text = text_of(content)
    more = f"\n… {len(text) - _TEXT:,} more characters" if len(text) > _TEXT else ""
    yield Text(f"\n{heading}", style="bold")
    yield Text(clean(text[:_TEXT], lines=True) + more)


def text_of(content: object) -> str:
    """The text of a message's content; parts of other kinds by their type."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text_of(part) for part in content)
    if isinstance(content, dict):
        text = content.get("text")
        return text if isinstance(text, str) else f"[{content.get('type', 'data')}]"
    return "" if content is None else str(content)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
