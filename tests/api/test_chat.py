"""POST /v1/chat/completions, whole answers: who answers, what reaches the backend, what comes
back."""

from __future__ import annotations

import pytest
from harness import (
    META,
    all_free,
    ask,
    asked,
    body,
    content,
    counted,
    error_of,
    is_whole,
    route_of,
    session_file,
    steer,
)

from bench.router_process import RouterProcess
from simulator.testing import Simulator

LABELS = [("SIMPLE", "primary"), ("MODERATE", "primary"), ("COMPLEX", "xai"), ("ENRICH", "enrich")]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
CLOUD = "grok-4-1-fast-reasoning"


@pytest.mark.parametrize(("label", "route"), LABELS)
def test_the_label_of_the_classifier_decides_the_route(
    router: RouterProcess, sim: Simulator, label: str, route: str
) -> None:
    """Each label of the classifier leads to its route, and the headers say so."""
    answer = ask(router, steer("What is it about?", router={"label": label}))
    assert is_whole(content(answer))
    assert (
        route_of(answer),
        answer.headers["X-Router-Label"],
        answer.headers["X-Router-Tier"],
    ) == (route, label, "reasoning")
    assert answer.headers["X-Router-Backend"] == ("xai" if route == "xai" else "primary")
    assert float(answer.headers["X-Router-Decision-Ms"]) > 0
    all_free(router)


def test_the_classifier_is_asked_as_a_classifier(router: RouterProcess, sim: Simulator) -> None:
    """The classification is a call at temperature 0, bounded by a max_tokens of its own, that
    carries the rubric first and the ask last."""
    ask(router, "Why is the sky blue in the daytime?", temperature=1.5, max_tokens=7)
    (sent,) = asked(sim, "router")
    assert sent["temperature"] == 0
    assert sent["max_tokens"] == 1024
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][1]["content"].endswith("Why is the sky blue in the daytime?")


@pytest.mark.parametrize(
    "fault",
    [
        "hang",
        "reset",
        "html",
        "empty_200",
        "cut",
        "stall",
        {"name": "error_status"},
        {"name": "error_status", "status": 429},
    ],
    ids=str,
)
def test_a_classifier_that_fails_never_sends_a_prompt_to_the_cloud(
    impatient_router: RouterProcess, sim: Simulator, fault: str | dict[str, object]
) -> None:
    """Whatever goes wrong with the classification, the primary answers."""
    answer = ask(impatient_router, steer("Prove it.", router={"fault": fault}))
    assert (
        route_of(answer),
        answer.headers["X-Router-Backend"],
        answer.headers["X-Router-Tier"],
    ) == ("primary", "primary", "fallback")
    assert content(answer)
    assert sim.stats("xai")["started"] == 0
    all_free(impatient_router)


def test_one_unreadable_event_does_not_make_the_label_unreadable(
    router: RouterProcess, sim: Simulator
) -> None:
    """Garbage among the classifier's good events is skipped."""
    assert route_of(ask(router, steer("Prove it.", router={"fault": "garbage_event"}))) == "xai"


@pytest.mark.parametrize(
    "said",
    [
        "maybe",
        "<think>COMPLEX",
        "<think>x</think>\n<think>COMPLEX",
        "complex",
        "<think>ENRICH</think>\n",
        "",
    ],
)
def test_an_answer_without_a_label_means_the_primary(
    router: RouterProcess, sim: Simulator, said: str
) -> None:
    """A classifier that names no label after its thinking leaves the request with the primary."""
    answer = ask(router, steer("Hm?", router={"text": said, "think_tokens": 0}))
    assert (route_of(answer), answer.headers["X-Router-Tier"]) == ("primary", "fallback")


def test_the_last_label_after_the_thinking_counts(router: RouterProcess, sim: Simulator) -> None:
    """Labels inside the thinking do not count, and of those after it the last one does."""
    answer = ask(
        router,
        steer("Hm?", router={"text": "<think>SIMPLE or ENRICH</think>\nNot MODERATE but COMPLEX"}),
    )
    assert route_of(answer) == "xai"


def test_meta_is_one_call_to_the_primary(router: RouterProcess, sim: Simulator) -> None:
    """A frontend's housekeeping goes to the primary at once: no classifier is asked, nothing is
    speculated."""
    answer = ask(router, META)
    assert (
        route_of(answer),
        answer.headers["X-Router-Label"],
        answer.headers["X-Router-Speculative"],
    ) == ("meta", "META", "none")
    assert [sim.stats(role)["started"] for role in ("router", "primary", "xai")] == [0, 1, 0]
    assert session_file(router, answer.headers["X-Router-Session"])["classification_ms"] == 0


def test_unknown_fields_reach_the_backend(router: RouterProcess, sim: Simulator) -> None:
    """What the router does not know it passes on as it came."""
    fields = {
        "seed": 7,
        "logit_bias": {"5": -1},
        "vendor_extension": {"deep": [1, None, {"ü": True}]},
        "user": "someone",
    }
    ask(router, "Hello", model="ai-router/primary", **fields)
    (sent,) = asked(sim, "primary")
    assert {name: sent[name] for name in fields} == fields
    assert sent["model"] == "primary-model"


