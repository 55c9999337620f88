"""What a request demands of a backend: its task, the capabilities it needs, its length."""

import re
from itertools import islice

from airouter.classify.metadata_tasks import is_housekeeping, is_ordinary
from airouter.dialects.openai_request import ChatRequest
from airouter.domain.errors import BadRequest
from airouter.domain.tasks import TASKS
from airouter.domain.types import Endpoint, Features, immutable
from airouter.planning.tokens import PromptTokens


@immutable
class Demand:
    """`task`: see `domain/tasks.py`; `source`: where it is from: stated, endpoint, content or
    default. `needs`: capabilities. `note`: for the client, if a task was ignored."""

    task: str
    source: str
    needs: frozenset[str]
    tokens: PromptTokens
    note: str | None = None

    @property
    def stated(self) -> bool:
        """Whether the client states the task, as opposed to the router finding it."""
        return self.source == "stated"


def demand_of(request: ChatRequest, features: Features, stated: str | None) -> Demand:
    """The demand of a request.

    Args:
        stated: the task in a header or in the model's name. `metadata.task` comes after it.

    Raises:
        BadRequest: the stated task is not one of the request's endpoint.
    """
    tokens, needs = PromptTokens(request, features), _needs(request, features)
    if request.endpoint == "embeddings":
        if stated not in (None, "embedding"):
            raise _mismatch(stated, "/v1/embeddings serves the task embedding only")
        return Demand("embedding", "endpoint", needs, tokens)
    note = None
    if stated is None and features.task is not None:
        given = features.task.lower()
        if given in TASKS:
            stated = given
        elif not (is_housekeeping(given) or is_ordinary(given)):
            note = f"metadata.task {given[:40]!r} was ignored; the tasks are {', '.join(TASKS)}"
    if stated == "embedding":
        raise _mismatch(stated, "send it to /v1/embeddings")
    if stated is not None:
        return Demand(stated, "stated", needs, tokens, note)
    if features.has_images:
        return Demand("vision", "content", needs, tokens, note)
    if _is_about_code(request, features):
        return Demand("code", "content", needs, tokens, note)
    return Demand("general", "default", needs, tokens, note)


def _mismatch(task: str | None, what: str) -> BadRequest:
    return BadRequest(
        f"The task {task!r} does not go with this endpoint: {what}.", code="wrong_task"
    )


_NEEDS: dict[tuple[Endpoint, bool, bool, bool], frozenset[str]] = {}  # few combinations


def _needs(request: ChatRequest, features: Features) -> frozenset[str]:
    form = request.payload.get("response_format")
    json = isinstance(form, dict) and form.get("type") in ("json_object", "json_schema")
    key = (request.endpoint, features.has_images, request.has_tools, json)
    needs = _NEEDS.get(key)
    if needs is None:
        names = zip(("vision", "tools", "json"), key[1:], strict=True)
        needs = _NEEDS[key] = frozenset({key[0], *(name for name, wanted in names if wanted)})
    return needs


# Code, by its content -----------------------------------------------------------------------------

_CHARS = 4000  # of the ask, from its start and its end
_LINES = 3  # lines like code, at the least
_FENCE = re.compile(r"^ {0,3}```[ \t]*([\w+#.-]*)", re.MULTILINE)
_PROSE = frozenset(
    {"", "text", "txt", "plaintext", "markdown", "md", "log", "output", "csv", "quote"}
)
# Statements and declarations as they begin or end in common languages.
_LINE = re.compile(
    r"^[ \t]*(?:"
    r"(?:async )?def \w+\(|class \w+[(:{ ]|(?:from [\w.]+ )?import [\w.{*]+|#include *[<\"]|@\w+"
    r"|(?:export |public |private |static )*(?:function|func|fn|interface|struct|enum|const|let"
    r"|var|void|int|package|namespace|template)\b[^.?!\n]*[=({;]"
    r"|(?:if|for|while|switch|elif|else if)\b *[(\w][^?\n]*[:{]$|return\b[^.?!\n]*;?$"
    r"|\}[;,)]*$|\w[\w.\[\]]* *(?:[-+*/|&]?=|:=) *[^=\s][^?!\n]*$|[\w.]+\([^?!\n]*\)[;{:]?$"
    r"|(?i:select|insert into|create table|update)\b[^\n]*;$|[^\n?!]*[;{]$"
    r")",
    re.MULTILINE,
)


def _is_about_code(request: ChatRequest, features: Features) -> bool:
    if request.endpoint == "completions":
        prompt = request.payload.get("prompt")
        return isinstance(prompt, str) and looks_like_code(prompt)
    return looks_like_code(features.ask)


def looks_like_code(text: str) -> bool:
    """Whether a text contains code: a fence that names a language, or several lines that look like
    statements. Conservative: code in a sentence does not count."""
    if "\n" not in text:
        return False
    if len(text) > 2 * _CHARS:
        text = f"{text[:_CHARS]}\n{text[-_CHARS:]}"
    if "```" in text and any(found[1].lower() not in _PROSE for found in _FENCE.finditer(text)):
        return True
    lines = islice(_LINE.finditer(text), _LINES)
    return sum(1 for _ in lines) == _LINES
