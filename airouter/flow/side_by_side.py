"""Several flows of one exchange, advanced side by side by one flow."""

from collections.abc import Generator
from typing import Generic, TypeVar

from airouter.domain.clock import Clock
from airouter.flow.waits import INFINITY, Wait, Waiting

T = TypeVar("T")
# Seconds between looks while several flows wait to be woken, because a wait has one `wake`.
_LOOK = 0.05


class SideBySide(Generic[T]):
    """Advances its flows in turn and waits for all of them at once. Their keepalives are dropped.

    Belongs to the exchange's thread. `close()` is idempotent.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flows: list[Waiting[T]] = []

    def __len__(self) -> int:
        """How many have not ended."""
        return len(self._flows)

    def add(self, flow: Waiting[T]) -> None:
        """Advance this one as well, from the next `ended()` on."""
        self._flows.append(flow)

    def ended(self) -> Waiting[list[T]]:
        """Wait until at least one flow has ended; the results of those that have.

        Raises:
            BaseException: that of the first flow that fails; the others go on until `close()`.
        """
        while True:
            results, waits = [], []
            for flow in [*self._flows]:
                try:
                    waits.append(_advanced(flow))
                except StopIteration as end:
                    self._flows.remove(flow)
                    results.append(end.value)
                except BaseException:
                    self._flows.remove(flow)
                    raise
            if results:
                return results
            wakes = [wait.wake for wait in waits if wait.wake is not None]
            look = self._clock.monotonic() + _LOOK if len(wakes) > 1 else INFINITY
            until = min(look, *(wait.until for wait in waits))
            yield Wait(until, wakes[0] if wakes else None)

    def close(self) -> None:
        """End those that have not ended: each releases what it holds."""
        while self._flows:
            self._flows.pop().close()


def _advanced(flow: Generator[object, None, T]) -> Wait:
    """The flow's next wait.

    Raises:
        StopIteration: it has ended.
    """
    while True:
        item = next(flow)
        if isinstance(item, Wait):
            return item
