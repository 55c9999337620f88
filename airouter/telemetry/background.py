"""A queue for work that requests leave to a background thread, such as log lines and session
files."""

import os
import queue
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class _Mark(threading.Event):
    """A marker in the queue; set once all items before it have been handled."""

    def __init__(self, last: bool = False) -> None:
        super().__init__()
        self.last = last


def after_fork(method: Callable[[], None]) -> None:
    """Run a bound method in every forked child, before other code, as long as its object lives."""
    reference = weakref.WeakMethod(method)

    def run() -> None:
        if (alive := reference()) is not None:
            alive()

    os.register_at_fork(after_in_child=run)


class Background(Generic[T]):
    """A bounded queue processed in batches by a daemon thread, which starts with the first item.

    A fork copies the queue but not the thread, and the queued items belong to the parent; a child
    therefore starts with an empty queue and its own thread. `put()` never raises or blocks.

    Args:
        handle: called with 1..`batch` items, or with an empty list after `tick` idle seconds.
        limit: maximum queue length; further items are dropped and counted in `dropped`.
        linger: seconds to wait before each batch, to fill it and to spread the work.
        flush_at: queue length from which batches are handled without lingering.
    """

    def __init__(
        self,
        handle: Callable[[list[T]], None],
        *,
        name: str,
        limit: int,
        batch: int = 1,
        linger: float = 0.0,
        flush_at: int | None = None,
        tick: float | None = None,
    ) -> None:
        self._handle, self._name, self._limit, self._batch = handle, name, limit, batch
        self._linger, self._tick = linger, tick
        self._flush_at = limit if flush_at is None else flush_at
        self._closed = False
        self._reset()
        after_fork(self._reset)

    def _reset(self) -> None:
        self.dropped = 0
        self._lock = threading.Lock()
        self._flush_now = threading.Event()
        self._queue: queue.SimpleQueue[T | _Mark] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, item: T) -> bool:
        """Queue an item; returns False if it was dropped (queue full, or closed)."""
        if self._thread is None:
            self._start()
        if self._closed or self._queue.qsize() >= self._limit:
            self.drop(1)
            return False
        self._queue.put(item)
        return True

    def drop(self, count: int) -> None:
        """Count items as dropped."""
        with self._lock:
            self.dropped += count

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                # Threads cannot start during interpreter shutdown; close() handles the items then.
                with suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def _run(self) -> None:
        last = False
        while not last:
            try:
                item = self._queue.get(timeout=self._tick)
            except queue.Empty:
                self._guarded([])
                continue
            if (
                self._linger
                and not isinstance(item, _Mark)
                and self._queue.qsize() < self._flush_at
            ):
                self._flush_now.wait(self._linger)
            last = self._take(item)

    def _take(self, item: T | _Mark) -> bool:
        """Handle an item together with those queued after it; returns whether the last mark was
        reached."""
        items: list[T] = []
        marks: list[_Mark] = []
        with suppress(queue.Empty):
            while True:
                if isinstance(item, _Mark):
                    marks.append(item)
                else:
                    items.append(item)
                if len(items) >= self._batch:
                    break
                item = self._queue.get_nowait()
        if items:
            self._guarded(items)
        if marks:
            self._flush_now.clear()
        for mark in marks:
            mark.set()
        return any(mark.last for mark in marks)

    def _guarded(self, items: list[T]) -> None:
        try:
            self._handle(items)
        except Exception:  # a bad item must not end the thread
            self.drop(len(items))

    def flush(self, timeout: float) -> bool:
        """Wait until all items queued so far have been handled; returns False after `timeout`
        seconds."""
        if self._thread is None or not self._thread.is_alive():
            return self._queue.empty()
        mark = _Mark()
        self._queue.put(mark)
        self._flush_now.set()
        return mark.wait(timeout)

    def close(self, timeout: float) -> bool:
        """Handle queued items, then end the thread; later items are dropped. Idempotent.

        Returns:
            False if that took longer than `timeout` seconds.
        """
        with self._lock:
            first, self._closed = not self._closed, True
        if (thread := self._thread) is not None and thread is not threading.current_thread():
            if first:
                self._queue.put(_Mark(last=True))
            self._flush_now.set()
            thread.join(timeout)
            if thread.is_alive():
                return False
        with suppress(queue.Empty):  # items queued after the last mark
            while True:
                self._take(self._queue.get_nowait())
        return True
