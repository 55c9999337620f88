"""One limit over several backends, for example of models on the same machine: so many requests to
all of them together, and, where only one model is loaded at a time, to one of them only.

Each backend keeps its own queue. Who is next:

- Not exclusive: the request of the highest priority, then the one that has waited longest.
- Exclusive: while a backend has requests in flight, only its own are admitted. Once a request to
  another one has waited for `PATIENCE` seconds, none that came after it is admitted any more, so
  that the backend in use becomes idle and the other has its turn. The longest wait is therefore
  `PATIENCE` and the rest of the requests in flight, for each backend that is ahead.
"""

import threading
from collections.abc import Sequence

from airouter.domain.clock import Clock
from airouter.resilience.limiter import PRIORITIES, Limiter, Slot, Ticket

# Seconds. Shorter than `queue.wait` (5 s), so that some of it is left for requests in flight; long
# enough that models are not swapped with every request.
PATIENCE = 2.0
_Order = tuple[int, int, float]


class Share:
    """What limiters share: their lock, and the number of slots. Mutable state: the list of its
    limiters, which is complete before the first request.

    Args:
        slots: at most so many requests in flight, of all backends together.
        exclusive: of one backend at a time only.
    """

    def __init__(self, slots: int, *, exclusive: bool) -> None:
        self.slots = slots
        self.exclusive = exclusive
        self.lock = threading.Lock()
        self.limiters: list[SharedLimiter] = []


class SharedLimiter(Limiter):
    """The limiter of one backend in a share: as `Limiter`, under the lock of the share."""

    def __init__(self, share: Share, slots: int, queue: int, clock: Clock) -> None:
        super().__init__(min(slots, share.slots), queue, clock)
        self._share = share
        self._lock = share.lock
        share.limiters.append(self)

    def _free(self) -> bool:
        if not super()._free() or not self._has_room():
            return False
        now = self.clock.monotonic()
        waiting = [order for order, _, _ in self._heads(now)]
        return not any(order[0] == 0 for order in waiting) if self._share.exclusive else not waiting

    def _has_room(self) -> bool:
        """Whether the share admits one more request of this backend, were none waiting."""
        share = self._share
        if sum(limiter._in_use for limiter in share.limiters) >= share.slots:
            return False
        return not share.exclusive or not any(
            limiter._in_use for limiter in share.limiters if limiter is not self
        )

    def _admit(self) -> Sequence[Ticket]:
        granted: list[Ticket] = []
        now = self.clock.monotonic()
        while (chosen := self._choose(now)) is not None:
            ticket = chosen._next()
            assert ticket is not None
            chosen._in_use += 1
            ticket.grant()
            granted.append(ticket)
        return granted

    def _choose(self, now: float) -> "SharedLimiter | None":
        """The limiter whose request is admitted next; None: no request can be admitted now."""
        for order, _, limiter in sorted(self._heads(now)):
            if limiter._has_room():
                return limiter
            if order[0] == 0:  # it has waited long enough: the others let it pass
                return None
        return None

    def _heads(self, now: float) -> list[tuple[_Order, int, "SharedLimiter"]]:
        """The backends for which a request waits that their own slots would admit, and in which
        order they have their turn: those that have waited too long first."""
        heads: list[tuple[_Order, int, SharedLimiter]] = []
        for index, limiter in enumerate(self._share.limiters):
            lines = [line for line in map(limiter._waiting.__getitem__, PRIORITIES) if line]
            if lines and limiter._in_use < limiter.slots:
                head, longest = lines[0][0], min(line[0].since for line in lines)
                if now - longest >= PATIENCE:
                    order: _Order = (0, 0, longest)
                else:
                    order = (1, PRIORITIES.index(head.priority), head.since)
                heads.append((order, index, limiter))
        return heads

    def _forget(self, ticket: Ticket) -> Slot | None:
        slot = super()._forget(ticket)
        with self._lock:  # others may have been waiting for this one
            granted = self._admit()
        for one in granted:
            one.ring()
        return slot
