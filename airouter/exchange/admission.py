"""Getting a slot of a backend, waiting for it in the queue if need be."""

from collections.abc import Generator, Sequence

from airouter.exchange.exchange import Exchange, Keepalive
from airouter.resilience.limiter import Slot
from airouter.upstream.backend import Backend

_LOOK_ELSEWHERE = 0.1  # seconds between looks at whether another backend has a free slot


class FreeElsewhere(Exception):
    """Another backend had a free slot first: it is taken."""

    def __init__(self, backend: Backend, slot: Slot) -> None:
        super().__init__(backend.name)
        self.backend, self.slot = backend, slot


def admit(
    exchange: Exchange,
    backend: Backend,
    priority: str,
    wait: float,
    *,
    as_good: Sequence[Backend] = (),
) -> Generator[Keepalive, None, Slot]:
    """A slot; the exchange holds it until it is released. Only the waiting for it is limited, not what follows.

    Args:
        wait: seconds to wait at most.
        as_good: backends that may answer instead of one that is full.

    Raises:
        Busy: the queue is full, or the wait was over.
        FreeElsewhere: with the slot of one of `as_good`, which the exchange holds.
    """
    slot = backend.limiter.try_acquire()
    if slot is None:
        slot = yield from _stand_in_line(exchange, backend, priority, wait, as_good)
    exchange.hold(slot.release)
    return slot


def _look_elsewhere(exchange: Exchange, as_good: Sequence[Backend]) -> None:
    for other in as_good:
        if other.in_good_health:
            slot = other.limiter.try_acquire()
            if slot is not None:
                exchange.hold(slot.release)
                raise FreeElsewhere(other, slot)


def _stand_in_line(
    exchange: Exchange, backend: Backend, priority: str, wait: float, as_good: Sequence[Backend]
) -> Generator[Keepalive, None, Slot]:
    ticket = backend.limiter.queue_up(priority)
    exchange.hold(ticket.leave)
    until = exchange.clock.monotonic() + wait
    try:
        while ticket.slot is None:
            _look_elsewhere(exchange, as_good)
            now = exchange.clock.monotonic()
            if now >= until:
                raise backend.limiter.busy(
                    f"no slot of {backend.name!r} became free within {wait:g} s"
                )
            look = now + _LOOK_ELSEWHERE if as_good else until
            yield from exchange.pause(min(until, look), ticket.wake)
        return ticket.fetch()
    finally:
        ticket.leave()
        exchange.drop(ticket.leave)
