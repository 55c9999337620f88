import threading

import pytest

from airouter.telemetry.background import Background


def test_a_full_queue_drops_and_counts():
    gate, handled = threading.Event(), []

    def handle(items):
        gate.wait(20)
        handled.extend(items)

    background = Background(handle, name="test", limit=10)
    accepted = sum(background.put(number) for number in range(100))
    assert 10 <= accepted <= 12  # the thread may already hold one
    assert background.dropped == 100 - accepted
    assert not background.flush(0.01)
    gate.set()
    assert background.close(20)
    assert len(handled) == accepted


def test_a_failing_handler_does_not_end_the_thread():
    seen = []

    def handle(items):
        if items == [1]:
            raise ValueError
        seen.extend(items)

    background = Background(handle, name="test", limit=10)
    background.put(1)
    background.put(2)
    assert background.close(20)
    assert seen == [2]
    assert background.dropped == 1


def test_close_handles_the_items_if_no_thread_can_start(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    seen = []
    background = Background(seen.extend, name="test", limit=10)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert background.put("last words")
    assert background.close(1)
    assert seen == ["last words"]


@pytest.fixture
def blocked():
    """A handler that waits for `gate`, and what it has handled."""

    class Blocked:
        gate, entered, handled = threading.Event(), threading.Event(), []

        def __call__(self, items):
            self.entered.set()
            self.gate.wait(20)
            self.handled += items

    handler = Blocked()
    handler.handled = []
    yield handler
    handler.gate.set()


def test_a_queue_is_pressed_before_it_is_full(blocked):
    background = Background(blocked, name="test", limit=8)
    background.put("in hand")
    assert blocked.entered.wait(20)
    pressed = []
    for number in range(8):
        assert background.put(number)
        pressed.append(background.pressed)
    assert pressed == [False] * 6 + [True] * 2
    assert not background.put("too many")
    blocked.gate.set()
    assert background.flush(20)
    assert not background.pressed


def test_a_queue_is_bounded_by_bytes_until_the_items_are_handled(blocked):
    background = Background(blocked, name="test", limit=100, max_bytes=1000)
    background.put("in hand", 800)
    assert blocked.entered.wait(20)
    assert background.pressed
    assert background.put("large", 5000)  # one may exceed the limit, or would never be accepted
    assert not background.put("late", 1)
    blocked.gate.set()
    assert background.flush(20)
    assert not background.pressed
    assert background.put("fits", 900)
    assert background.dropped == 1


def test_drops_are_announced_and_reported_at_most_once_a_minute(blocked):
    announced = []
    background = Background(blocked, name="test", limit=1, on_drop=announced.append)
    assert background.unreported(0) == 0
    background.put("in hand")
    assert blocked.entered.wait(20)
    background.put("waiting")
    reports = []
    for second in (0, 30, 59, 60, 61):
        background.put("dropped")
        reports.append(background.unreported(second))
    assert reports == [1, 0, 0, 3, 0]
    assert background.unreported(62, every=0) == 1
    assert announced == [1] * 5


def test_what_close_cannot_wait_for_is_dropped_and_counted(blocked):
    background = Background(blocked, name="test", limit=10, batch=2)
    for number in range(7):
        background.put(number)
    assert blocked.entered.wait(20)
    assert not background.close(0.01)
    assert background.dropped == 7
    assert not background.waiting or background.flush(0.01) is False
    blocked.gate.set()
    assert background.close(20)  # the thread ends
    assert background.dropped == 7
    assert blocked.handled == []


def test_a_patient_producer_loses_nothing():
    """Nothing is dropped if it pauses while the queue is pressed."""
    handled = []
    background = Background(handled.extend, name="test", limit=40, batch=8)
    for number in range(5_000):
        while background.pressed:
            threading.Event().wait(0.001)
        assert background.put(number)
    assert background.close(20)
    assert handled == list(range(5_000))
