"""OpenAI's Responses API over HTTP: what its library does not show."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from harness import counted, error_of, is_whole, session_file, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator
from tests import codex
from tests.responses_events import events_of, response_of

Json = dict[str, Any]


def body(given: Any = "Hello", **fields: Any) -> Json:
    return {"model": "ai-router", "input": given, **fields}


def send(router: RouterProcess, payload: Any, **headers: str) -> requests.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{router.url}/v1/responses"
    return requests.post(url, json=payload, headers=names, timeout=20)


def text_of(response: Json) -> str:
    parts = [part for item in response["output"] for part in item.get("content", ())]
    return "".join(part["text"] for part in parts if part["type"] == "output_text")


def test_a_response_is_routed_and_recorded_like_any_chat(router: RouterProcess) -> None:
    """Decided, streamed, with the headers that explain it."""
    with counted(router, 1) as lines:
        text = steer("Hm?", router={"label": "COMPLEX"})
        answer = send(router, body(text, stream=True))
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["X-Router-Route"], answer.headers["X-Router-Backend"]) == ("xai", "xai")
    response = response_of(answer.content)
    assert is_whole(text_of(response))
    assert (response["model"], response["store"]) == ("ai-router", False)
    assert response["id"].startswith(f"resp_{answer.headers['X-Router-Session']}")
    assert response["usage"]["output_tokens"] == 20
    assert "route=xai" in lines[0]
    document = session_file(router, answer.headers["X-Router-Session"])
    assert document["client_messages"][-1]["content"] == text


def test_what_codex_sends(router: RouterProcess) -> None:
    """A turn, and a tool's result, which stays where the conversation began."""
    turn = codex.turn()
    answers = [send(router, turn, X_Router_Route="xai", **codex.HEADERS)]
    answers.append(send(router, codex.tool_result(turn), **codex.HEADERS))
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert is_whole(text_of(response_of(answer.content)))
        assert "tool web_search left out" in answer.headers["X-Router-Adjusted"]
    assert answers[1].headers["X-Router-Tier"] == "conversation"
    assert answers[1].headers["X-Router-Backend"] == "xai"


def test_unknown_models_stay_unknown(router: RouterProcess) -> None:
    for path in ("/v1/responses", "/v1/responses/input_tokens"):
        answer = router.post(path, body(model="gpt-17"))
        assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": [{"type": "hologram"}]}, "input.0"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"tools": 5}, "tools"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
    ],
)
def test_refusals(router: RouterProcess, fields: Json, param: str) -> None:
    """In OpenAI's form, with the place of what is wrong."""
    answer = send(router, body() | fields)
    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert param in error["message"] or "Responses" in error["message"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_nothing_is_kept_by_default(router: RouterProcess, method: str) -> None:
    kept = send(router, body(store=True)).json()
    assert kept["store"] is False
    path = f"{router.url}/v1/responses/{kept['id']}" + ("/cancel" if method == "POST" else "")
    answer = requests.request(method, path, timeout=20)
    assert (answer.status_code, error_of(answer)["code"]) == (404, "response_not_found")
    assert "max_stored" in error_of(answer)["message"]


def test_a_cut_answer_ends_as_failed(router: RouterProcess) -> None:
    """After what had come, with an error that the API knows."""
    text = steer("Hello", xai={"fault": "cut"})
    data = send(router, body(text, model="ai-router/xai", stream=True)).content
    response = response_of(data, cut=True)
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
    assert "backend" in response["error"]["message"]
    assert text_of(response)
    assert events_of(data)[-1]["type"] == "response.failed"


def test_errors_before_the_stream(router: RouterProcess, sim: Simulator) -> None:
    sim.fault("xai", "error_status", status=429)
    answer = send(router, body(model="ai-router/xai", stream=True))
    assert answer.status_code == 429
    assert error_of(answer)


@pytest.mark.parametrize("path", ["/responses", "//v1/responses", "/v1/v1/responses/"])
def test_paths(router: RouterProcess, path: str) -> None:
    answer = requests.post(router.url + path, json=body(model="ai-router/primary"), timeout=20)
    assert answer.json()["object"] == "response"
