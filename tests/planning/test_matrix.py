"""The decision matrix in a running router: the backend, the headers that say why, the inventory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asked import IMAGE, TOOLS
from harness import ask, asked, error_of, session_file, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator

WINDOWS = {"coder": 65_536, "coder_fast": 40_960, "r1": 32_768, "small": 8192}
# Which role of the simulator serves a backend.
ROLE_OF = {"coder": "router", "coder_fast": "primary", "r1": "router", "small": "primary"}
CODE = "x = parse(line);\n"  # 17 bytes


@pytest.fixture(scope="module")
def started(
    shared_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RouterProcess]:
    sim = shared_simulator
    backends: dict[str, Any] = {
        name: {"kind": "vllm", "url": sim.url(role), "context_window": WINDOWS[name]}
        for name, role in ROLE_OF.items()
    }
    backends["r1"]["capabilities"] = ["chat", "completions", "reasoning"]
    backends["coder_fast"]["vision"] = False
    backends["embedding"] = {"kind": "vllm", "url": sim.url("embedding")}
    config = {
        "backends": backends,
        "routes": {
            "primary": {"backends": ["coder_fast"]},
            "meta": {"backends": ["coder_fast"]},
            "enrich": {"backends": ["coder_fast"]},
        },
        "cascade": {"tiers": ["rules", "reasoning"]},
    }
    urls = {"router": sim.url("router")}
    with RouterProcess(tmp_path_factory.mktemp("fleet"), backends=urls, config=config) as router:
        for task in ("code", "reasoning", "lightweight"):  # their models are learnt
            ask(router, "Hello", headers={"X-Router-Task": task})
        yield router
    assert "Traceback" not in router.printed(), router.printed()


@pytest.fixture
def fleet(started: RouterProcess, sim: Simulator) -> RouterProcess:
    for role in ("router", "primary"):
        sim.configure(role, max_model_len=1_000_000)
    return started


def counted(tokens: int) -> str:
    """A text of code that the simulator counts as so many tokens, its role and its template
    included: 4 bytes per token."""
    size = 4 * (tokens - 4) - len("<|user|>")
    prose = "The parser reads a line and stores what it finds there. "
    return (CODE * 5 + prose * (size // len(prose) + 1))[:size]


@pytest.mark.parametrize(
    ("stated", "tokens", "backend"),
    [
        ("code", 40_001, "coder"),
        ("code", 40_000, "coder_fast"),
        (None, 40_001, "coder"),
        ("reasoning", 0, "r1"),
        ("lightweight", 0, "small"),
        ("routing", 0, "coder_fast"),
        ("general", 40_001, "coder_fast"),
    ],
)
def test_a_task_has_its_backend(
    fleet: RouterProcess, sim: Simulator, stated: str | None, tokens: int, backend: str
) -> None:
    """R-101 and R-102; at the boundary the tokens are those that the backend counts."""
    headers = {"X-Router-Task": stated} if stated else {}
    text = counted(tokens) if tokens else "Hello"
    answer = ask(fleet, text, headers=headers, model="ai-router/primary")
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Router-Backend"] == backend
    assert answer.headers["X-Router-Task"] == (stated or "code")
    assert answer.headers.get("X-Router-Note", "").startswith(f"{backend} instead") is (
        backend != "coder_fast"
    )
    assert answer.json()["usage"]["prompt_tokens"] == (tokens or 8)


def test_the_answer_begins_on_the_tasks_backend_before_the_decision(
    fleet: RouterProcess, sim: Simulator
) -> None:
    text = steer("Why is the sky blue?", router={"label": "MODERATE", "think_ms": 150})
    answer = ask(fleet, text, model="ai-router/lightweight")
    assert answer.headers["X-Router-Speculative"] == "won"
    assert answer.headers["X-Router-Backend"] == "small"
    assert len(asked(sim, "primary")) == 1


def test_misfits_say_why(fleet: RouterProcess, sim: Simulator) -> None:
    """Of the capability and of the window."""
    reasoning = {"X-Router-Task": "reasoning", "X-Router-Route": "primary"}
    tools = ask(fleet, "Hello", tools=TOOLS, headers=reasoning)
    assert tools.headers["X-Router-Backend"] == "coder_fast"
    assert "r1, which does not support tools" in tools.headers["X-Router-Note"]
    image = ask(fleet, [IMAGE], model="ai-router/primary")
    assert (image.status_code, image.headers["X-Router-Task"]) == (200, "vision")
    assert "coder_fast, which does not support vision" in image.headers["X-Router-Note"]
    longer = ask(fleet, counted(33_000), headers=reasoning)
    assert longer.headers["X-Router-Backend"] == "coder_fast"
    assert (
        "(32,768 tokens) does not hold the prompt (33,000 tokens)"
        in (longer.headers["X-Router-Note"])
    )


def test_more_tokens_than_any_window_holds_are_refused(
    fleet: RouterProcess, sim: Simulator
) -> None:
    """Without asking for an answer; with both numbers, in the client's API."""
    text = counted(65_536)
    refused = ask(fleet, text, model="ai-router/primary")
    error = error_of(refused)
    assert (refused.status_code, error["code"]) == (400, "context_length_exceeded")
    assert (
        "65,536 tokens; the maximum context length, that of 'coder', is 65,536"
        in (error["message"])
    )
    ollama = {"model": "ai-router/primary", "messages": [{"role": "user", "content": text}]}
    native = fleet.post("/api/chat", ollama)
    assert native.status_code == 400
    assert "65,536 tokens" in native.json()["error"]
    assert asked(sim, "router") == asked(sim, "primary") == []
    assert ask(fleet, counted(65_535), model="ai-router/primary").status_code == 200


