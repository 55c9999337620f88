"""Errors: the status that says whose fault it was, in OpenAI's shape, and nothing about our
insides."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from harness import (
    REFUSED,
    Stream,
    Wire,
    all_free,
    ask,
    body,
    content,
    counted,
    error_in,
    error_of,
    eventually,
    steer,
)
from settings_for_tests import PLAIN_CASCADE

from bench.router_process import RouterProcess
from simulator.testing import Simulator

PRIMARY = {"model": "ai-router/primary"}
USER = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"name": "error_status", "status": 400}, 400, None),
        ({"name": "error_status", "status": 404}, 404, None),
        ({"name": "error_status", "status": 413}, 413, None),
        ({"name": "error_status", "status": 422}, 422, None),
        ({"name": "error_status", "status": 429, "retry_after": 7}, 429, None),
        ({"name": "error_status", "status": 401}, 502, "upstream_refused_key"),
        ({"name": "error_status", "status": 403}, 502, "upstream_refused_key"),
        ({"name": "error_status", "status": 500}, 500, None),
        ({"name": "error_status", "status": 503, "retry_after": 9}, 503, None),
        ({"name": "error_status", "status": 302, "body": "x"}, 502, "upstream_broken"),
        ({"name": "error_status", "status": 204, "body": ""}, 502, "upstream_broken"),
        ("reset", 502, "upstream_broken"),
        ("html", 502, "upstream_broken"),
        ("empty_200", 502, "upstream_broken"),
        ("truncated_json", 502, "upstream_broken"),
        ("hang", 504, "upstream_timeout"),
        ("oversized_header", 200, None),
        ("dribble", 200, None),
        ("wrong_content_type", 200, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_a_backend_does_becomes_the_right_status(
    make_strict: RouterProcess,
    sim: Simulator,
    fault: str | dict[str, object],
    status: int,
    code: str | None,
    stream: bool,
) -> None:
    """Refusals of the request pass through, refusals of our key and broken answers are 502, silence
    is 504."""
    if fault == "truncated_json":
        stream = False  # a fault of whole answers
    payload = body(steer("Hello", primary={"fault": fault}), **PRIMARY)
    answer = (
        Stream(make_strict, payload).response
        if stream
        else make_strict.post("/v1/chat/completions", payload)
    )
    assert answer.status_code == status, answer.text
    if status != 200:
        error = error_of(answer)
        assert answer.headers["Content-Type"] == "application/json"
        assert error["code"] == code or code is None
    wait = fault.get("retry_after") if isinstance(fault, dict) else None
    assert answer.headers.get("Retry-After") == (str(wait) if wait else None)
    all_free(make_strict)


@pytest.mark.parametrize(("sent", "status"), [(500, 502), (501, 502), (503, 503), (529, 529)])
def test_a_server_error_of_a_backend_is_not_the_routers(
    make_strict: RouterProcess, sent: int, status: int
) -> None:
    """Messages and Responses: 502 with what the backend says, in the API's form; 529 is one of
    Anthropic's statuses, not of OpenAI's. Elsewhere it is passed on."""
    text = steer("Hello", primary={"fault": {"name": "error_status", "status": sent}})
    asked = {"max_tokens": 9, "messages": [{"role": "user", "content": text}], **PRIMARY}
    answer = make_strict.post("/v1/messages", asked)
    assert (answer.status_code, answer.json()["type"]) == (status, "error")
    assert "Simulated error" in answer.json()["error"]["message"]
    answer = make_strict.post("/v1/responses", {"input": text, **PRIMARY})
    assert answer.status_code == (502 if sent == 529 else status)
    error = error_of(answer)
    assert "Simulated error" in error["message"]
    assert (error["param"], error["code"]) == (None, None)
    assert make_strict.post("/v1/chat/completions", asked).status_code == sent


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        ('{"error": {"message": "not in your region"}}', 502, "not in your region"),
        ('{"error": {"message": "flagged", "code": "content_policy_violation"}}', 403, "flagged"),
        ('{"error": {"message": "the API key ...cd is disabled"}}', 502, "your own key is not"),
    ],
)
def test_the_reason_of_a_403_is_told_unless_it_speaks_of_the_key(
    make_strict: RouterProcess, said: str, status: int, told: str
) -> None:
    """It may be a region, a policy or an account; of the router's key the client learns nothing."""
    fault = {"name": "error_status", "status": 403, "body": said}
    payload = body(steer("Hello", primary={"fault": fault}), **PRIMARY)
    answer = make_strict.post("/v1/chat/completions", payload)
    assert answer.status_code == status
    assert told in error_of(answer)["message"]
    assert "...cd" not in answer.text


