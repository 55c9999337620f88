"""The worker process: a thread stays with its client, an answer leaves in one piece, a core per
worker."""

from __future__ import annotations

import errno
import json
import os
import runpy
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from harness import REFUSED, body, content, error_in, eventually

from airouter.runtime import control
from airouter.server.worker import LINGER, REST, Client, Response, Worker
from bench.client import Connection, Endpoint
from bench.router_process import ROOT, RouterProcess

MakeRouter = Callable[..., RouterProcess]


class Sent:
    """A socket that remembers each call."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.calls.append(bytes(data))


def a_response(method: str = "GET", version: tuple[int, int] = (1, 1)) -> tuple[Response, Sent]:
    sent = Sent()
    request = SimpleNamespace(method=method, version=version, should_close=lambda: False)
    return Response(request, sent, Config()), sent


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


def test_a_whole_answer_leaves_in_one_piece() -> None:
    response, sent = a_response()
    response.start_response("200 OK", [("Content-Length", "5")])
    response.write(b"whole")
    response.close()
    assert len(sent.calls) == 1
    head, _, rest = sent.calls[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Length: 5" in head
    assert rest == b"whole"


def test_a_stream_is_framed_piece_by_piece() -> None:
    response, sent = a_response()
    response.start_response("200 OK", [])
    for piece in (b"one", b"", b"x" * 16):
        response.write(piece)
    response.close()
    first, *rest = sent.calls
    assert first.endswith(b"\r\n\r\n3\r\none\r\n")
    assert b"Transfer-Encoding: chunked" in first
    assert rest == [b"10\r\n" + b"x" * 16 + b"\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize(
    ("method", "status"),
    [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")],
)
def test_no_body_where_there_must_be_none(method: str, status: str) -> None:
    response, sent = a_response(method)
    response.start_response(status, [])
    response.write(b"never sent")
    response.close()
    assert b"".join(sent.calls).endswith(b"\r\n\r\n")
    assert b"".join(sent.calls).count(b"\r\n\r\n") == 1


def test_an_answer_without_a_body_still_has_a_head() -> None:
    response, sent = a_response()
    response.start_response("200 OK", [("Content-Length", "0")])
    response.close()
    assert len(sent.calls) == 1
    assert sent.calls[0].endswith(b"Content-Length: 0\r\n\r\n")


def test_http_1_0_gets_no_chunks() -> None:
    response, sent = a_response(version=(1, 0))
    response.start_response("200 OK", [])
    response.write(b"one")
    response.write(b"two")
    response.close()
    assert b"".join(sent.calls).endswith(b"\r\n\r\nonetwo")
    assert b"chunked" not in b"".join(sent.calls)


@pytest.mark.parametrize(
    ("alive", "queued", "buffered", "stays"),
    [(True, 0, b"", True), (False, 0, b"", False), (True, 1, b"", False), (True, 0, b"GET", False)],
)
def test_when_a_thread_waits_for_its_client(
    alive: bool, queued: int, buffered: bytes, stays: bool
) -> None:
    """No waiting if the worker stops, the thread is needed, or the next request is already
    there."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"the next request")
        worker = SimpleNamespace(
            alive=alive, tpool=SimpleNamespace(_work_queue=SimpleNamespace(qsize=lambda: queued))
        )
        unreader = SimpleNamespace(buf=SimpleNamespace(getvalue=lambda: buffered))
        conn = SimpleNamespace(sock=ours, parser=SimpleNamespace(unreader=unreader))
        assert Worker._next_comes(worker, conn) is stays  # type: ignore[arg-type]


