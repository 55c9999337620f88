"""Getting a slot of a backend, waiting for it in the queue if need be."""

from collections.abc import Generator

from airouter.exchange.exchange import Exchange, Keepalive
from airouter.resilience.limiter import Slot
from airouter.upstream.backend import Backend


def admit(
    exchange: Exchange, backend: Backend, priority: str, wait: float
) -> Generator[Keepalive, None, Slot]:
    """A slot; the exchange holds it until it is released. Only the waiting for it is limited, not what follows.

    Args:
        wait: seconds to wait at most.

    Raises:
        Busy: the queue is full, or the wait was over.
    """
    slot = backend.limiter.try_acquire()
    if slot is None:
        slot = yield from _stand_in_line(exchange, backend, priority, wait)
    exchange.hold(slot.release)
    return slot


def _stand_in_line(
    exchange: Exchange, backend: Backend, priority: str, wait: float
) -> Generator[Keepalive, None, Slot]:
    ticket = backend.limiter.queue_up(priority)
    exchange.hold(ticket.leave)
    until = exchange.clock.monotonic() + wait
    try:
        while ticket.slot is None:
            if exchange.clock.monotonic() >= until:
                raise backend.limiter.busy(
                    f"no slot of {backend.name!r} became free within {wait:g} s"
                )
            yield from exchange.pause(until, ticket.wake)
        return ticket.fetch()
    finally:
        ticket.leave()
        exchange.drop(ticket.leave)