@pytest.fixture(scope="module")
def hasty(shared_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory):
    """A router that gives a whole answer 1 s at most."""
    calm = {"breaker_fails": 1_000_000, "allowed_fails": 1_000_000, "cooldown": 0.01}
    config = {
        "backends": {"primary": {"total_timeout": 1.0, "first_byte_timeout": 1.0, **calm}},
        "cascade": PLAIN_CASCADE,
    }
    backends = {role: shared_simulator.url(role) for role in ("router", "primary", "xai")}
    with RouterProcess(
        tmp_path_factory.mktemp("hasty"), backends=backends, config=config
    ) as router:
        yield router


@pytest.fixture
def make_strict(hasty: RouterProcess, sim: Simulator) -> RouterProcess:
    return hasty


def test_a_message_of_a_backend_is_kept(router: RouterProcess, sim: Simulator) -> None:
    """What a backend says about a refused request reaches the client; its peculiar shape does
    not."""
    said = json.dumps(
        {
            "object": "error",
            "message": "max_tokens is too large",
            "type": "BadRequestError",
            "code": 400,
        }
    )
    fault = {"name": "error_status", "status": 400, "body": said}
    answer = ask(router, steer("Hello", primary={"fault": fault}), **PRIMARY)
    assert (answer.status_code, error_of(answer)["message"]) == (400, "max_tokens is too large")


def test_a_context_that_is_too_long_is_said_so(router: RouterProcess, sim: Simulator) -> None:
    """The backend's refusal of too long a context reaches the client as such."""
    answer = ask(router, "word " * 60_000, **PRIMARY)
    assert answer.status_code == 400
    assert "maximum context length" in error_of(answer)["message"]


def test_a_backend_that_is_not_there_is_502(make_router, sim: Simulator) -> None:
    """A refused connection is 502 once it may no longer be starting, whole and as a stream."""
    router = make_router(
        urls={"primary": REFUSED},
        warm=False,
        config={"backends": {"primary": {"model": "m"}}, "queue": {"hold_wait": 0.2}},
    )
    with counted(router, 2):
        whole = ask(router, "Hello", **PRIMARY)
        stream = Stream(router, body("Hello", **PRIMARY)).response
    for answer in (whole, stream):
        assert (answer.status_code, error_of(answer)["code"]) == (502, "upstream_unreachable")
    all_free(router)


def took(answer: requests.Response) -> float:
    return answer.elapsed.total_seconds()


def test_a_full_queue_is_429_with_retry_after(make_router, sim: Simulator) -> None:
    """More than slots + queue at once: the rest is told at once when to come back, and the admitted
    are all served."""
    router = make_router(
        config={"backends": {"primary": {"slots": 2}}, "queue": {"length": 2, "wait": 20}}
    )
    payload = body(steer("Hello", primary={"ttft_ms": 2000}), **PRIMARY)
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(
                lambda _: requests.post(
                    router.url + "/v1/chat/completions", json=payload, timeout=30
                ),
                range(10),
            )
        )
    refused = [answer for answer in answers if answer.status_code == 429]
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 6
    for answer in refused:
        assert (error_of(answer)["code"], error_of(answer)["type"]) == (
            "rate_limit_exceeded",
            "rate_limit_error",
        )
        assert int(answer.headers["Retry-After"]) >= 1
    served = [answer for answer in answers if answer.status_code == 200]
    assert max(took(one) for one in refused) < min(took(one) for one in served)
    assert sim.stats("primary")["max_running"] == 2
    all_free(router)


def test_the_wait_for_a_slot_is_limited_and_the_answer_is_not(make_router, sim: Simulator) -> None:
    """queue.wait bounds the waiting for a slot alone: an answer that takes longer is not cut by
    it."""
    router = make_router(config={"backends": {"primary": {"slots": 1}}, "queue": {"wait": 0.4}})
    payload = body(steer("Hello", primary={"ttft_ms": 2500}), **PRIMARY)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(
            lambda: requests.post(router.url + "/v1/chat/completions", json=payload, timeout=30)
        )
        eventually(lambda: sim.stats("primary")["running"] == 1)
        second = pool.submit(
            lambda: requests.post(router.url + "/v1/chat/completions", json=payload, timeout=30)
        )
        assert second.result().status_code == 429
        assert took(second.result()) > 0.3
        assert not first.done()
        assert first.result().status_code == 200
    all_free(router)


