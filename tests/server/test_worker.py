"""The worker process: no client can shut the others out, and each worker has a core."""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from harness import REFUSED, Wire, body, content, error_in, eventually, steer

from airouter.runtime import control
from bench.client import Connection, Endpoint
from bench.router_process import ROOT, RouterProcess
from simulator.testing import Simulator

MakeRouter = Callable[..., RouterProcess]


def threads_of(router: RouterProcess) -> int:
    """Of its worker."""
    (worker,) = router.workers
    return len(os.listdir(f"/proc/{worker}/task"))


def sockets_of(pid: int) -> int:
    folder = f"/proc/{pid}/fd"
    links = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
    return sum(link.startswith("socket:") for link in links)


def wire(text: str) -> bytes:
    return Endpoint("127.0.0.1", 1).wire(
        "/v1/chat/completions", body(text, model="ai-router/primary")
    )


def answers_on(sock: socket.socket, count: int) -> list[dict[str, Any]]:
    """So many whole answers, read off one connection."""
    stream = sock.makefile("rb")
    found = []
    for _ in range(count):
        assert stream.readline().startswith(b"HTTP/1.1 200"), "no answer"
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        found.append(json.loads(stream.read(length)))
    return found


def test_a_client_may_take_its_time_or_send_ahead(router: RouterProcess) -> None:
    """On one connection: at once, after a while, two requests in one piece, and at once again."""
    with socket.create_connection(("127.0.0.1", router.port), timeout=20) as sock:
        for pause in (0.0, 0.15, 0.0):
            time.sleep(pause)
            sock.sendall(wire("Hello"))
            assert answers_on(sock, 1)[0]["object"] == "chat.completion"
        sock.sendall(wire("one") + wire("two"))
        assert len(answers_on(sock, 2)) == 2
        sock.sendall(wire("Hello"))
        assert answers_on(sock, 1)


def test_many_more_requests_under_way_than_threads(make_router: MakeRouter, sim: Simulator) -> None:
    """Requests that wait for a backend, and streams, hold no thread."""
    router = make_router(config={"server": {"threads": 4}, "backends": {"primary": {"slots": 200}}})
    slow = steer("Hello", primary={"ttft_ms": 1500, "tokens": 5})
    connections = [Wire(router.port) for _ in range(60)]
    try:
        for number, each in enumerate(connections):
            each.post(
                "/v1/chat/completions",
                body(slow, stream=number % 2 == 0, model="ai-router/primary"),
            )
        sim.wait_for("primary", started=60)
        assert router.get("/health/liveness").status_code == 200
        assert threads_of(router) < 16
    finally:
        for each in connections:
            each.leave()


def test_nobody_can_shut_the_others_out(make_router: MakeRouter) -> None:
    """Silent connections, unfinished heads, unfinished bodies, refused bodies, and answered clients
    that do not close: none takes a thread, and others are served at once."""
    router = make_router(config={"server": {"threads": 64}}, env={"API_KEY": "k"})
    post = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n"
    held = []
    for sent in [
        b"",
        b"GET / HTTP/1.1\r\nX-A: ",
        post + b"\r\n{",
        post + b"Authorization: Bearer k\r\nContent-Type: application/json\r\n\r\n{",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ] * 30:
        held.append(socket.create_connection(("127.0.0.1", router.port), timeout=20))
        held[-1].sendall(sent)
    try:
        started = time.monotonic()
        for _ in range(5):
            assert router.get("/health/liveness").status_code == 200
        assert time.monotonic() - started < 5
        assert threads_of(router) < 40  # 150 connections would take all 64
    finally:
        for sock in held:
            sock.close()


