"""The pause of a backend, which always ends."""

from __future__ import annotations

from doubles import FakeClock

from airouter.resilience.pause import Pause


def test_a_pause_ends_by_itself() -> None:
    """A pause ends when its time limit has passed."""
    clock = FakeClock()
    pause = Pause(clock)
    pause.begin("model swap", 30)
    clock.move(29.9)
    assert pause.reason == "model swap"
    assert 0 < pause.seconds_left() < 0.2
    clock.move(0.1)
    assert pause.reason is None
    assert pause.seconds_left() == 0


def test_a_pause_can_be_ended() -> None:
    """`completed` ends it at once; without a pause, nothing happens."""
    pause = Pause(FakeClock())
    pause.end()
    pause.begin("loading", 30)
    pause.end()
    assert (pause.reason, pause.seconds_left()) == (None, 0)


def test_a_pause_is_extended_and_never_cut_short() -> None:
    """If two overlap, the later end counts."""
    clock = FakeClock()
    pause = Pause(clock)
    pause.begin("model swap", 30)
    pause.begin("loading", 10)
    assert (pause.reason, pause.seconds_left()) == ("model swap", 30)
    pause.begin("loading", 60)
    assert (pause.reason, pause.seconds_left()) == ("loading", 60)


def test_a_new_pause_after_an_old_one() -> None:
    """A pause that has ended does not affect a shorter one."""
    clock = FakeClock()
    pause = Pause(clock)
    pause.begin("model swap", 30)
    clock.move(31)
    pause.begin("loading", 5)
    assert (pause.reason, pause.seconds_left()) == ("loading", 5)