def test_a_clients_own_deadline_is_kept(router: RouterProcess, sim: Simulator) -> None:
    """X-Router-Timeout ends a request that takes longer with 504, and lets its backend go."""
    started = time.monotonic()
    answer = ask(
        router,
        steer("Hello", primary={"ttft_ms": 5000}),
        headers={"X-Router-Timeout": "0.4"},
        **PRIMARY,
    )
    assert (answer.status_code, error_of(answer)["code"]) == (504, "client_deadline_exceeded")
    assert time.monotonic() - started < 3
    sim.wait_for("primary", aborted=1)
    for nonsense in ("soon", "-1", "0", "nan", "inf", "1e9"):
        answer = ask(router, "Hello", headers={"X-Router-Timeout": nonsense}, **PRIMARY)
        assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_timeout")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/v1/chat/completion", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("PATCH", "/", 405),
        ("GET", "/v1/chat/completions/../../etc/passwd", 404),
        ("GET", "/\u00e4%ff%00", 404),
    ],
)
def test_paths_and_methods_that_do_not_exist(
    router: RouterProcess, method: str, path: str, status: int
) -> None:
    """Unknown paths are 404 and wrong methods 405 with Allow, both in OpenAI's shape."""
    answer = requests.request(method, router.url + path, timeout=10)
    assert answer.status_code == status
    assert error_of(answer)["type"] == "invalid_request_error"
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("path", "use"),
    [
        ("/v1/responses/resp_1/items", "POST /v1/responses"),
        ("/v1/responsesX", "GET / lists all endpoints"),
    ],
)
def test_an_address_of_another_api_names_what_to_use(
    router: RouterProcess, path: str, use: str
) -> None:
    """A 404 whose one message says the way on."""
    answer = router.post(path, {"model": "ai-router", "input": "Hello"})
    assert answer.status_code == 404
    error = error_of(answer)
    assert error["code"] == "unknown_url"
    assert use in error["message"]


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n{}\r\n0\r\n\r\n", b"5\r\n{}\r\n", b"-1\r\n", b"ffffffffffffffffffff\r\n{}"]
)
def test_a_broken_chunked_body_is_the_clients_error(
    router: RouterProcess, sim: Simulator, chunks: bytes
) -> None:
    """Chunks that are no chunks end as a 4xx (or a closed connection), never as an error of the
    server."""
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with Wire(router.port) as wire:
        wire.sock.sendall(head + chunks)
        wire.sock.shutdown(1)
        answer = wire.read_until(b"never")
    assert answer == b"" or answer.split(b" ")[1].startswith(b"4"), answer


def test_a_body_sent_in_chunks_is_taken(router: RouterProcess, sim: Simulator) -> None:
    """A chunked request is read like one with a length."""
    raw = json.dumps(body("Hello")).encode()
    answer = requests.post(
        router.url + "/v1/chat/completions",
        data=iter([raw[:5], raw[5:]]),
        headers={"Content-Type": "application/json"},
        timeout=10,
    )
    assert content(answer)


def test_a_sender_that_falls_silent_is_not_waited_for(make_router, sim: Simulator) -> None:
    """A body that does not arrive within server.body_timeout ends with 408."""
    router = make_router(config={"server": {"body_timeout": 0.5}}, warm=False)
    with Wire(router.port) as wire:
        wire.sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
            b'\r\n{"a"'
        )
        answer = wire.read_until(b"never")
    assert answer.startswith(b"HTTP/1.1 408")
    assert error_in(json.loads(answer.partition(b"\r\n\r\n")[2]))["code"] == "request_timeout"


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/embeddings", "/api/route", "/api/chat"]
)
def test_too_many_elements_are_413(router: RouterProcess, sim: Simulator, path: str) -> None:
    """A small body that would become a large parse is refused before it is parsed, with the
    setting's name."""
    bomb = (
        b'{"messages":[{"role":"user","content":"x"}],"input":"x","a":['
        + b"0," * 2_000_001
        + b"0]}"
    )
    answer = requests.post(
        router.url + path, data=bomb, headers={"Content-Type": "application/json"}, timeout=30
    )
    assert answer.status_code == 413
    assert "server.max_json_elements" in answer.text
    if path != "/api/chat":  # whose errors have no code
        assert error_of(answer)["code"] == "too_many_elements"
    assert sim.stats("primary")["started"] == 0
