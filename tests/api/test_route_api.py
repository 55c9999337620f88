"""POST /api/route: a decision explained, or made by force."""

from __future__ import annotations

import pytest
from harness import META, all_free, body, content, counted, error_of, route_of, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator


@pytest.mark.parametrize(
    ("label", "route"), [("MODERATE", "primary"), ("COMPLEX", "xai"), ("ENRICH", "enrich")]
)
def test_a_dry_run_explains_and_answers_nothing(
    router: RouterProcess, sim: Simulator, label: str, route: str
) -> None:
    """The explanation names route, label, tier, plan and every verdict; only the classifier has
    been asked."""
    with counted(router, 0):
        answer = router.post(
            "/api/route", body(steer("What is it?", router={"label": label}))
        ).json()
    assert (answer["route"], answer["label"], answer["tier"]) == (route, label, "reasoning")
    assert answer["backends"] == ["xai" if route == "xai" else "primary"]
    assert answer["enrich"] == (route == "enrich")
    assert [verdict["tier"] for verdict in answer["verdicts"]] == ["rules", "reasoning"]
    assert answer["features"]["messages"] == 1
    assert [sim.stats(role)["started"] for role in ("router", "primary", "xai")] == [1, 0, 0]
    all_free(router)


def test_meta_is_explained_without_any_call(router: RouterProcess, sim: Simulator) -> None:
    """What the rules decide needs no backend."""
    answer = router.post(
        "/api/route", {"messages": [{"role": "user", "content": META}], "route": "auto"}
    ).json()
    assert (answer["route"], answer["label"], answer["tier"]) == ("meta", "META", "rules")
    assert sim.stats("router")["started"] == 0


@pytest.mark.parametrize("route", ["primary", "xai", "enrich", "meta"])
def test_a_route_can_be_tried_and_run(router: RouterProcess, sim: Simulator, route: str) -> None:
    """`route` forces one; with `execute` it answers like a chat request, and is recorded like
    one."""
    dry = router.post("/api/route", {**body("Hello"), "route": route}).json()
    assert (dry["route"], dry["tier"]) == (route, "explicit")
    assert sim.stats("primary")["started"] + sim.stats("xai")["started"] == 0
    with counted(router, 1):
        run = router.post("/api/route", {**body("Hello"), "route": route, "execute": True})
    assert content(run)
    assert route_of(run) == route


def test_its_own_fields_do_not_reach_a_backend(router: RouterProcess, sim: Simulator) -> None:
    """`route` and `execute` are the router's; a backend never sees them."""
    router.post("/api/route", {**body("Hello"), "route": "primary", "execute": True})
    assert not {"route", "execute"} & set(sim.stats("primary")["requests"][-1]["body_keys"])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"route": "cloud"}, "route"),
        ({"route": 5}, "route"),
        ({"route": ["xai"]}, "route"),
        ({"execute": "yes"}, "execute"),
    ],
)
def test_a_wrong_field_is_400(router: RouterProcess, fields: dict[str, object], param: str) -> None:
    """A route that does not exist is refused with the names of those that do."""
    answer = router.post("/api/route", {**body("Hello"), **fields})
    assert (answer.status_code, error_of(answer)["param"]) == (400, param)
