import threading

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