def test_text_of_every_language_survives(router: RouterProcess, sim: Simulator) -> None:
    """Characters of any script reach the backend and come back unchanged."""
    text = "Grüße, 你好, здравствуй, 👩‍🚀 \u202e\u0000 \\u0041 ✓"
    answer = ask(router, steer(text, primary={"text": text}), model="ai-router/primary")
    assert content(answer) == text
    assert asked(sim, "primary")[0]["messages"][-1]["content"].startswith(text)


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}],
        [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ],
        [],
    ],
)
def test_content_may_be_a_list_of_parts(
    router: RouterProcess, sim: Simulator, parts: list[dict[str, object]]
) -> None:
    """Content as a list of parts, pictures included, is routed like text and passed on as parts."""
    answer = ask(router, parts)
    assert route_of(answer) == "primary"
    assert asked(sim, "primary")[0]["messages"][-1]["content"] == parts


def test_content_may_be_null(router: RouterProcess, sim: Simulator) -> None:
    """A turn with tool calls and no content is a valid part of a conversation."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Use the tool"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny"},
        {"role": "assistant", "content": "Sunny."},
        {"role": "user", "content": "Thanks"},
    ]
    answer = router.post("/v1/chat/completions", {"messages": messages})
    assert content(answer)
    assert asked(sim, "primary")[0]["messages"][-4:] == messages[-4:]


def test_a_tool_result_stays_where_the_conversation_began(
    router: RouterProcess, sim: Simulator
) -> None:
    """The turn that carries a tool's result goes to the backend that asked for the tool,
    unclassified."""
    question = {
        "role": "user",
        "content": steer("Prove the theorem, use the tool", router={"label": "COMPLEX"}),
    }
    first = router.post("/v1/chat/completions", {"messages": [question], "tools": [WEATHER]})
    assert route_of(first) == "xai"
    turn = first.json()["choices"][0]["message"]
    call = turn["tool_calls"][0]
    assert (call["function"]["name"], first.json()["choices"][0]["finish_reason"]) == (
        "weather",
        "tool_calls",
    )
    result = {"role": "tool", "tool_call_id": call["id"], "content": "22 degrees"}
    asked_before = sim.stats("router")["started"]
    second = router.post(
        "/v1/chat/completions", {"messages": [question, turn, result], "tools": [WEATHER]}
    )
    assert (route_of(second), second.headers["X-Router-Tier"]) == ("xai", "conversation")
    assert sim.stats("router")["started"] == asked_before
    stranger = router.post(
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Other"}, turn, result], "tools": [WEATHER]},
    )
    assert (route_of(stranger), sim.stats("router")["started"]) == ("primary", asked_before)


def test_several_choices_and_log_probabilities_come_through(
    router: RouterProcess, sim: Simulator
) -> None:
    """n > 1 and logprobs are the backend's to answer, and its answer is passed on whole."""
    answer = ask(router, "Hello", n=3, logprobs=True, top_logprobs=2).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len(answer["choices"][2]["logprobs"]["content"][0]["top_logprobs"]) == 2
    assert answer["usage"]["completion_tokens"] == 60


@pytest.mark.parametrize("route", ["primary", "xai", "enrich", "meta"])
@pytest.mark.parametrize("by", ["model", "header"])
def test_a_route_can_be_forced(router: RouterProcess, sim: Simulator, route: str, by: str) -> None:
    """`ai-router/<route>` as the model, or the header X-Router-Route, decides without asking the
    classifier."""
    if by == "model":
        answer = ask(router, "Hello", model=f"ai-router/{route}")
    else:
        answer = ask(router, "Hello", headers={"X-Router-Route": route.upper()})
    assert (
        route_of(answer),
        answer.headers["X-Router-Tier"],
        answer.headers["X-Router-Speculative"],
    ) == (route, "explicit", "none")
    assert sim.stats("router")["started"] == 0
    assert content(answer)


@pytest.mark.parametrize(
    ("model", "backend"), [("primary-model", "primary"), (CLOUD, "xai"), ("router-model", "router")]
)
def test_a_backends_model_name_goes_to_that_backend(
    make_router, sim: Simulator, model: str, backend: str
) -> None:
    """Asking for a backend's own model by name reaches that backend, also as the first request
    after the start."""
    router = make_router(warm=False)
    answer = ask(router, "Hello", model=model)
    assert content(answer)
    assert (answer.headers["X-Router-Backend"], answer.json()["model"]) == (backend, model)


def test_a_model_nobody_has_is_404(router: RouterProcess) -> None:
    """An unknown model is OpenAI's own error for it."""
    answer = ask(router, "Hello", model="gpt-17")
    assert (answer.status_code, error_of(answer)["code"], error_of(answer)["param"]) == (
        404,
        "model_not_found",
        "model",
    )