def test_operators_do_not_wait_behind_traffic(make_router: MakeRouter) -> None:
    """All threads are taken by health checks of a backend that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        router = make_router(
            config={
                "server": {"threads": 4},
                "timeouts": {"health": 5},
                "probes": {"enabled": False},
            },
            env={"PRIMARY_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"},
        )
        checks = []
        for _ in range(12):
            checks.append(socket.create_connection(("127.0.0.1", router.port), timeout=20))
            checks[-1].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5)
        started = time.monotonic()
        for path in ("/health/liveness", "/health/readiness", "/metrics", "/admin/status"):
            assert router.get(path).status_code in (200, 503)
        assert time.monotonic() - started < 4
        for each in checks:
            each.close()


def test_a_waiting_connection_does_not_delay_the_stop(make_router: MakeRouter) -> None:
    router = make_router()
    with Connection(Endpoint.of(router.url)) as connection:
        assert connection.send(wire("Hello")).status == 200
        started = time.monotonic()
        assert router.stop() == 0
        assert time.monotonic() - started < 15


def test_new_connections_are_shared_evenly(make_router: MakeRouter) -> None:
    """Not by who is first at the listener."""
    router = make_router(config={"server": {"workers": 2}})
    serving: set[int] = set()

    def both_serve() -> bool:
        answer = requests.get(
            f"{router.url}/admin/status", headers={"Connection": "close"}, timeout=20
        )
        serving.add(answer.json()["pid"])
        return len(serving) == 2

    assert eventually(both_serve, 30)
    held = []
    for _ in range(40):
        held.append(socket.create_connection(("127.0.0.1", router.port), timeout=20))
        time.sleep(0.005)
    try:
        counts = [sockets_of(pid) for pid in router.workers]
        assert eventually(lambda: sum(sockets_of(pid) for pid in router.workers) >= 40), counts
        counts = [sockets_of(pid) for pid in router.workers]
        assert abs(counts[0] - counts[1]) <= 12, counts
    finally:
        for sock in held:
            sock.close()


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system does not tell a process's cores"
)
def test_pinned_workers_share_the_cores_evenly(make_router: MakeRouter) -> None:
    """Each worker has one core; one that dies leaves its core to its successor."""
    cores = os.sched_getaffinity(0)
    workers = 2 * len(cores)
    router = make_router(config={"server": {"workers": workers, "pin": True}})

    def placed() -> list[int] | None:
        found = [os.sched_getaffinity(pid) for pid in router.workers]
        return (
            sorted(core for affinity in found for core in affinity)
            if all(len(affinity) == 1 for affinity in found)
            else None
        )

    assert eventually(lambda: placed() == sorted([*cores, *cores]), 15)
    victim = min(router.workers)
    os.kill(victim, signal.SIGKILL)
    assert eventually(
        lambda: victim not in router.workers and placed() == sorted([*cores, *cores]), 15
    )


def test_a_worker_that_must_not_be_pinned_starts_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(_pid: int, _cores: set[int]) -> None:
        raise PermissionError

    monkeypatch.setenv("PRIMARY_URL", REFUSED)
    monkeypatch.setenv(control.VARIABLE, "/nowhere")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    before = signal.getsignal(signal.SIGINT)  # which the file changes
    conf = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    signal.signal(signal.SIGINT, before)
    monkeypatch.setattr(os, "sched_setaffinity", forbidden, raising=False)
    conf["post_fork"](None, SimpleNamespace(core=0))


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system does not tell a process's cores"
)
def test_pinning_can_be_switched_off(make_router: MakeRouter) -> None:
    router = make_router(env={"PIN": "0"})
    assert [os.sched_getaffinity(pid) for pid in router.workers] == [os.sched_getaffinity(0)]
    assert content(router.post("/v1/chat/completions", body("Hello")))


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 40_000, 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"X-A: 1\r\n" * 200 + b"Host: x", 431, "headers_too_large"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x", 414, "url_too_long"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nNo colon", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA b: 1", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\n folded", 400, "invalid_http"),
        (b"GET / HTTP/9.9\r\nHost: x", 400, "invalid_http"),
        (b"nonsense", 400, "invalid_http"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "invalid_http"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x", 400, "invalid_http"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zstd, chunked",
            501,
            "unsupported_transfer_encoding",
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: cookies", 417, "expectation_failed"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_cannot_be_parsed_is_answered_in_openais_shape(
    router: RouterProcess, sent: bytes, status: int, code: str
) -> None:
    """Never as a page, and the connection ends: where the next request begins is not known."""
    with socket.create_connection(("127.0.0.1", router.port), timeout=20) as sock:
        sock.sendall(sent + b"\r\n\r\n")
        got = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, text = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), got[:300]
    assert b"Connection: close" in head
    error = error_in(json.loads(text))
    assert (error["code"], error["type"]) == (code, "invalid_request_error")


def test_a_browsers_cookies_are_no_reason_to_refuse(router: RouterProcess) -> None:
    assert router.get("/health/liveness", headers={"Cookie": "a" * 20_000}).status_code == 200


def test_a_key_in_a_broken_header_is_not_logged(make_router: MakeRouter) -> None:
    router = make_router()
    with socket.create_connection(("127.0.0.1", router.port), timeout=20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer sk-secret\r\n\r\n")
        got = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b" 400 " in got[:20]
    assert b"sk-secret" not in got
    router.stop()
    assert "sk-secret" not in router.printed() + "\n".join(router.log())
