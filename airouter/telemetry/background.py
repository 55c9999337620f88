"""A queue for work that requests leave to a background thread, such as log lines and session
files."""

import os
import queue
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

REPORT_EVERY = 60.0  # seconds between reports of dropped items


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
        handle: called with 1..`batch` items, or with an empty list after `tick` idle seconds. It
            may remove items that it has handled from the list.
        limit: maximum queue length; further items are dropped and counted in `dropped`.
        max_bytes: maximum total size of the items waiting or being handled, as given to `put()`;
            the item that exceeds it is still accepted.
        linger: seconds to wait before each batch, to fill it and to spread the work.
        flush_at: queue length from which batches are handled without lingering.
        on_drop: called with the number of items dropped, in the thread that drops them.
    """

    def __init__(
        self,
        handle: Callable[[list[T]], None],
        *,
        name: str,
        limit: int,
        max_bytes: int = sys.maxsize,
        batch: int = 1,
        linger: float = 0.0,
        flush_at: int | None = None,
        tick: float | None = None,
        on_drop: Callable[[int], None] | None = None,
    ) -> None:
        self._handle, self._name, self._batch = handle, name, batch
        self._limit, self._max_bytes = limit, max_bytes
        self._pressed_at, self._pressed_bytes = limit * 3 // 4, max_bytes * 3 // 4
        self._linger, self._tick, self._on_drop = linger, tick, on_drop
        self._flush_at = limit if flush_at is None else flush_at
        self._closed = False
        self._reset()
        after_fork(self._reset)

    def _reset(self) -> None:
        self.dropped = self._reported = 0
        self._reported_at: float | None = None
        self._lock = threading.Lock()
        self._flush_now = threading.Event()
        self._queue: queue.SimpleQueue[tuple[T | _Mark, int]] = queue.SimpleQueue()
        self._bytes = 0
        self._in_hand: list[T] = []
        self._thread: threading.Thread | None = None

    def put(self, item: T, size: int = 0) -> bool:
        """Queue an item of `size` bytes; returns False if it was dropped (queue full or closed)."""
        if self._thread is None:
            self._start()
        if self._closed or self._queue.qsize() >= self._limit or self._bytes >= self._max_bytes:
            self.drop(1)
            return False
        if size:
            with self._lock:
                self._bytes += size
        self._queue.put((item, size))
        return True

    @property
    def pressed(self) -> bool:
        """Whether more than three quarters of the queue are taken. Takes no lock."""
        return self._queue.qsize() > self._pressed_at or self._bytes > self._pressed_bytes

    @property
    def waiting(self) -> bool:
        """Whether anything is queued."""
        return not self._queue.empty()

    @property
    def closed(self) -> bool:
        return self._closed

    def drop(self, count: int) -> None:
        """Count items as dropped."""
        with self._lock:
            self.dropped += count
        if count and self._on_drop is not None:
            self._on_drop(count)

    def unreported(self, now: float, every: float = REPORT_EVERY) -> int:
        """The number of items dropped since the last report, which the caller then reports.

        Args:
            now: monotonic seconds.
            every: 0 is returned for that many seconds after a report.
        """
        if self.dropped == self._reported:
            return 0
        with self._lock:
            if self._reported_at is not None and now - self._reported_at < every:
                return 0
            lost, self._reported = self.dropped - self._reported, self.dropped
            self._reported_at = now
            return lost

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
                entry = self._queue.get(timeout=self._tick)
            except queue.Empty:
                self._guarded([])
                continue
            if (
                self._linger
                and not isinstance(entry[0], _Mark)
                and self._queue.qsize() < self._flush_at
            ):
                self._flush_now.wait(self._linger)
            last = self._take(entry)

    def _take(self, entry: tuple[T | _Mark, int]) -> bool:
        """Handle an item together with those queued after it; returns whether the last mark was
        reached."""
        items: list[T] = []
        marks: list[_Mark] = []
        total = 0
        with suppress(queue.Empty):
            while True:
                item, size = entry
                total += size
                if isinstance(item, _Mark):
                    marks.append(item)
                else:
                    items.append(item)
                if len(items) >= self._batch:
                    break
                entry = self._queue.get_nowait()
        if items:
            self._in_hand = items
            self._guarded(items)
            self._in_hand = []
        if total:
            with self._lock:
                self._bytes -= total
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
        self._queue.put((mark, 0))
        self._flush_now.set()
        return mark.wait(timeout)

    def close(self, timeout: float) -> bool:
        """Handle queued items, then end the thread; later items are dropped. Idempotent.

        Returns:
            False if that took longer than `timeout` seconds. What has not been handled by then is
            dropped, including the item in hand.
        """
        with self._lock:
            first, self._closed = not self._closed, True
        if (thread := self._thread) is not None and thread is not threading.current_thread():
            if first:
                self._queue.put((_Mark(last=True), 0))
            self._flush_now.set()
            thread.join(timeout)
            if thread.is_alive():
                self._abandon()
                return False
        with suppress(queue.Empty):  # items queued after the last mark
            while True:
                self._take(self._queue.get_nowait())
        return True

    def _abandon(self) -> None:
        lost = len(self._in_hand)
        self._in_hand.clear()
        with suppress(queue.Empty):
            while True:
                lost += not isinstance(self._queue.get_nowait()[0], _Mark)
        self._queue.put((_Mark(last=True), 0))
        self.drop(lost)