def test_max_tokens_is_raised_for_the_cloud_and_passed_to_the_primary(
    router: RouterProcess, sim: Simulator
) -> None:
    """The cloud gets its floor, the primary what was asked for; what was changed stands in the
    headers."""
    answer = ask(router, "Hello", model="ai-router/xai", max_tokens=10)
    assert asked(sim, "xai")[0]["max_tokens"] == 16384
    assert "max_tokens=10 raised to 16384" in answer.headers["X-Router-Adjusted"]
    answer = ask(router, "Hello", model="ai-router/primary", max_tokens=10)
    assert asked(sim, "primary")[0]["max_tokens"] == 10
    assert "X-Router-Adjusted" not in answer.headers
    assert answer.json()["choices"][0]["finish_reason"] == "length"


def test_no_credential_of_the_client_reaches_a_backend(
    router: RouterProcess, sim: Simulator
) -> None:
    """A backend sees its own key and never the caller's."""
    ask(router, "Hello", model="ai-router/xai", headers={"Authorization": "Bearer callers-own-key"})
    ask(
        router,
        "Hello",
        model="ai-router/primary",
        headers={"Authorization": "Bearer callers-own-key"},
    )
    assert sim.stats("xai")["requests"][-1]["key_last4"] == "-key"
    assert not sim.stats("primary")["requests"][-1]["authorized"]
    assert "callers" not in str(sim.stats("xai")["requests"]) + str(
        sim.stats("primary")["requests"]
    )


def test_text_completions_and_embeddings_are_never_classified(
    router: RouterProcess, sim: Simulator
) -> None:
    """/v1/completions goes to the primary and /v1/embeddings to its own backend, both without a
    classification."""
    with counted(router, 2):
        text = router.post("/v1/completions", {"prompt": "Once upon a time"})
        vectors = router.post("/v1/embeddings", {"input": ["one", "two"], "model": "ai-router"})
    assert (text.status_code, text.headers["X-Router-Backend"]) == (200, "primary")
    assert is_whole(text.json()["choices"][0]["text"])
    assert (vectors.status_code, len(vectors.json()["data"])) == (200, 2)
    assert [sim.stats(role)["started"] for role in ("router", "embedding", "primary")] == [0, 1, 1]


def test_embeddings_are_never_a_stream(router: RouterProcess, sim: Simulator) -> None:
    """A `stream` in a request for embeddings is the backend's business and changes nothing here."""
    answer = router.post("/v1/embeddings", {"input": "one", "stream": True})
    assert (answer.status_code, len(answer.json()["data"])) == (200, 1)


def test_without_a_backend_for_embeddings_the_answer_is_a_clear_404(make_router) -> None:
    """No embeddings backend: 404, with the setting that would change that."""
    router = make_router(backends=("primary",))
    answer = router.post("/v1/embeddings", {"input": "one"})
    assert (answer.status_code, error_of(answer)["code"]) == (404, "no_embeddings_backend")


def test_only_the_primarys_url_is_enough(make_router, sim: Simulator) -> None:
    """With PRIMARY_URL alone every request is answered by the primary."""
    router = make_router(backends=("primary",))
    answer = ask(router, "Prove the theorem")
    assert (route_of(answer), answer.headers["X-Router-Tier"]) == ("primary", "fallback")
    assert content(answer)


def test_complex_without_a_cloud_key_stays_at_home_and_says_so(make_router, sim: Simulator) -> None:
    """Without XAI_API_KEY nothing goes out: the primary answers and a header says why."""
    router = make_router(env={"XAI_API_KEY": ""})
    for label in ("COMPLEX", "ENRICH"):
        answer = ask(router, steer("Hm?", router={"label": label}))
        assert (
            route_of(answer),
            answer.headers["X-Router-Backend"],
            answer.headers["X-Router-Label"],
        ) == ("primary", "primary", label)
        assert "configured" in answer.headers["X-Router-Note"]
    assert sim.stats("xai")["started"] == 0
    forced = ask(router, "Hello", model="ai-router/xai")
    assert (forced.status_code, error_of(forced)["code"]) == (503, "no_backend")


@pytest.mark.parametrize("model", ["ai-router", "ai-router/primary", "ai-router/xai"])
def test_a_large_body_is_carried(router: RouterProcess, sim: Simulator, model: str) -> None:
    """Pictures of many megabytes reach the backend, however small its socket's buffers."""
    picture = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + "A" * 20_000_000},
    }
    answer = ask(router, [{"type": "text", "text": "What is this?"}, picture], model=model)
    assert is_whole(content(answer))
    all_free(router)


def test_a_larger_body_than_allowed_is_refused(make_router, sim: Simulator) -> None:
    """Above server.max_body_mb the answer is 413."""
    router = make_router(config={"server": {"max_body_mb": 3}}, warm=False)
    refused = router.post("/v1/chat/completions", body("x" * 3_100_000))
    assert (refused.status_code, error_of(refused)["code"]) == (413, "request_too_large")


def test_more_tokens_than_the_window_holds(router: RouterProcess, sim: Simulator) -> None:
    """vLLM states its window in its list of models; a limit beyond it would be refused there."""
    answer = ask(router, "Hello", model="ai-router/primary", max_tokens=1_000_000)
    (received,) = asked(sim, "primary")
    sent = received["max_tokens"]
    assert 16_384 < sent < 32_768
    assert f"max_tokens=1000000 lowered to {sent}" in answer.headers["X-Router-Adjusted"]
