"""/router/* and /primary/*: a backend's own API through an allow-list."""

from __future__ import annotations

import pytest
from harness import Stream, Wire, all_free, body, counted, error_of, is_whole, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator


@pytest.mark.parametrize("path", ["health", "version", "metrics", "load", "v1/models"])
@pytest.mark.parametrize("name", ["router", "primary"])
def test_reading_is_passed_through(
    router: RouterProcess, sim: Simulator, name: str, path: str
) -> None:
    """What a backend says about itself can be read through the router."""
    answer = router.get(f"/{name}/{path}")
    assert answer.status_code == 200
    assert sim.stats(name)["by_path"][f"/{path}"] >= 1


def test_asking_is_passed_through_unchanged(router: RouterProcess, sim: Simulator) -> None:
    """A chat through /primary reaches the backend byte for byte and is not classified."""
    raw = b'{"messages": [{"role": "user", "content": "Hi"}],   "model": "primary-model"}'
    with counted(router, 1) as lines, Wire(router.port) as wire:
        wire.post("/primary/v1/chat/completions", raw)
        assert b"HTTP/1.1 200" in wire.read_until(b"usage")
    assert sim.stats("primary")["requests"][-1]["body"] == raw.decode()
    assert sim.stats("router")["started"] == 0
    assert "route=passthrough" in lines[0]
    all_free(router)


def test_streams_pass_through_whole(router: RouterProcess, sim: Simulator) -> None:
    """A stream through /primary is the backend's own, its [DONE] included."""
    stream = Stream(router, body("Hello"), path="/primary/v1/chat/completions").read()
    assert is_whole(stream.text)
    assert stream.done


def test_a_stream_that_breaks_is_not_ended_properly(router: RouterProcess, sim: Simulator) -> None:
    """A cut stream is cut for the client too: the router does not make it look complete."""
    sim.fault("primary", "cut")
    with Wire(router.port) as wire:
        wire.post("/primary/v1/chat/completions", body("Hello", stream=True))
        data = wire.read_until(b"\r\n0\r\n\r\n", limit=1_000_000)
    assert data
    assert not data.endswith(b"\r\n0\r\n\r\n")
    all_free(router)


@pytest.mark.parametrize(
    "path",
    [
        "/primary/_sim/stats",
        "/primary/v1/responses",
        "/primary/",
        "/primary/v1/../_sim/stats",
        "/primary/v1/%2e%2e/_sim/stats",
        "/primary/http://127.0.0.1:1/health",
        "/primary/health%00",
        "/primary/HEALTH",
        "/xai/v1/models",
        "/primary/@127.0.0.1:1/health",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_else_is_passed_through(
    router: RouterProcess, sim: Simulator, method: str, path: str
) -> None:
    """A path that is not on the list reaches no backend, however it is written."""
    with Wire(router.port) as wire:
        wire.sock.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        status = int(wire.read_until(b"\r\n\r\n").split(b" ")[1])
    assert status in (404, 308, 405, 400)
    assert set(sim.stats("primary")["by_path"]) <= {
        "/health",
        "/v1/models",
        "/metrics",
    }  # what the router's own probes ask


def test_a_query_is_not_passed_on(router: RouterProcess, sim: Simulator) -> None:
    """A client's query string is not glued onto a backend's URL."""
    assert router.get("/primary/version?x=../../y").status_code == 200
    assert "/version" in sim.stats("primary")["by_path"]


def test_head_ends_at_once(router: RouterProcess, sim: Simulator) -> None:
    """HEAD is answered like GET without a body, and does not wait for one."""
    with Wire(router.port) as wire:
        wire.sock.settimeout(5)
        wire.sock.sendall(
            b"HEAD /primary/v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )
        answer = wire.read_until(b"never")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


def test_the_wrong_method_is_refused(router: RouterProcess) -> None:
    """GET on a path for asking, and POST on one for reading, are 404 with the list."""
    for answer in (router.get("/primary/v1/chat/completions"), router.post("/primary/health", {})):
        assert answer.status_code == 404
        assert "not forwarded" in error_of(answer)["message"]


def test_a_dead_backend_is_502(make_router, sim: Simulator) -> None:
    """A backend that cannot be reached is said to be so, in OpenAI's shape."""
    router = make_router()
    sim.refuse("primary")
    answer = router.get("/primary/v1/models")
    assert (answer.status_code, error_of(answer)["code"]) == (502, "upstream_unreachable")
    answer = router.post("/primary/v1/chat/completions", body("Hello"))
    assert answer.status_code == 502
    all_free(router)


def test_one_that_breaks_before_its_first_byte_is_an_error(
    router: RouterProcess, sim: Simulator
) -> None:
    """It can still be said; a connection that closes without an answer makes clients ask again."""
    text = steer("Hello", primary={"fault": "early_close_after_headers"})
    answer = router.post("/primary/v1/chat/completions", body(text, stream=True))
    assert answer.status_code == 502
    assert error_of(answer)["code"] == "upstream_broken"
