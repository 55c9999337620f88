"""All clients of a worker: first come, first served; none can shut the others out."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loop_rig import CLOCK, GET, Rig, hello, replying

from airouter.flow.exchange import Exchange
from airouter.flow.reply import Sending
from airouter.server import clients as module
from airouter.server.connection import Limits

MakeRig = Callable[..., Rig]


@pytest.fixture
def make() -> Iterator[MakeRig]:
    made: list[Rig] = []

    def rig(*args: Any, **changes: Any) -> Rig:
        made.append(Rig(*args, **changes))
        return made[-1]

    yield rig
    for each in made:
        each.close()


def never(exchange: Exchange, _environ: Any, _start: Any) -> Sending:
    while True:
        yield from exchange.wait()  # type: ignore[misc]


def test_first_come_first_served(make: MakeRig) -> None:
    order: list[str] = []

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        order.append(environ["PATH_INFO"])
        return hello(environ, start)

    rig = make(app)
    socks = [rig.connect() for _ in range(20)]
    for number, sock in enumerate(socks):
        sock.sendall(GET.replace(b"/ ", b"/%d " % number))
        for _ in range(3):
            rig.loop.round(wait=False)  # reads, and serves nothing yet
    rig.step()
    assert order == [f"/{number}" for number in range(20)]


def test_a_crowd_of_new_requests_does_not_stop_what_is_under_way(
    make: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two rounds only so many are begun."""
    monkeypatch.setattr(module, "_BUDGET", 0.0)
    rig = make()
    for _ in range(5):
        rig.connect(GET, accepted=False)
    until = CLOCK.monotonic() + 10
    while len(rig.clients._ready) < 5 and CLOCK.monotonic() < until:
        rig.loop.round(wait=False)
    rig.clients.serve()
    assert len(rig.clients._ready) == 4
    assert rig.clients.waiting


def test_when_full_the_longest_idle_makes_room(make: MakeRig) -> None:
    rig = make(most=3)
    first, second, third = (rig.connect() for _ in range(3))
    first.sendall(GET)
    assert rig.read(first, b"hi")  # which makes the second the longest idle
    fourth = rig.connect(GET, accepted=False)
    assert rig.read(fourth, b"hi")
    assert rig.read(second) == b""
    for sock in (first, third):
        sock.sendall(GET)
        assert rig.read(sock, b"hi")


def test_when_all_are_busy_new_clients_wait(make: MakeRig) -> None:
    rig = make(replying(never), most=2)
    busy = [rig.connect(GET) for _ in range(2)]
    rig.until(lambda: not rig.clients._idle)
    rig.connect(GET, accepted=False)
    rig.step(0.1)
    assert len(rig.clients.connections) == 2
    before = set(rig.clients.connections)
    busy[0].close()
    rig.until(lambda: len(set(rig.clients.connections) - before) == 1)


@pytest.mark.parametrize("idle", [True, False])
def test_without_descriptors_somebody_idle_makes_room_or_new_clients_wait(
    make: MakeRig, monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    """The loop neither dies nor spins, and goes on accepting afterwards."""
    monkeypatch.setattr(module, "REST", 0.2)
    rig = make(hello if idle else replying(never))
    rig.connect(*(() if idle else (GET,)))
    rig.step()
    real, left = rig.listener.accept, [errno.ECONNABORTED, errno.EMFILE]

    class Failing:
        def accept(self) -> Any:
            if left:
                raise OSError(left.pop(), "no")
            return real()

        def __getattr__(self, name: str) -> Any:
            return getattr(rig.listener, name)

    rig.clients.accept(False)
    rig.clients._listeners = [Failing()]
    rig.clients.accept(True)
    rig.connect(accepted=False)
    rig.until(lambda: not left)
    rig.until(lambda: len(rig.clients.connections) == (1 if idle else 2))
    assert rig.warned == ["No file descriptors left (ulimit -n): new clients wait."]


def test_requests_wait_a_second_at_most_for_records_to_be_written(
    make: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HELD", 0.5)
    pressed = [True]
    rig = make(pressed=lambda: pressed[0])
    sock, begun = rig.connect(GET), CLOCK.monotonic()
    rig.step(0.1)
    assert not rig.clients.waiting, "nothing can be done meanwhile"
    pressed[0] = False
    assert rig.read(sock, b"hi")
    pressed[0] = True
    begun = CLOCK.monotonic()
    sock.sendall(GET)
    assert rig.read(sock, b"hi")
    assert CLOCK.monotonic() - begun >= 0.4


def test_a_proxy_may_say_that_its_client_used_https(make: MakeRig) -> None:
    def scheme(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        return [environ["wsgi.url_scheme"].encode() + b"."]

    said = GET.replace(b"Host", b"X-Forwarded-Proto: https\r\nHost")
    for trusted, expected in [(True, b"https."), (False, b"http.")]:
        rig = make(scheme, trusts=lambda _, trusted=trusted: trusted)
        assert expected in rig.read(rig.connect(said), b".")


def test_stopping_finishes_what_is_under_way(
    make: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STOPPING", 0.2)
    go = threading.Event()

    def slow(exchange: Exchange, _environ: Any, start: Any) -> Sending:
        while not go.is_set():
            yield from exchange.wait(CLOCK.monotonic() + 0.01)  # type: ignore[misc]
        start("200 OK", [("Content-Length", "2")])
        yield b"hi"

    rig = make(replying(slow), limits=Limits(head=60, write=60, idle=60))
    busy, idle = rig.connect(GET), rig.connect()
    late = rig.connect()
    rig.step()
    rig.clients.stop()
    late.sendall(GET)  # it was on its way
    assert rig.read(idle) == b""
    assert len(rig.clients.connections) == 2
    go.set()
    for sock in (busy, late):
        assert rig.read(sock).endswith(b"hi")
    rig.until(lambda: not rig.clients.connections)


def test_a_crowd_of_clients_leaves_nothing_behind(make: MakeRig) -> None:
    rig = make(replying(never))
    rig.connect(GET).close()
    rig.until(lambda: not rig.clients.connections)
    before = len(os.listdir("/dev/fd"))
    for _ in range(50):
        rig.connect(GET, accepted=False).close()
        rig.connect(b"GET", accepted=False).close()
        rig.connect(accepted=False).close()
        rig.step(0.002)
    rig.step(0.2)
    rig.until(lambda: not rig.clients.connections)
    assert len(os.listdir("/dev/fd")) <= before
    assert not rig.clients._idle


def test_all_that_waited_are_served_although_records_are_still_not_written(
    make: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anything else happening that would wake the loop."""
    monkeypatch.setattr(module, "_HELD", 0.1)
    monkeypatch.setattr(module, "_BUDGET", 0.0)  # one at a time
    rig = make(pressed=lambda: True)
    for _ in range(5):
        rig.connect(GET, accepted=False)
    until = CLOCK.monotonic() + 10
    while len(rig.clients._ready) < 5 and CLOCK.monotonic() < until:
        rig.loop.round(wait=False)
    while rig.clients._ready and CLOCK.monotonic() < until:
        rig.loop.round(wait=not rig.clients.waiting)
        rig.clients.serve()
    assert CLOCK.monotonic() < until - 7, "each waited for the loop's longest round"
