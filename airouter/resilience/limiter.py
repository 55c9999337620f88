"""Layers 2 and 3 of backpressure: a limit on a backend's concurrent requests, and a bounded queue
in front of it, first in, first out within each priority."""

import contextlib
import math
import socket
import threading
from collections import deque
from collections.abc import Sequence

from airouter.domain.clock import Clock
from airouter.domain.errors import Busy

PRIORITIES = ("interactive", "meta", "batch")


class Slot:
    """Permission to use a backend. `release()` is idempotent."""

    __slots__ = ("_limiter", "taken_at")

    def __init__(self, limiter: "Limiter", taken_at: float) -> None:
        self._limiter: Limiter | None = limiter
        self.taken_at = taken_at

    def release(self) -> None:
        """Give the slot to the next request in the queue, or free it."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter._release(self)


class Ticket:
    """A place in the queue. `wake` becomes readable when `slot` is set; every holder calls
    `leave()`."""

    def __init__(self, limiter: "Limiter", priority: str) -> None:
        self.slot: Slot | None = None
        self.priority = priority
        self.since = limiter.clock.monotonic()
        self._limiter = limiter
        self.wake, self._bell = socket.socketpair()

    def grant(self) -> None:
        """Give it a slot; called under the limiter's lock, so that a ticket that leaves at the same
        time releases the slot."""
        self.slot = Slot(self._limiter, self._limiter.clock.monotonic())

    def ring(self) -> None:
        """Wake the waiting request, whose slot has been set."""
        with contextlib.suppress(OSError):
            self._bell.send(b"!")

    def leave(self) -> None:
        """Leave the queue and release a slot that was granted but not fetched. Idempotent."""
        slot = self._limiter._forget(self)
        self.wake.close()
        self._bell.close()
        if slot is not None:
            slot.release()

    def fetch(self) -> Slot:
        """Take the granted slot, which the caller then owns."""
        slot, self.slot = self.slot, None
        assert slot is not None, "fetched before it was granted"
        return slot


class Limiter:
    """At most `slots` concurrent requests and `queue` waiting ones, by priority: interactive, meta,
    batch.

    Mutable state: the number of used slots, the queues, and the mean service time; guarded by one
    lock, under which no I/O is done.
    """

    def __init__(self, slots: int, queue: int, clock: Clock) -> None:
        self.slots = slots
        self.queue = queue
        self.clock = clock
        self._lock = threading.Lock()
        self._in_use = 0
        self._waiting: dict[str, deque[Ticket]] = {priority: deque() for priority in PRIORITIES}
        self._service: float | None = None  # seconds that a slot is held, moving average

    @property
    def in_use(self) -> int:
        """Slots in use."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return sum(len(line) for line in self._waiting.values())

    @property
    def full(self) -> bool:
        """Whether a new request would have to wait."""
        return not self._free()

    def try_acquire(self) -> Slot | None:
        """A slot if one is free and no request is waiting for it; otherwise None."""
        with self._lock:
            if not self._free():
                return None
            self._in_use += 1
        return Slot(self, self.clock.monotonic())

    def queue_up(self, priority: str) -> Ticket:
        """Join the queue; the ticket has a slot at once if one is free.

        Args:
            priority: one of `PRIORITIES`.

        Raises:
            Busy: the queue is full.
        """
        ticket = Ticket(self, priority)
        with self._lock:
            full = self.waiting >= self.queue
            if self._free():
                self._in_use += 1
                ticket.grant()
                full = False
            elif not full:
                self._waiting[priority].append(ticket)
        if full:
            ticket.leave()
            raise self.busy("its queue is full")
        return ticket

    def busy(self, why: str) -> Busy:
        """The error for a request that is not admitted, with the expected wait as Retry-After."""
        length, expected = self.waiting, self.expected_wait()
        return Busy(
            f"The backend is busy: {why}. {length} waiting, expected wait {expected:.1f} s; "
            "try again after that.",
            retry_after=max(1, math.ceil(expected)),
            details={"queue_length": length, "expected_wait_s": round(expected, 1)},
        )

    def expected_wait(self) -> float:
        """Expected wait of a new request in seconds, by the average service time (1 s until there
        is one)."""
        return (
            (self.waiting + 1) * (self._service if self._service is not None else 1.0) / self.slots
        )

    def _release(self, slot: Slot) -> None:
        held = self.clock.monotonic() - slot.taken_at
        with self._lock:
            self._service = held if self._service is None else 0.8 * self._service + 0.2 * held
            self._in_use -= 1
            granted = self._admit()
        for ticket in granted:
            ticket.ring()

    # Under the lock; `shares.py` has its own.

    def _free(self) -> bool:
        """Whether a slot is free and no request is waiting for it."""
        return self._in_use < self.slots and not any(self._waiting.values())

    def _admit(self) -> Sequence[Ticket]:
        """Grant what is free now to waiting requests; their tickets."""
        if self._in_use >= self.slots or (ticket := self._next()) is None:
            return ()
        self._in_use += 1
        ticket.grant()
        return (ticket,)

    def _next(self) -> Ticket | None:
        for priority in PRIORITIES:
            if self._waiting[priority]:
                return self._waiting[priority].popleft()
        return None

    def _forget(self, ticket: Ticket) -> Slot | None:
        with self._lock:
            with contextlib.suppress(ValueError):
                self._waiting[ticket.priority].remove(ticket)
            slot, ticket.slot = ticket.slot, None
            return slot
