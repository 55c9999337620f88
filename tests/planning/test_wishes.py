"""What a client asks for by header or model: a route, a task."""

from __future__ import annotations

import pytest

from airouter.domain.errors import BadRequest
from airouter.planning.wishes import forced_route, named_thinking, stated_task


@pytest.mark.parametrize(
    ("model", "header", "route"),
    [
        (None, None, None),
        ("ai-router", None, None),
        ("ai-router/xai", None, "xai"),
        ("ai-router/META", None, "meta"),
        ("ai-router/auto", None, None),
        ("ai-router/", None, None),
        ("gpt-4o", None, None),
        ("ai-router-2/xai", None, None),
        ("ai-router/xai", "primary", "primary"),
        ("ai-router/xai", "auto", None),
        ("gpt-4o", " XAI ", "xai"),
        (None, "", None),
    ],
)
def test_how_a_route_is_asked_for(model: str | None, header: str | None, route: str | None) -> None:
    """By the model's suffix or by the header, which wins; anything else leaves the decision to the
    router."""
    assert forced_route(model, header, "ai-router") == route


WRONG = [
    ("ai-router/nowhere", None),
    (None, "cloud"),
    (None, "xai,primary"),
    ("ai-router/xai/x", None),
]


@pytest.mark.parametrize(("model", "header"), WRONG)
def test_a_route_that_does_not_exist_is_refused(model: str | None, header: str | None) -> None:
    """An unknown route is an error that lists the known ones, not a silent default."""
    with pytest.raises(BadRequest, match="use auto, primary, xai, enrich, meta"):
        forced_route(model, header, "ai-router")


@pytest.mark.parametrize(
    ("model", "header", "task"),
    [
        (None, None, None),
        ("ai-router", None, None),
        ("ai-router/code", None, "code"),
        ("ai-router/Reasoning", " ", "reasoning"),
        ("ai-router/code", " VISION ", "vision"),
        ("ai-router/primary", None, None),
        ("gpt-4o/code", None, None),
        ("gpt-4o", "general", "general"),
    ],
)
def test_how_a_task_is_stated(model: str | None, header: str | None, task: str | None) -> None:
    """The header wins over the model's name; a task in the model's name forces no route."""
    assert stated_task(model, header, "ai-router") == task
    assert forced_route(model, None, "ai-router") in (None, "primary")


def test_a_task_that_does_not_exist_is_refused() -> None:
    """By the header's own code; a model's name is told both routes and tasks."""
    with pytest.raises(BadRequest, match="use code, reasoning, embedding") as refused:
        stated_task("ai-router/code", "coding", "ai-router")
    assert refused.value.code == "unknown_task"
    with pytest.raises(BadRequest, match="enrich, meta, or a task: code, reasoning"):
        forced_route("ai-router/coding", None, "ai-router")


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("ai-router:low", ("ai-router", "low")),
        ("ai-router:OFF", ("ai-router", "off")),
        ("ai-router/primary:high", ("ai-router/primary", "high")),
        ("ai-router/code:medium", ("ai-router/code", "medium")),
        ("ai-router", ("ai-router", None)),
        ("ai-router:latest", ("ai-router:latest", None)),
        ("ai-router-2:low", ("ai-router-2:low", None)),
        ("qwen3:low", ("qwen3:low", None)),
        (None, (None, None)),
    ],
)
def test_how_much_to_reason_is_named(
    model: str | None, meant: tuple[str | None, str | None]
) -> None:
    assert named_thinking(model, "ai-router") == meant
