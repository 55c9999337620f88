"""Being let in to a backend: a slot, waited for in the queue if need be, and the model's name."""

from collections.abc import Generator, Sequence
from types import TracebackType

from airouter.flow.exchange import Exchange, Keepalive
from airouter.resilience.limiter import Slot
from airouter.upstream.backend import Backend
from airouter.upstream.fetch import fetch_model

_LOOK_ELSEWHERE = 0.1  # seconds between looks at whether another backend has a free slot


class FreeElsewhere(Exception):
    """Another backend had a free slot first: it is taken."""

    def __init__(self, backend: Backend, slot: Slot) -> None:
        super().__init__(backend.name)
        self.backend, self.slot = backend, slot


class Admission:
    """A backend that may be asked now, and the model to ask it for.

    The exchange holds the slot until `close()`, which is idempotent; `with` closes it.
    """

    __slots__ = ("_exchange", "_slot", "backend", "model")

    def __init__(self, exchange: Exchange, backend: Backend, slot: Slot, model: str) -> None:
        self.backend = backend
        self.model = model
        self._exchange = exchange
        self._slot = slot

    def close(self) -> None:
        """Give the slot back."""
        self._slot.release()
        self._exchange.drop(self._slot.release)

    def __enter__(self) -> "Admission":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def enter(
    exchange: Exchange,
    backend: Backend,
    priority: str,
    wait: float,
    *,
    as_good: Sequence[Backend] = (),
    slot: Slot | None = None,
) -> Generator[Keepalive, None, Admission]:
    """Wait for a slot, and read the model's name if it is not known.

    Args:
        wait: seconds to wait at most for the slot; what follows is not limited by it.
        as_good: backends that may answer instead of one that is full.
        slot: one of the backend's that the exchange holds already.

    Raises:
        Busy: the queue is full, or the wait was over.
        FreeElsewhere: with the slot of one of `as_good`, which the exchange holds.
        UpstreamError: the model's name has to be read and cannot be.
    """
    if slot is None:
        slot = yield from admit(exchange, backend, priority, wait, as_good=as_good)
    try:
        model = yield from fetch_model(exchange, backend)
    except BaseException:
        slot.release()
        exchange.drop(slot.release)
        raise
    return Admission(exchange, backend, slot, model)


def enter_at_once(exchange: Exchange, backend: Backend) -> Admission | None:
    """Without waiting; None when no slot is free or the model's name is not known."""
    slot = backend.limiter.try_acquire() if backend.model is not None else None
    if slot is None or backend.model is None:
        return None
    exchange.hold(slot.release)
    return Admission(exchange, backend, slot, backend.model)


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
