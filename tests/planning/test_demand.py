"""What a request demands: its task, by what is stated or by what it contains, and capabilities."""

from __future__ import annotations

from typing import Any

import pytest
from asked import IMAGE, TOOLS, demand, of_body

from airouter.domain.errors import BadRequest

PYTHON = (
    "Why is this slow?\n\ndef f(n):\n    for i in range(n):\n        total += i\n    return total"
)
SQL = "SELECT a FROM b;\nUPDATE b SET a = 1;\nDELETE FROM b;\nfaster?"
FENCED = "Explain:\n```rust\nfn main() {}\n```"
PROSE = "Dear all,\nplease find the notes: apples, pears;\nBest wishes,\nAda"
QUOTED = "What does this mean?\n```\nsegmentation fault\n```"


@pytest.mark.parametrize(
    ("content", "fields", "task", "source"),
    [
        ("Hello", {}, "general", "default"),
        (PYTHON, {}, "code", "content"),
        (SQL, {}, "code", "content"),
        (FENCED, {}, "code", "content"),
        (PROSE, {}, "general", "default"),
        (QUOTED, {}, "general", "default"),
        ("Write a function that sorts a list in Python", {}, "general", "default"),
        ([{"type": "text", "text": FENCED}, IMAGE], {}, "vision", "content"),
        ("Hello", {"metadata": {"task": "Reasoning"}}, "reasoning", "stated"),
        (FENCED, {"metadata": {"task": "lightweight"}}, "lightweight", "stated"),
        ("Hello", {"metadata": {"task": "title_generation"}}, "general", "default"),
        ("Hello", {"task": "routing", "metadata": {"task": "code"}}, "routing", "stated"),
    ],
)
def test_the_task_is_stated_or_found(
    content: Any, fields: dict[str, Any], task: str, source: str
) -> None:
    made = demand(content, **fields)
    assert (made.task, made.source, made.note) == (task, source, None)


@pytest.mark.parametrize("task", ["chat", "default", "follow_up_generation", "function_calling"])
def test_tasks_of_frontends_are_not_remarked_on(task: str) -> None:
    assert demand(metadata={"task": task}).note is None


def test_any_other_task_is_ignored_with_a_note() -> None:
    made = demand(metadata={"task": "cooking"})
    assert (made.task, made.stated) == ("general", False)
    assert made.note is not None
    assert "'cooking' was ignored; the tasks are code" in made.note


def test_embeddings_are_their_own_task() -> None:
    """By the endpoint; a task that does not go with the endpoint is refused."""
    assert of_body("embeddings", {"input": "x"}).task == "embedding"
    assert of_body("embeddings", {"input": "x"}, "embedding").task == "embedding"
    with pytest.raises(BadRequest, match="serves the task embedding only"):
        of_body("embeddings", {"input": "x"}, "code")
    for stated in ({"task": "embedding"}, {"metadata": {"task": "embedding"}}):
        with pytest.raises(BadRequest, match="send it to /v1/embeddings") as refused:
            demand(**stated)
        assert refused.value.code == "wrong_task"


def test_needs_are_the_endpoint_and_what_is_used() -> None:
    assert demand().needs == {"chat"}
    assert of_body("completions", {"prompt": "x"}).needs == {"completions"}
    form = {"type": "json_object"}
    everything = demand([IMAGE], tools=TOOLS, response_format=form)
    assert everything.needs == {"chat", "vision", "tools", "json"}
    assert demand(response_format={"type": "text"}).needs == {"chat"}
