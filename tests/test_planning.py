"""From a decision to a plan, and from a request's wish to a forced route. Pure, so tested without a
server."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.domain.errors import BadRequest, NoBackend
from airouter.domain.labels import ROUTE_OF_LABEL
from airouter.domain.types import Decision
from airouter.planning import Planner, forced_route
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


def test_backends_that_cannot_serve_are_left_out() -> None:
    """Backends that do not support the request are left out if others do."""
    plan = Planner(settings()).plan(decision("MODERATE"), needs=lambda name: name == "second")
    assert plan.backends == ("second",)
    assert plan.reasons


def test_if_no_backend_supports_the_request_all_are_tried() -> None:
    """The route's backends are tried although none is known to support the request."""
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
