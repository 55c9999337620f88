from types import SimpleNamespace

import pytest

from airouter.runtime.process import Runtime


@pytest.mark.parametrize("pressed", [None, "log", "sessions", "console"])
def test_a_process_is_pressed_if_any_of_its_queues_is(pressed):
    log, sessions, console = (
        SimpleNamespace(pressed=name == pressed) for name in ("log", "sessions", "console")
    )
    parts = dict.fromkeys(("clock", "metrics", "stats"))
    runtime = Runtime(None, None, None, log=log, sinks=(), writers=(sessions, console), **parts)
    assert runtime.pressed is (pressed is not None)
