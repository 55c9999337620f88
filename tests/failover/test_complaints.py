"""What people complain about in proxies of this kind, where backends fail and it needs a situation
of its own. The other complaints are tested where the behaviour is."""

from __future__ import annotations

import random
import time
from pathlib import Path

from harness import Stream, Wire, all_free, ask, body, error_of, eventually, steer
from resilience_harness import CHAIN_MODEL, Running, backend, started, status, well

from bench.router_process import RouterProcess
from simulator.testing import Simulator


def test_a_tiny_timeout_of_a_caller_cools_nobody(chained: RouterProcess, sim: Simulator) -> None:
    """A client that gives its request no time gets 504, and the backend's health is not touched."""
    sim.configure("primary", ttft_nonstream_ms=400)
    for _ in range(6):
        answer = ask(chained, "Hello", headers={"X-Router-Timeout": "0.05"}, **CHAIN_MODEL)
        assert (answer.status_code, error_of(answer)["code"]) == (504, "client_deadline_exceeded")
        assert answer.headers["x-should-retry"] == "false"
    told = backend(chained)
    assert (told["breaker"], told["fails"]) == ("closed", 0)
    assert started(sim, "embedding") + started(sim, "xai") == 0
    all_free(chained)


def test_slots_do_not_leak_when_clients_leave(make_chain, sim: Simulator) -> None:
    """Clients that leave at any moment, waiting, before the first token or in mid-stream, leave no
    slot taken."""
    router = make_chain(
        "primary",
        backends={"primary": {"slots": 3, "first_byte_timeout": 10, "total_timeout": 20}},
        queue={"wait": 10},
    )
    text = steer("Hello", all={"ttft_ms": 60, "tokens": 30, "tps": 100})
    chance = random.Random(7)
    for _ in range(6):
        wires = [
            Wire(router.port).post(
                "/v1/chat/completions", body(text, stream=chance.random() < 0.5, **CHAIN_MODEL)
            )
            for _ in range(8)
        ]
        for wire in wires:
            time.sleep(chance.random() * 0.06)
            wire.leave()
    all_free(router)
    assert backend(router)["waiting"] == 0
    eventually(lambda: sim.stats("primary")["running"] == 0)
    for answer in Running(lambda: ask(router, "Hello", **CHAIN_MODEL), 3).all():
        well(answer)
    assert backend(router)["fails"] == 0


def test_an_error_in_mid_stream_does_not_spin(chained: RouterProcess, sim: Simulator) -> None:
    """A 429 as an event of a stream ends it; the router does not burn its processor on it."""
    sim.fault("primary", "error_event", after_chunks=4)
    used = cpu_seconds(chained.workers)
    began = time.monotonic()
    stream = Stream(chained, body("Hello", n=2, **CHAIN_MODEL)).read()
    assert stream.error is not None
    assert not stream.done
    time.sleep(1)
    assert cpu_seconds(chained.workers) - used < 0.5 * (time.monotonic() - began)
    all_free(chained)


def test_health_checks_cost_nothing(make_chain, sim: Simulator) -> None:
    """Probes never generate tokens, not even on clouds."""
    router = make_chain(
        "primary", "ollama", "xai", probes={"enabled": True, "interval": 0.1, "idle_factor": 1}
    )
    eventually(lambda: sim.stats("xai")["by_path"].get("/v1/models", 0) >= 3)
    for role, more in (("primary", {"/health", "/metrics"}), ("ollama", set()), ("xai", set())):
        seen = sim.stats(role)["by_path"]
        assert set(seen) <= {"/v1/models"} | more
        assert started(sim, role) == 0
    assert router.get("/health").status_code == 200
    assert sum(started(sim, role) for role in ("primary", "ollama", "xai")) == 0


def test_retries_do_not_multiply(chained: RouterProcess, sim: Simulator) -> None:
    """In a storm of errors each backend sees hardly more requests than came in, and the client is
    told not to add its own."""
    for role in ("primary", "embedding", "xai"):
        sim.fault(role, "error_status", status=500)
    count = 60
    for answer in (ask(chained, "Hello", **CHAIN_MODEL) for _ in range(count)):
        assert answer.status_code == 500
        assert answer.headers["x-should-retry"] == "false"
    total = sum(started(sim, role) for role in ("primary", "embedding", "xai"))
    assert total <= 3 * count + 0.2 * count + 11


def test_too_long_a_context_is_a_status(chained: RouterProcess, sim: Simulator) -> None:
    """A stream that cannot begin because the request is too long is a 400 with JSON, not a 200 with
    events."""
    sim.configure("primary", max_model_len=64)
    stream = Stream(chained, body("Hello " * 200, **CHAIN_MODEL))
    assert (stream.status, stream.headers["Content-Type"]) == (400, "application/json")
    assert "maximum context length" in error_of(stream.response)["message"]
    stream.close()


def test_the_state_is_visible(make_chain, sim: Simulator) -> None:
    """Which backend is shut out, why and for how long stands in /admin/status, /stats, the metrics
    and the log."""
    router = make_chain("primary", "second", each={"cooldown": 120})
    sim.refuse("primary")
    ask(router, "Hello", **CHAIN_MODEL)
    told = status(router)["backends"]["primary"]
    assert (told["breaker"], told["cause"], told["fails"]) == ("cooling", "connect", 1)
    assert 100 < told["retry_after_s"] <= 120
    assert router.stats()["backends"]["primary"]["breaker"] == "cooling"
    assert router.metric("airouter_backend_state", backend="primary") == 2
    eventually(lambda: any("Backend primary is cooling after:" in line for line in router.log()))


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100
