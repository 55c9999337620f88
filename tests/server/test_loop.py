"""The loop: sockets, timers that move, calls from other threads, and faults that stay where they
are."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from doubles import FakeClock

from airouter.domain.clock import Clock
from airouter.flow.waits import INFINITY
from airouter.server.loop import READ, Loop, Timer


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop(Clock())
    yield made
    made.close()


def test_timers_ring_in_order_and_may_move() -> None:
    clock = FakeClock()
    loop = Loop(clock)
    rung: list[str] = []
    timers = {name: Timer(partial(rung.append, name)) for name in "abcd"}
    begin = clock.monotonic()
    for name, due in [("a", 3), ("b", 1), ("c", 2), ("d", 1)]:
        loop.at(timers[name], begin + due)
    loop.at(timers["b"], begin + 2.5)  # later
    loop.at(timers["a"], begin + 0.5)  # earlier
    loop.at(timers["d"], INFINITY)  # never
    for _ in range(8):
        clock.move(0.5)
        loop.round(wait=False)
    assert rung == ["a", "c", "b"]
    loop.at(timers["a"], clock.monotonic())
    loop.round(wait=False)
    assert rung[3:] == ["a"]
    loop.close()


def test_a_timer_that_moves_with_each_chunk_has_one_entry(loop: Loop) -> None:
    timer = Timer(lambda: None)
    for number in range(1000):
        loop.at(timer, loop.now() + 100 + number)
    assert len(loop._timers) == 1


def test_another_thread_wakes_it(loop: Loop) -> None:
    done = threading.Event()
    loop.at(Timer(lambda: None), loop.now() + 60)
    threading.Thread(target=lambda: loop.call(done.set)).start()
    for _ in range(5):
        loop.round()  # a second at most
        if done.is_set():
            return
    pytest.fail("not woken")


def test_a_fault_does_not_end_it(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    rung: list[int] = []

    def broken(_events: int = 0) -> None:
        raise RuntimeError

    with ours, theirs:
        loop.watch(ours.fileno(), READ, broken)
        theirs.send(b"x")
        loop.call(broken)
        loop.at(Timer(broken), loop.now())
        loop.at(Timer(lambda: rung.append(1)), loop.now())
        loop.round(wait=False)
        loop.forget(ours.fileno())
        loop.forget(ours.fileno())  # twice is allowed
    assert rung == [1]
    assert len(caplog.records) == 3


def test_a_descriptor_that_was_closed_first_can_be_forgotten(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    loop.watch(number, READ, lambda _: None)
    ours.close()
    loop.forget(number)
    again, other = socket.socketpair()
    assert number in (again.fileno(), other.fileno())
    loop.watch(number, READ, lambda _: None)
    loop.forget(number)
    for sock in (theirs, again, other):
        sock.close()
