"""ENRICH: a web search first, its findings as system text, then the primary; and the answer without
them when it fails."""

from __future__ import annotations

import pytest
from harness import (
    Stream,
    all_free,
    ask,
    asked,
    body,
    content,
    counted,
    is_whole,
    route_of,
    session_file,
    steer,
)

from bench.router_process import RouterProcess
from simulator.testing import Simulator

NEWS = {"label": "ENRICH"}


def test_the_search_is_asked_as_configured(router: RouterProcess, sim: Simulator) -> None:
    """The search is one POST to /v1/responses with the tools, at temperature 0, bounded, and
    carries the ask."""
    ask(router, steer("Who won the match?", router=NEWS))
    (search,) = asked(sim, "xai")
    assert sim.stats("xai")["requests"][0]["path"] == "/v1/responses"
    assert search["tools"] == [{"type": "web_search"}, {"type": "x_search"}]
    assert (search["temperature"], search["max_output_tokens"], search["model"]) == (
        0,
        1024,
        "grok-4-1-fast-reasoning",
    )
    assert "Who won the match?" in search["input"]
    assert sim.stats("xai")["searches"] == 1


def test_the_findings_stand_last_in_the_one_system_message(
    router: RouterProcess, sim: Simulator
) -> None:
    """What was found joins the client's system text, which many templates take one of only; the
    client's other messages are unchanged."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": steer("The news?", router=NEWS)},
    ]
    answer = router.post("/v1/chat/completions", {"messages": messages})
    assert (route_of(answer), answer.headers["X-Router-Backend"]) == ("enrich", "primary")
    sent = asked(sim, "primary")[-1]["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    assert sent[0]["content"].startswith("Be brief.")
    assert "simulated search results" in sent[0]["content"]
    assert "Simulated sources" in sent[0]["content"]
    assert sent[1:] == messages[1:]


@pytest.mark.parametrize("stream", [False, True])
def test_a_session_shows_both_steps(router: RouterProcess, sim: Simulator, stream: bool) -> None:
    """The record tells the search from the answer, each with its time."""
    text = steer("The news?", router=NEWS, xai={"search_ms": 150})
    with counted(router, 1) as lines:
        answer = Stream(router, body(text)).read().response if stream else ask(router, text)
    told = session_file(router, answer.headers["X-Router-Session"])
    assert [step["step"] for step in told["steps"] if step["step"] != "speculation"] == [
        "enrichment",
        "provider_call",
    ]
    assert told["enrichment_ms"] >= 150
    assert " enrichment_ms=" in lines[0]
    assert any("Enrichment context retrieved: " in line for line in router.log()[-10:])


@pytest.mark.parametrize(
    "fault",
    [
        "reset",
        "html",
        "empty_200",
        "hang",
        "truncated_json",
        {"name": "error_status"},
        {"name": "error_status", "status": 401},
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_search_that_fails_is_done_without(
    strict_router: RouterProcess, sim: Simulator, fault: str | dict[str, object], stream: bool
) -> None:
    """When the search fails the primary answers without it, and header and session say so."""
    text = steer("The news?", router=NEWS, xai={"fault": fault})
    if stream:
        answer = Stream(strict_router, body(text)).read()
        assert answer.done
        whole, headers = answer.text, answer.headers
    else:
        reply = ask(strict_router, text)
        whole, headers = content(reply), reply.headers
    assert is_whole(whole)
    assert headers["X-Router-Route"] == "enrich"
    assert "without search results" in headers["X-Router-Note"]
    told = session_file(strict_router, headers["X-Router-Session"])
    search = next(step for step in told["steps"] if step["step"] == "enrichment")
    assert search["error"]
    assert told["outcome"] == "ok"
    assert "search results" not in str(asked(sim, "primary")[-1]["messages"])
    all_free(strict_router)


def test_a_search_that_finds_nothing_is_done_without(router: RouterProcess, sim: Simulator) -> None:
    """An empty finding is no context."""
    answer = ask(router, steer("The news?", router=NEWS, xai={"text": " "}))
    assert "without search results" in answer.headers["X-Router-Note"]
    assert is_whole(content(answer))


def test_other_tools_can_be_named(make_router, sim: Simulator) -> None:
    """XAI_SEARCH_TOOLS chooses the search tools."""
    router = make_router(env={"XAI_SEARCH_TOOLS": "web_search"})
    ask(router, steer("The news?", router=NEWS))
    assert asked(sim, "xai")[0]["tools"] == [{"type": "web_search"}]


def test_the_search_sees_what_the_ask_leans_on(router: RouterProcess, sim: Simulator) -> None:
    """A follow-up is searched for together with the turns before it, and with the date."""
    messages = [
        {"role": "user", "content": "Tell me about Oslo"},
        {"role": "assistant", "content": "Oslo is the capital of Norway."},
        {"role": "user", "content": steer("And the weather there?", router=NEWS)},
    ]
    router.post("/v1/chat/completions", {"messages": messages})
    query = asked(sim, "xai")[0]["input"]
    assert "capital of Norway" in query
    assert "Current date: " in query
    assert query.index("And the weather there?") < query.index("Current date: ")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_with_a_search_of_its_own_is_not_searched_for(
    router: RouterProcess, sim: Simulator, stream: bool
) -> None:
    """The primary gets the tools and no context; the label stays, and header and dry run say
    why."""
    tools = [{"type": "function", "function": {"name": "web_search", "parameters": {}}}]
    asks = body(steer("Who won the match?", router=NEWS), tools=tools)
    told = router.post("/api/route", asks).json()
    assert (told["route"], told["label"], told["enrich"]) == ("primary", "ENRICH", False)
    streamed = Stream(router, asks).read() if stream else None
    headers = (streamed or router.post("/v1/chat/completions", asks)).headers
    assert (headers["X-Router-Route"], headers["X-Router-Label"]) == ("primary", "ENRICH")
    assert "its own tool for it, web search" in headers["X-Router-Note"]
    assert sim.stats("xai")["searches"] == 0
    assert asked(sim, "primary")[-1]["tools"] == tools


def test_other_tools_do_not_stop_a_search(router: RouterProcess, sim: Simulator) -> None:
    tools = [{"type": "function", "function": {"name": "search_notes", "parameters": {}}}]
    answer = ask(router, steer("Who won the match?", router=NEWS), tools=tools)
    assert route_of(answer) == "enrich"
    assert sim.stats("xai")["searches"] == 1
