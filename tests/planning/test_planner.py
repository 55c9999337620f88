"""From a decision to a plan. Pure, so tested without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asked import IMAGE, TOOLS, demand

from airouter.domain.errors import BadRequest, NoBackend
from airouter.domain.labels import ROUTE_OF_LABEL
from airouter.domain.types import Decision
from airouter.planning.planner import Planner
from airouter.settings.load import ROOT, load_settings
from airouter.settings.schema import Settings


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
    """Each label has its route, its backends in the configured order, and a search for ENRICH."""
    plan = Planner(settings()).plan(decision(label))
    assert (plan.route, plan.backends, plan.enrich) == (route, backends, enrich)
    assert ROUTE_OF_LABEL[label] == route


@pytest.mark.parametrize("label", ["COMPLEX", "ENRICH"])
def test_without_a_key_no_prompt_is_sent_to_a_third_party(label: str) -> None:
    """A cloud without a key is not used: the primary answers, with a reason."""
    plan = Planner(settings(cloud_key=None)).plan(decision(label))
    assert (plan.route, plan.backends, plan.enrich) == ("primary", ("primary", "second"), False)
    assert plan.reasons


@pytest.mark.parametrize("label", ["COMPLEX", "ENRICH"])
def test_a_forced_route_is_not_replaced(label: str) -> None:
    """A client that asks for a route by name gets an error if it cannot be served."""
    with pytest.raises(NoBackend):
        Planner(settings(cloud_key=None)).plan(decision(label, forced=True))


def searched(tools: list[dict[str, Any]], ask: str, mode: str = "auto", **fields: Any) -> bool:
    from tests.classify.make import features

    planner = Planner(settings(enrichment={"with_tools": mode}))
    plan = planner.plan(decision("ENRICH"), features=features(ask, tools=tools, **fields))
    assert (plan.route, plan.enrich) in (("enrich", True), ("primary", False))
    assert plan.enrich or any("web search skipped" in reason for reason in plan.reasons)
    return plan.enrich


def tool(name: str, description: str = "") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description}}


WEATHER, NEWS = "Will it rain in Oslo tomorrow?", "Who won the match last night?"


@pytest.mark.parametrize(
    "own",
    [
        tool("web_search"),
        tool("WebSearch"),
        tool("mcp__brave-search__brave_web_search"),
        tool("search_web"),
        tool("fetch_url"),
        tool("browser_navigate"),
        tool("tavily-search"),
        tool("duckduckgo"),
        tool("lookup", "Searches the public web for anything."),
        {"type": "web_search_preview"},
        {"type": "web_search"},
        {"name": "WebFetch", "input_schema": {}},
        {"type": "namespace", "name": "net", "tools": [{"name": "google_search"}]},
        {"type": "mcp", "server_label": "perplexity"},
    ],
    ids=str,
)
def test_no_search_for_a_client_with_its_own_search_tool(own: dict[str, Any]) -> None:
    assert not searched([tool("read_file"), own], NEWS)


@pytest.mark.parametrize(
    ("name", "fits", "other"),
    [
        ("get_weather", WEATHER, NEWS),
        ("getCurrentWeather", "weather in Lisbon", NEWS),
        ("weather_forecast", "Wie wird das Wetter in Bonn?", NEWS),
        ("get_stock_price", "Nvidia stock price now", WEATHER),
        ("exchange_rate", "how many euros is a dollar today", WEATHER),
        ("get_headlines", "the news of today", WEATHER),
        ("search_calendar_events", "What is on my calendar today?", "When is the next G7 meeting?"),
        ("get_pollen_level", "pollen in Berlin today", NEWS),
    ],
)
def test_a_special_tool_counts_for_what_it_fetches(name: str, fits: str, other: str) -> None:
    assert not searched([tool(name)], fits)
    assert searched([tool(name)], other)


# Tools that Open WebUI 0.12 sends with every chat if its own web search is off.
OPEN_WEBUI = [
    "get_current_timestamp", "calculate_timestamp", "ask_user", "list_chat_files",
    "query_chat_files", "grep_chat_files", "view_file", "search_chats", "view_chat",
    "delegate_task", "timer", "search_memories", "add_memory", "list_memories", "generate_image",
    "edit_image", "execute_code", "search_notes", "view_note", "write_note", "search_channels",
    "search_channel_messages", "view_skill", "search_tools", "create_tasks", "update_task",
    "create_automation", "list_automations", "search_calendar_events", "create_calendar_event",
    "query_knowledge_files", "search_knowledge_bases", "notify",
]  # fmt: skip


@pytest.mark.parametrize(
    "ask",
    [WEATHER, NEWS, "price of bitcoin today", "latest news on image generation and chats",
     "who is the prime minister of Norway", "what time does the match start today",
     "any notes on the meeting of the ministers today?", "events in Berlin this weekend"],
)  # fmt: skip
def test_other_tools_do_not_prevent_a_search(ask: str) -> None:
    assert searched([tool(name) for name in OPEN_WEBUI], ask)


def test_the_setting_decides_for_requests_with_tools() -> None:
    assert searched([tool("web_search")], NEWS, "always")
    assert not searched([tool("read_file")], NEWS, "never")
    assert searched([], NEWS, "never")


def test_tools_that_may_not_be_called_do_not_count() -> None:
    assert searched([tool("web_search")], NEWS, tool_choice="none")


def test_a_forced_search_takes_place() -> None:
    from tests.classify.make import features

    asked = features(NEWS, tools=[tool("web_search")])
    assert Planner(settings()).plan(decision("ENRICH", forced=True), features=asked).enrich


@pytest.mark.parametrize("tools", [[None], ["x"], [{}], [{"function": None}], [{"name": 7}]])
def test_malformed_tools_are_ignored(tools: list[Any]) -> None:
    assert searched(tools, NEWS)


# The decision matrix ------------------------------------------------------------------------------

FLEET: dict[str, Any] = {
    "coder": {"context_window": 65_536},
    "coder_fast": {"context_window": 40_960, "vision": False},
    "r1": {"context_window": 32_768, "capabilities": ["chat", "completions", "reasoning"]},
    "small": {"context_window": 8192},
    "embedding": {"capabilities": ["embeddings"]},
    "cloud": {"local": False, "api_key": "k", "kind": "xai", "context_window": 1_000_000},
}
ROUTES: dict[str, Any] = {
    "primary": {"backends": ["coder_fast", "cloud"]},
    "xai": {"backends": ["cloud"]},
}


def fleet(*without: str, **changes: Any) -> Planner:
    backends = {
        name: {"url": f"http://127.0.0.1:{port}", **spec}
        for port, (name, spec) in enumerate(FLEET.items(), 1)
        if name not in without
    }
    data = {"backends": backends, "routes": ROUTES, "enrichment": {"backend": "cloud"}, **changes}
    return Planner(Settings.model_validate(data))


@pytest.mark.parametrize(
    ("task", "tokens", "first"),
    [
        ("code", 40_001, "coder"),
        ("code", 40_000, "coder_fast"),
        ("code", 10, "coder_fast"),
        ("reasoning", 10, "r1"),
        ("lightweight", 10, "small"),
        ("routing", 10, "coder_fast"),
        ("general", 40_001, "coder_fast"),
        (None, 10, "coder_fast"),
    ],
)
def test_the_default_matrix(task: str | None, tokens: int, first: str) -> None:
    """R-101 and R-102, on the primary and the enrich route; the rest of the route follows."""
    for label in ("MODERATE", "ENRICH"):
        plan = fleet().plan(decision(label), demand(task=task, counted=tokens))
        assert plan.backends[0] == first
        assert plan.backends[-1] == "cloud"
        assert (plan.row or "").startswith(task or "general")
        assert bool(plan.reasons) is (first != "coder_fast")


def test_the_matrix_leaves_other_routes_alone() -> None:
    """COMPLEX, and META unless it states a task."""
    planner = fleet()
    assert planner.plan(decision("COMPLEX"), demand(task="reasoning")).backends == ("cloud",)
    assert planner.plan(decision("META"), demand()).row is None
    assert planner.plan(decision("META"), demand(task="lightweight")).backends[0] == "small"


@pytest.mark.parametrize(
    ("task", "without", "first"),
    [
        ("lightweight", "small", "coder_fast"),
        ("reasoning", "r1", "coder_fast"),
        ("code", "coder", "coder_fast"),
        ("reasoning", "coder_fast", "small"),
    ],
)
def test_rows_without_a_backend_are_skipped(task: str, without: str, first: str) -> None:
    """The default matrix needs not all of its backends; without coder_fast it does not exist."""
    routes = {**ROUTES, "primary": {"backends": ["small"]}} if without == "coder_fast" else ROUTES
    plan = fleet(without, routes=routes).plan(decision("MODERATE"), demand(task=task, counted=5000))
    assert plan.backends[0] == first


def test_rows_may_need_capabilities() -> None:
    rows = [{"needs": ["vision"], "backends": ["coder"]}, {"over": 100, "backends": ["r1"]}]
    planner = fleet(tasks={"general": rows})
    seen = planner.plan(decision("MODERATE"), demand([IMAGE], task="general", counted=200))
    assert (seen.backends[0], seen.row) == ("coder", "general, needs vision: coder")
    assert planner.plan(decision("MODERATE"), demand(counted=101)).backends[0] == "r1"
    assert planner.plan(decision("MODERATE"), demand(counted=100)).row is None


def test_a_backend_without_the_capability_is_passed_over() -> None:
    """By the next one of the chain, else a local one of the matrix; never by a cloud alone."""
    plan = fleet().plan(decision("MODERATE"), demand(task="reasoning", tools=TOOLS))
    assert plan.backends == ("coder_fast", "cloud")
    assert "coder_fast instead of r1, which does not support tools" in plan.reasons
    plan = fleet(routes={"primary": {"backends": ["coder_fast"]}}).plan(
        decision("MODERATE"), demand([IMAGE], counted=10)
    )
    assert plan.backends == ("coder", "small")
    blind = {name: {"url": "http://127.0.0.1:1", "vision": False} for name in ("a", "b")}
    alone = Planner(Settings(backends=blind, routes={"primary": {"backends": ["b", "a"]}}))
    assert alone.plan(decision("MODERATE"), demand([IMAGE])).backends == ("b", "a")


@pytest.mark.parametrize(
    ("task", "tokens", "backends"),
    [
        ("lightweight", 8191, ("small", "coder_fast")),
        ("lightweight", 8192, ("r1", "coder_fast", "coder")),
        ("reasoning", 32_768, ("coder_fast", "coder")),
        ("general", 40_960, ("coder",)),
        ("general", 65_535, ("coder",)),
    ],
)
def test_a_long_prompt_goes_to_the_smallest_window_that_holds_it(
    task: str, tokens: int, backends: tuple[str, ...]
) -> None:
    """Among local ones; the window holds the answer, too, so one token more than the prompt."""
    plan = fleet().plan(decision("MODERATE"), demand(task=task, counted=tokens))
    assert plan.backends[: len(backends)] == backends
    moved = task != "lightweight" or tokens > 8191
    assert any("does not hold the prompt" in reason for reason in plan.reasons) is moved


def test_a_prompt_that_no_window_holds_is_refused() -> None:
    """With both numbers, and only if that is certain. A cloud gets it on its own route, and where
    the route lists one."""
    plan = fleet().plan(decision("MODERATE"), demand(counted=65_536))
    assert plan.backends == ("cloud",)
    planner = fleet(routes={**ROUTES, "primary": {"backends": ["coder_fast"]}})
    with pytest.raises(BadRequest, match=r"has 65,536 tokens; .* 'coder', is 65,536") as refused:
        planner.plan(decision("MODERATE"), demand(counted=65_536))
    assert refused.value.code == "context_length_exceeded"
    assert planner.plan(decision("COMPLEX"), demand(counted=65_536)).backends == ("cloud",)
    assert planner.plan(decision("META"), demand(counted=65_536)).backends[0] == "coder_fast"
    unsure = demand("word " * 80_000)
    plan = planner.plan(decision("MODERATE"), unsure)
    assert (plan.backends, unsure.tokens.doubtful) == (("coder",), True)
    with pytest.raises(BadRequest, match=r"about [\d,]+ tokens"):
        planner.plan(decision("MODERATE"), demand("word " * 300_000))


def test_an_unknown_window_holds_everything() -> None:
    backends = {"a": {"url": "http://127.0.0.1:1", "context_window": 4096}}
    backends["b"] = {"url": "http://127.0.0.1:2"}
    planner = Planner(Settings(backends=backends, routes={"primary": {"backends": ["a", "b"]}}))
    assert planner.plan(decision("MODERATE"), demand(counted=5000)).backends == ("b",)


def test_a_tool_conversation_stays_unless_it_has_grown_too_long() -> None:
    planner = fleet()
    assert planner.for_tool_result(("primary", "r1"), demand()).backends[0] == "r1"
    assert planner.for_tool_result(None, demand(task="reasoning")).backends[0] == "r1"
    grown = planner.for_tool_result(("primary", "r1"), demand(counted=33_000))
    assert grown.backends[0] == "coder_fast"


def test_an_alias_keeps_its_chain() -> None:
    """Without those that cannot, but with its cloud."""
    planner = fleet(aliases={"mine": ["small", "cloud", "r1"]})
    assert planner.for_alias("mine", "primary", demand()).backends == ("small", "cloud", "r1")
    assert planner.for_alias("mine", "primary", demand(counted=9000)).backends == ("cloud", "r1")


SHIPPED = [ROOT / "config" / "router.yaml", *sorted((ROOT / "config/examples").glob("*.yaml"))]
PLAIN = [file for file in SHIPPED if "\ntasks:" not in file.read_text("utf-8")]


@pytest.mark.parametrize("file", PLAIN, ids=lambda file: file.name)
def test_shipped_configurations_plan_as_their_routes_say(file: Path) -> None:
    """No task changes anything where there is no matrix."""
    environ = {"PRIMARY_URL": "http://127.0.0.1:1", "XAI_API_KEY": "k", "ROUTER_URL": "http://b:1"}
    configured = load_settings(environ, file=file)
    planner = Planner(configured)
    for label in ("MODERATE", "COMPLEX", "META"):
        for task in (None, "code", "reasoning", "lightweight"):
            plan = planner.plan(decision(label), demand(task=task, counted=200))
            assert plan.backends == configured.serving(plan.route)
            assert plan.row is None