def test_without_a_count_the_estimate_decides(fleet: RouterProcess, sim: Simulator) -> None:
    """A backend that cannot count does not fail the request; a prompt that may fit is tried."""
    sim.fault("primary", "error_status", status=500, path="/tokenize")
    sim.fault("router", "error_status", status=500, path="/tokenize")
    answer = ask(fleet, counted(70_000), model="ai-router/primary")
    assert (answer.status_code, answer.headers["X-Router-Backend"]) == (200, "coder")


def test_a_wish_that_cannot_be_met_is_a_clear_error(fleet: RouterProcess, sim: Simulator) -> None:
    for fields, code in (
        ({"headers": {"X-Router-Task": "coding"}}, "unknown_task"),
        ({"model": "ai-router/coding"}, "unknown_route"),
        ({"model": "ai-router/embedding"}, "wrong_task"),
    ):
        refused = ask(fleet, "Hello", **fields)
        assert (refused.status_code, error_of(refused)["code"]) == (400, code)
        assert "code, reasoning" in refused.text or code == "wrong_task"
    ignored = ask(fleet, "Hello", model="ai-router/primary", metadata={"task": "cooking"})
    assert "metadata.task 'cooking' was ignored" in ignored.headers["X-Router-Note"]
    assert session_file(fleet, ignored.headers["X-Router-Session"])["task"] == "general"


def test_the_route_api_explains_the_choice(fleet: RouterProcess, sim: Simulator) -> None:
    body = {"messages": [{"role": "user", "content": counted(40_001)}], "route": "primary"}
    told = fleet.post("/api/route", body).json()
    assert (told["task"], told["task_source"], told["needs"]) == ("code", "content", ["chat"])
    assert (told["tokens"], told["tokens_counted"]) == (40_001, True)
    assert told["row"] == "code, more than 40,000 tokens: coder"
    assert told["backends"] == ["coder", "coder_fast"]


def test_embeddings_are_the_tasks(fleet: RouterProcess, sim: Simulator) -> None:
    """`embeddings` is not set: the matrix names the backend."""
    for model in ("ai-router", "ai-router/embedding"):
        answer = fleet.post("/v1/embeddings", {"model": model, "input": "one"})
        assert answer.status_code == 200
        assert answer.headers["X-Router-Backend"] == "embedding"
        assert answer.headers["X-Router-Task"] == "embedding"
    wrong = fleet.post("/v1/embeddings", {"model": "ai-router/code", "input": "one"})
    assert (wrong.status_code, error_of(wrong)["code"]) == (400, "wrong_task")


def test_the_inventory_tells_what_is_known(fleet: RouterProcess, sim: Simulator) -> None:
    listed = {model["id"]: model for model in fleet.get("/v1/models").json()["data"]}
    assert listed["ai-router/code"]["backends"] == ["coder", "coder_fast"]
    assert listed["ai-router/lightweight"]["backends"] == ["small", "coder_fast"]
    assert listed["ai-router/embedding"]["backends"] == ["embedding"]
    model = listed["primary-model"]
    assert (model["owned_by"], model["context_window"]) == ("coder_fast", 40_960)
    assert model["capabilities"] is None
    assert model["state"] in ("up", "unknown")