def test_a_body_need_not_be_closable(monkeypatch: pytest.MonkeyPatch) -> None:
    """WSGI leaves `close` to the application: a plain list will do."""
    response, sent = a_response()
    monkeypatch.setattr("gunicorn.http.wsgi.create", lambda *_, **__: (response, {}))

    def application(_environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        return [b"whole"]

    worker = SimpleNamespace(
        cfg=None, nr=0, alive=True, keepalived_conns=[], max_keepalived=1, wsgi=application
    )
    conn = SimpleNamespace(sock=sent, client=None, server=None)
    assert Worker.handle_request(worker, None, conn)  # type: ignore[arg-type]
    assert b"".join(sent.calls).endswith(b"whole")


def test_a_client_may_take_its_time_or_send_ahead(router: RouterProcess) -> None:
    """On one connection: at once, after longer than a thread waits, two requests in one piece, and
    at once again."""
    with socket.create_connection(("127.0.0.1", router.port), timeout=20) as sock:
        for pause in (0.0, 3 * LINGER, 0.0):
            time.sleep(pause)
            sock.sendall(wire("Hello"))
            assert answers_on(sock, 1)[0]["object"] == "chat.completion"
        sock.sendall(wire("one") + wire("two"))
        assert len(answers_on(sock, 2)) == 2
        sock.sendall(wire("Hello"))
        assert answers_on(sock, 1)


def test_more_clients_than_threads(make_router: MakeRouter) -> None:
    """Threads that wait for their clients give way to clients that wait for a thread."""
    router = make_router(config={"server": {"threads": 4}})
    failures: list[str] = []

    def client() -> None:
        with Connection(Endpoint.of(router.url), timeout=30) as connection:
            for _ in range(10):
                reply = connection.send(wire("Hello"))
                if reply.status != 200:
                    failures.append(reply.body.decode())

    clients = [threading.Thread(target=client) for _ in range(24)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(60)
    assert not any(thread.is_alive() for thread in clients)
    assert not failures, failures[0]


def test_a_waiting_thread_does_not_delay_the_stop(make_router: MakeRouter) -> None:
    router = make_router()
    with Connection(Endpoint.of(router.url)) as connection:
        assert connection.send(wire("Hello")).status == 200
        started = time.monotonic()
        assert router.stop() == 0
        assert time.monotonic() - started < 6


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


class Listener:
    def __init__(self, *results: int | None) -> None:
        self.results = list(results)
        self.opened = socket.socketpair()

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        number = self.results.pop(0)
        if number is not None:
            raise OSError(number, "refused")
        return self.opened[0], ("127.0.0.1", 1)

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 2)


def an_accepting_worker() -> Any:
    worker: Any = Worker.__new__(Worker)
    worker.cfg, worker.nr_conns, worker.sockets, worker._accepting = Config(), 0, [], True
    worker.log = SimpleNamespace(warning=lambda *_: None)
    worker.queued = []
    worker.enqueue_req = worker.queued.append
    return worker


def test_without_descriptors_new_clients_wait_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop neither dies nor spins, and goes on accepting afterwards."""
    now = [100.0]
    monkeypatch.setattr("airouter.server.worker.Clock.monotonic", lambda: now[0])
    worker = an_accepting_worker()
    listener = Listener(errno.EMFILE, errno.ECONNABORTED, None)
    worker.accept(listener)
    assert (worker._accepting, worker.nr_conns) == (False, 0)
    worker.set_accept_enabled(True)  # what the loop does in each round
    assert not worker._accepting
    now[0] += REST
    worker.set_accept_enabled(True)
    assert worker._accepting
    worker.accept(listener)
    assert (worker.nr_conns, worker.queued) == (0, [])
    worker.accept(listener)
    assert (worker.nr_conns, len(worker.queued)) == (1, 1)


def test_other_failures_to_accept_are_not_hidden() -> None:
    with pytest.raises(OSError, match="refused"):
        an_accepting_worker().accept(Listener(errno.EINVAL))


def test_waiting_for_a_client_takes_no_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = Client(Config(), ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        assert not client.wait_for_data(0.01)
        theirs.send(b"x")
        assert client.wait_for_data(5)
        after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        assert after == before
