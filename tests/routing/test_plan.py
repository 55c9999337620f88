"""From a decision to a plan, and from a request's wish to a forced route. Pure, so tested without a server."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.errors import BadRequest, NoBackend
from airouter.routing.plan import Planner, forced_route
from airouter.settings import Settings
from airouter.types import ROUTE_OF_LABEL, Decision


def settings(*, cloud_key: str | None = "key", **changes: Any) -> Settings:
    data: dict[str, Any] = {
        "backends": {
            "router": {"url": "http://127.0.0.1:1"},
            "primary": {"url": "http://127.0.0.1:2"},
            "second": {"url": "http://127.0.0.1:3"},
            "xai": {
                "kind": "xai",
                "url": "http://127.0.0.1:4",
                "local": False,
                "api_key": cloud_key,
            },
        },
        "routes": {
            "primary": {"backends": ["primary", "second"]},
            "enrich": {"backends": ["primary"]},
            "xai": {"backends": ["xai"]},
        },
        **changes,
    }
    return Settings.model_validate(data)


def decision(label: str, forced: bool = False) -> Decision:
    return Decision(label, "test", None, None, 0.0, (), forced=forced)


@pytest.mark.parametrize(
    ("label", "route", "backends", "enrich"),
    [
        ("SIMPLE", "primary", ("primary", "second"), False),
        ("MODERATE", "primary", ("primary", "second"), False),
        ("COMPLEX", "xai", ("xai",), False),
        ("ENRICH", "enrich", ("primary",), True),
        ("META", "meta", ("primary", "second"), False),
    ],
)
def test_every_label_has_its_plan(
    label: str, route: str, backends: tuple[str, ...], enrich: bool
) -> None:
    """Labels become routes, backends in the configured order, and a search where one belongs."""
    plan = Planner(settings()).plan(decision(label))
    assert (plan.route, plan.label, plan.backends, plan.enrich) == (route, label, backends, enrich)
    assert ROUTE_OF_LABEL[label] == route


@pytest.mark.parametrize("label", ["COMPLEX", "ENRICH"])
def test_without_a_key_nothing_leaves_the_house(label: str) -> None:
    """A cloud without a key is not used: the primary's plan, and a reason for it."""
    plan = Planner(settings(cloud_key=None)).plan(decision(label))
    assert (plan.route, plan.backends, plan.enrich, plan.label) == (
        "primary",
        ("primary", "second"),
        False,
        label,
    )
    assert plan.reasons


@pytest.mark.parametrize("label", ["COMPLEX", "ENRICH"])
def test_a_forced_route_is_not_replaced(label: str) -> None:
    """Who asks for a route by name is told that it cannot be served."""
    with pytest.raises(NoBackend):
        Planner(settings(cloud_key=None)).plan(decision(label, forced=True))


def test_backends_that_cannot_serve_are_left_out() -> None:
    """A backend that cannot read the request is not asked, while one that can remains."""
    plan = Planner(settings()).plan(decision("MODERATE"), needs=lambda name: name == "second")
    assert plan.backends == ("second",)
    assert plan.reasons


def test_when_none_can_serve_they_are_asked_all_the_same() -> None:
    """If nobody is known to be able, the route's own backends are asked: what is known may be wrong."""
    plan = Planner(settings()).plan(decision("MODERATE"), needs=lambda name: False)
    assert set(plan.backends) >= {"primary"}


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
    """By the model's suffix or by the header, which wins; anything else leaves the decision to the router."""
    assert forced_route(model, header, "ai-router") == route


WRONG = [
    ("ai-router/nowhere", None),
    (None, "cloud"),
    (None, "xai,primary"),
    ("ai-router/xai/x", None),
]


@pytest.mark.parametrize(("model", "header"), WRONG)
def test_a_route_that_does_not_exist_is_refused(model: str | None, header: str | None) -> None:
    """A wrong name is an error that lists the right ones, never a silent default."""
    with pytest.raises(BadRequest, match="use auto, primary, xai, enrich, meta"):
        forced_route(model, header, "ai-router")
