"""A pause: a backend that is busy with itself for a while, and never for ever."""

from __future__ import annotations

from doubles import FakeClock

from airouter.resilience.pause import Pause


def test_a_pause_ends_by_itself() -> None:
    """A pause ends automatically when its time is over."""
    clock = FakeClock()
    pause = Pause(clock)
    pause.begin("model swap", 30)
    clock.move(29.9)
    assert pause.reason == "model swap"
    assert 0 < pause.seconds_left() < 0.2
    clock.move(0.1)
    assert pause.reason is None
    assert pause.seconds_left() == 0


def test_a_pause_ends_when_it_is_said_to() -> None:
    """`completed` ends it at once, and ending none is nothing."""
    pause = Pause(FakeClock())
    pause.end()
    pause.begin("loading", 30)
    pause.end()
    assert (pause.reason, pause.seconds_left()) == (None, 0)


def test_a_pause_is_extended_and_never_cut_short() -> None:
    """Of two that overlap the later end counts."""
    clock = FakeClock()
    pause = Pause(clock)
    pause.begin("model swap", 30)
    pause.begin("loading", 10)
    assert (pause.reason, pause.seconds_left()) == ("model swap", 30)
    pause.begin("loading", 60)
    assert (pause.reason, pause.seconds_left()) == ("loading", 60)


def test_a_new_pause_after_an_old_one() -> None:
    """One that has run out does not count against a shorter one."""
    clock = FakeClock()
    pause = Pause(clock)
    pause.begin("model swap", 30)
    clock.move(31)
    pause.begin("loading", 5)
    assert (pause.reason, pause.seconds_left()) == ("loading", 5)
