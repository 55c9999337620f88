"""vLLM's own load figures: what is read from its /metrics, and that a failure harms nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import requests
from harness import REFUSED, ask, eventually
from making import make_backend

from airouter.domain.clock import Clock
from airouter.settings.schema import BackendSettings
from airouter.upstream.backend import Backend, ServerLoad
from airouter.upstream.egress import EgressRefused
from airouter.upstream.server_load import parse_load, read_loads
from bench.router_process import RouterProcess
from simulator.testing import Simulator
from tests.upstream.wire_server import Peer, WireServer

CLOCK = Clock()
# As vLLM 0.12 writes it, shortened.
VLLM = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting{engine="1",model_name="m"} 0.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 4000.0
vllm:prefix_cache_queries_created{engine="0",model_name="m"} 1.7e+09
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 1000.0
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{engine="0",le="0.3"} 5.0
"""
PLAIN = b"vllm:num_requests_running 1\nvllm:num_requests_waiting 0\n"


def test_engines_are_summed() -> None:
    """And similar names are not mistaken for those that are wanted."""
    assert parse_load(VLLM) == ServerLoad(5.0, 1.0, 0.25)


def test_names_without_total_are_read_too() -> None:
    """As older servers write them."""
    assert parse_load(VLLM.replace(b"_total{", b"{")) == ServerLoad(5.0, 1.0, 0.25)


def test_a_server_that_has_had_no_prompt_has_no_ratio() -> None:
    queries = b"vllm:prefix_cache_queries_total 0\nvllm:prefix_cache_hits_total 0\n"
    assert parse_load(PLAIN + queries) == parse_load(PLAIN) == ServerLoad(1.0, 0.0, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>not found</html>",
        b"vllm:num_requests_running 1\n",
        b"vllm:num_requests_running NaN\nvllm:num_requests_waiting 0\n",
        b"vllm:num_requests_running -1\nvllm:num_requests_waiting 0\n",
        b"vllm:num_requests_running +Inf\nvllm:num_requests_waiting 0\n",
        b"vllm:num_requests_running one\nvllm:num_requests_waiting 0\n",
        b'vllm:num_requests_running{engine="\xff"} 1\nvllm:num_requests_waiting 0\n',
        b'vllm:num_requests_running{engine="0 1\nvllm:num_requests_waiting 0\n',
    ],
)
def test_what_is_not_a_load_is_none(body: bytes) -> None:
    assert parse_load(body) is None


def test_a_hostile_text_takes_no_time() -> None:
    """2 MB of lines that are wanted: only the first thousand are read."""
    body = b'vllm:num_requests_running{engine="0"} 1\n' * 50_000 + PLAIN
    began = time.process_time()
    assert parse_load(body) is None  # the waiting ones come later
    assert time.process_time() - began < 1


# From a server -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_simulator() -> Iterator[Simulator]:
    with Simulator(roles=("primary",)) as simulator:
        yield simulator


@pytest.fixture
def server(own_simulator: Simulator) -> Simulator:
    own_simulator.reset()
    return own_simulator


def backend(url: str, **parts: object) -> Backend:
    return make_backend("b", BackendSettings(kind="vllm", url=url, model="m"), CLOCK, **parts)


def test_it_is_read_side_by_side(server: Simulator) -> None:
    """A dead and a hung server cost the limit once, and the others nothing."""

    def silent(peer: Peer) -> None:
        peer.request()
        peer.wait_for_close()

    with WireServer(silent) as hung:
        began = time.monotonic()
        loads = read_loads(
            {
                "good": backend(server.url("primary")),
                "dead": backend(REFUSED),
                "hung": backend(hung.url),
                "hung too": backend(hung.url),
            },
            CLOCK,
            0.4,
        )
        assert time.monotonic() - began < 2
    assert loads == {
        "good": ServerLoad(0.0, 0.0, None),
        "dead": None,
        "hung": None,
        "hung too": None,
    }


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(PLAIN) + PLAIN,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + PLAIN,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + PLAIN + b"# \n" * 1_000_000,
        b"nonsense\r\n\r\n",
    ],
    ids=["status", "cut", "too large", "no HTTP"],
)
def test_a_bad_answer_is_none(answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    with WireServer(script) as server:
        assert read_loads({"b": backend(server.url)}, CLOCK, 3) == {"b": None}


def test_a_check_may_refuse_it(server: Simulator) -> None:
    """The request passes the same checks as any other."""
    seen: list[str] = []

    def refuse(name: str, _settings: BackendSettings, request: object) -> None:
        seen.append(name)
        raise EgressRefused("no")

    one = backend(server.url("primary"), checks=(refuse,))
    assert read_loads({"b": one}, CLOCK, 1) == {"b": None}
    assert seen == ["b"]


# In a router -------------------------------------------------------------------------------------


def test_the_router_shows_it(make_router: Callable[..., RouterProcess], sim: Simulator) -> None:
    """Read with the probes; when /metrics hangs, the gauge is 0 and the backend still healthy."""
    router = make_router({"probes": {"interval": 0.3, "idle_factor": 1}})

    def ratio() -> float:
        name = "airouter_backend_server_prefix_cache_hit_ratio"
        found = [
            line
            for line in router.get("/metrics").text.splitlines()
            if line.startswith(f"{name}{{")
        ]
        return sum(float(line.split()[-1]) for line in found if 'backend="primary"' in line)

    text = "Tell me the same again. " * 40
    for _ in range(3):
        assert ask(router, text, model="ai-router/primary").status_code == 200
    eventually(lambda: ratio() > 0.3, why="the load is not shown")
    assert 'airouter_backend_server_running{backend="primary"} ' in router.get("/metrics").text
    assert 'airouter_backend_server_running{backend="xai"}' not in router.get("/metrics").text
    sim.fault("primary", "hang", path="/metrics")
    eventually(lambda: ratio() == 0, why="a figure that can no longer be read is still shown")
    assert ask(router, "Hello", model="ai-router/primary").status_code == 200
    assert requests.get(f"{router.url}/health/readiness", timeout=5).status_code == 200
    assert 'airouter_backend_state{backend="primary"} 0.0' in router.get("/metrics").text
