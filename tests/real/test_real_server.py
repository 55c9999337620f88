"""The router against a real inference server with a real model."""

import json
import time

import pytest

pytestmark = pytest.mark.real

LONG = 1500  # tokens; the context has room for 2,048


def chat(text="Tell me something.", **more):
    return {
        "model": "ai-router",
        "messages": [{"role": "user", "content": text}],
        "temperature": 1,
        **more,
    }


def events(response):
    """The data of each event of a stream, until it ends."""
    for line in response:
        if line.startswith(b"data: "):
            yield line[6:].strip()


def stream(router, **more):
    """(text, finish reason, last event, seconds) of a streamed answer."""
    started = time.monotonic()
    connection, response = router.open("POST", "/v1/chat/completions", chat(stream=True, **more))
    try:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        seen = list(events(response))
    finally:
        connection.close()
    choices = [choice for data in seen[:-1] for choice in json.loads(data)["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    reasons = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    return text, reasons, seen[-1], time.monotonic() - started


def test_it_is_found_healthy_and_its_model_is_listed(router):
    status, health = router.ask("GET", "/health")
    assert (status, health["status"]) == (200, "healthy")
    router.ask("POST", "/v1/chat/completions", chat(max_tokens=1))
    assert {"ai-router", "tiny"} <= {
        model["id"] for model in router.ask("GET", "/v1/models")[1]["data"]
    }


def test_answer_in_one_piece(router):
    status, answer = router.ask("POST", "/v1/chat/completions", chat(max_tokens=40))
    assert status == 200
    choice = answer["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert len(choice["message"]["content"]) >= 30
    assert choice["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 40


def test_streamed_answer(router):
    text, reasons, last, _ = stream(router, max_tokens=40)
    assert len(text) >= 30
    assert reasons == ["length"]
    assert last == b"[DONE]"


def test_streamed_and_whole_answer_agree(router):
    whole = router.ask("POST", "/v1/chat/completions", chat(max_tokens=40, temperature=0))[1]
    assert (
        stream(router, max_tokens=40, temperature=0)[0] == whole["choices"][0]["message"]["content"]
    )


def test_it_stops_computing_when_the_client_goes(router, server):
    *_, whole = stream(router, max_tokens=LONG)
    connection, response = router.open(
        "POST", "/v1/chat/completions", chat(stream=True, max_tokens=LONG)
    )
    seen = events(response)
    for _ in range(3):
        next(seen)
    response.close()
    connection.close()
    # It serves one request at a time: an answer that comes early shows that the other one was given
    # up.
    started = time.monotonic()
    assert (
        server.ask("POST", "/v1/chat/completions", chat(max_tokens=1) | {"model": "tiny"})[0] == 200
    )
    assert time.monotonic() - started < whole / 2


def test_requests_at_once_are_all_answered(router):
    started = [
        router.open("POST", "/v1/chat/completions", chat(stream=True, max_tokens=20))
        for _ in range(4)
    ]
    for connection, response in started:
        assert list(events(response))[-1] == b"[DONE]"
        connection.close()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "wrong",
    [{"messages": [{"role": "user", "content": "word " * 3000}]}, {"temperature": "hot"}],
    ids=["too long", "malformed"],
)
def test_its_error_reaches_the_client_as_an_error(router, wrong, streamed):
    status, body = router.ask("POST", "/v1/chat/completions", chat(stream=streamed) | wrong)
    assert 400 <= status < 600
    assert body["error"]["message"]
    assert {"type", "code", "param"} <= set(body["error"])


def test_after_errors_it_still_answers(router):
    assert router.ask("POST", "/v1/chat/completions", chat(max_tokens=5))[0] == 200


def test_server_that_died_is_an_error_too(router, server):
    """Last, for it is gone afterwards."""
    server.stop()
    status, body = router.ask("POST", "/v1/chat/completions", chat(max_tokens=5))
    assert status in (502, 503)
    assert body["error"]["message"]
    assert router.ask("GET", "/health")[1]["status"] == "unhealthy"
