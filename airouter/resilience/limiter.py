"""Layers 2 and 3 of the backpressure: a cap on what a backend works on at once, and a bounded, fair queue before it."""

import contextlib
import math
import socket
import threading
from collections import deque

from airouter.domain.clock import Clock
from airouter.domain.errors import Busy

PRIORITIES = ("interactive", "meta", "batch")


class Slot:
    """The right to use a backend. Released exactly once, however often `release()` is called."""

    __slots__ = ("_limiter", "taken_at")

    def __init__(self, limiter: "Limiter", taken_at: float) -> None:
        self._limiter: Limiter | None = limiter
        self.taken_at = taken_at

    def release(self) -> None:
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter._release(self)


class Ticket:
    """A place in the queue. `wake` becomes readable when `slot` is there; who leaves calls `leave()`."""

    def __init__(self, limiter: "Limiter", priority: str) -> None:
        self.slot: Slot | None = None
        self.priority = priority
        self._limiter = limiter
        self.wake, self._bell = socket.socketpair()

    def ring(self) -> None:
        """Wake the waiting thread; its slot is in the ticket already."""
        with contextlib.suppress(OSError):
            self._bell.send(b"!")

    def leave(self) -> None:
        """Give the place up, and a slot that was granted but not fetched. Idempotent."""
        slot = self._limiter._forget(self)
        self.wake.close()
        self._bell.close()
        if slot is not None:
            slot.release()

    def fetch(self) -> Slot:
        """Take the granted slot out of the ticket; the caller owns it from here."""
        slot, self.slot = self.slot, None
        assert slot is not None, "fetched before it was granted"
        return slot


class Limiter:
    """At most `slots` at once; at most `queue` waiting, interactive before META before batch.

    Mutable state: how many slots are taken, who waits, the mean service time; guarded by one lock, no I/O inside but
    the one-byte wake-up.
    """

    def __init__(self, slots: int, queue: int, clock: Clock) -> None:
        self.slots = slots
        self.queue = queue
        self.clock = clock
        self._lock = threading.Lock()
        self._in_use = 0
        self._waiting: dict[str, deque[Ticket]] = {priority: deque() for priority in PRIORITIES}
        self._service: float | None = None  # seconds a slot is held, moving mean

    @property
    def in_use(self) -> int:
        return self._in_use

    @property
    def waiting(self) -> int:
        return sum(len(line) for line in self._waiting.values())

    @property
    def full(self) -> bool:
        """Whether who comes now would have to wait."""
        return self._in_use >= self.slots or self.waiting > 0

    def try_acquire(self) -> Slot | None:
        """A slot if one is free and nobody waits for it."""
        with self._lock:
            if self._in_use >= self.slots or any(self._waiting.values()):
                return None
            self._in_use += 1
        return Slot(self, self.clock.monotonic())

    def queue_up(self, priority: str) -> Ticket:
        """Join the queue.

        Raises:
            Busy: the queue is full.
        """
        ticket = Ticket(self, priority)
        with self._lock:
            full = self.waiting >= self.queue
            if self._in_use < self.slots and not any(self._waiting.values()):
                self._in_use += 1
                ticket.slot = Slot(self, self.clock.monotonic())
                full = False
            elif not full:
                self._waiting[priority].append(ticket)
        if full:
            ticket.leave()
            raise self.busy("its queue is full")
        return ticket

    def busy(self, why: str) -> Busy:
        """The error for who is not admitted, with what they need to decide when to come back."""
        length, expected = self.waiting, self.expected_wait()
        return Busy(
            f"The backend is busy: {why}. {length} waiting, expected wait {expected:.1f} s; "
            "try again after that.",
            retry_after=max(1, math.ceil(expected)),
            details={"queue_length": length, "expected_wait_s": round(expected, 1)},
        )

    def expected_wait(self) -> float:
        """Seconds until who joins now would be served, from the observed service time (1 s while nothing was observed)."""
        return (
            (self.waiting + 1) * (self._service if self._service is not None else 1.0) / self.slots
        )

    def _release(self, slot: Slot) -> None:
        held = self.clock.monotonic() - slot.taken_at
        with self._lock:
            self._service = held if self._service is None else 0.8 * self._service + 0.2 * held
            ticket = self._next()
            if ticket is None:
                self._in_use -= 1
            else:  # under the lock: a ticket that leaves meanwhile finds its slot and gives it back
                ticket.slot = Slot(self, self.clock.monotonic())
        if ticket is not None:
            ticket.ring()

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
