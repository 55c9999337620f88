"""Searching the questions and answers of session files."""

import re
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from airouter.sessions.files import Files, Progress, arrival
from airouter.sessions.show import text_of
from airouter.sessions.terminal import clean, local_time

_AROUND = 60  # characters before and after what was found
_PER_TEXT = 3  # lines per message
_LONGEST = 200  # characters of what was found


def search(
    files: Files,
    pattern: re.Pattern[str],
    since: float | None,
    progress: Progress = lambda *_: None,
) -> Iterator[tuple[dict[str, Any], list[Text]]]:
    """Sessions in which the pattern occurs, with a line for each occurrence; oldest first."""
    for _, document in files.documents(since, progress=progress):
        lines = [line for role, text in texts(document) for line in _found(pattern, role, text)]
        if lines:
            yield document, lines


def heading(document: dict[str, Any]) -> Text:
    """The line above the occurrences in a session."""
    return Text.assemble(
        (clean(document["id"][:8]), "bold"),
        f" {local_time(arrival(document))} {clean(document['route'])}",
    )


def texts(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(who, text) of the messages of users and of answers, each once. Instructions of the system
    are in every session, so they are not searched."""
    messages = [one for one in document.get("client_messages") or [] if isinstance(one, dict)]
    for message in messages:
        if message.get("role") not in ("system", "developer"):
            yield str(message.get("role")), text_of(message.get("content"))
    query = document.get("user_query")
    if query and not messages:  # of /v1/completions, for instance
        yield "query", query
    for step in document.get("steps") or []:
        answer = step.get("response_content") if isinstance(step, dict) else None
        if answer and isinstance(answer, str):
            yield str(step.get("step")), answer


def _found(pattern: re.Pattern[str], role: str, text: str) -> Iterator[Text]:
    for number, match in enumerate(pattern.finditer(text)):
        if number == _PER_TEXT:
            break
        start, end = match.span()
        before, after = text[max(0, start - _AROUND) : start], text[end : end + _AROUND]
        yield Text.assemble(
            (f"  {clean(role)}: ", "dim"),
            ("…" if start > _AROUND else "") + _flat(before),
            (_flat(match[0][:_LONGEST]), "bold red"),
            _flat(after) + ("…" if end + _AROUND < len(text) else ""),
        )


def _flat(text: str) -> str:
    return clean(re.sub(r"[\r\n\t]+", " ", text))
