"""Flows side by side: one wait for all of them."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from doubles import FakeClock

from airouter.flow.side_by_side import SideBySide
from airouter.flow.waits import KEEPALIVE, Wait


def flow(result: str, *items: Any, closed: list[str] | None = None) -> Any:
    try:
        yield from items
        return result
    finally:
        if closed is not None:
            closed.append(result)


def test_it_waits_for_the_earliest() -> None:
    """And hands out results as flows end; keepalives are dropped."""
    side: SideBySide[str] = SideBySide(FakeClock())
    side.add(flow("a", Wait(5.0), KEEPALIVE, Wait(9.0)))
    side.add(flow("b", Wait(3.0)))
    running = side.ended()
    assert next(running) == Wait(3.0, None)
    with pytest.raises(StopIteration) as end:
        next(running)
    assert end.value.value == ["b"]
    assert len(side) == 1


def test_a_second_one_to_be_woken_is_looked_at_often() -> None:
    """A wait has one `wake` only."""
    clock, (one, other) = FakeClock(), socket.socketpair()
    side: SideBySide[str] = SideBySide(clock)
    side.add(flow("a", *[Wait(wake=one)] * 2))
    running = side.ended()
    assert next(running) == Wait(wake=one)
    side.add(flow("b", Wait(wake=other)))
    wait = next(running)
    assert wait.wake is one
    assert wait.until <= clock.monotonic() + 0.1
    one.close()
    other.close()


def test_closing_ends_the_others() -> None:
    """One that fails is gone; each of the others releases what it holds, once."""
    closed: list[str] = []

    def fails() -> Any:
        yield Wait(1.0)
        raise ValueError("x")

    side: SideBySide[str] = SideBySide(FakeClock())
    side.add(flow("a", Wait(5.0), Wait(5.0), closed=closed))
    side.add(fails())
    running = side.ended()
    next(running)
    with pytest.raises(ValueError, match="x"):
        next(running)
    side.close()
    side.close()
    assert closed == ["a"]
    assert len(side) == 0
