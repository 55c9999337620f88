"""The primary's answer, started while the route is still being decided; then adopted, or cancelled
at once."""

from collections.abc import Callable

from airouter.dialects.openai_compose import Outgoing
from airouter.domain.errors import NoBackend
from airouter.proxy.attempt import Attempt
from airouter.proxy.request_state import Received
from airouter.settings.schema import SpeculationSettings
from airouter.upstream.backend import Backend
from airouter.upstream.client import Lease


class Speculation:
    """An attempt whose bytes stay here until the route is confirmed."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._record = attempt.exchange.record
        attempt.speculative = True

    @property
    def backend(self) -> Backend:
        return self._attempt.backend

    def answered(self) -> bool:
        """Whether an answer (the first content of a stream) only waits for the decision."""
        return self._attempt.ready and self._attempt.problem() is None

    def adopt(self) -> Attempt:
        """The route is confirmed: the attempt is the request's own from here."""
        attempt = self._attempt
        failed = attempt.ready and attempt.problem() is not None
        self._record.speculation = "failed" if failed else "won"
        attempt.unbound()
        return attempt

    def cancel(self, decided_at: float) -> None:
        """Not wanted: shut the socket, free the slot. The breaker learns nothing of it.

        Args:
            decided_at: seconds of the exchange's clock, for the record's `abort_ms`.
        """
        attempt, record = self._attempt, self._record
        attempt.close()
        attempt.lease.close()
        record.speculation = "cancelled"
        record.abort_ms = (attempt.exchange.clock.monotonic() - decided_at) * 1000
        record.wasted_tokens = attempt.state.events
        attempt.step = "speculation"
        attempt.record_step("cancelled")


def speculate(
    received: Received,
    backend: Backend,
    settings: SpeculationSettings,
    compose: Callable[[Lease], Outgoing],
) -> Speculation | None:
    """Start the answer if that can pay: switched on, a local backend (a cloud's discarded answer is
    paid for), its model known, no slots shared with a classifier (each would wait for the
    other), healthy, a slot free and no request waiting for it. So it never
    queues, and is never the request that tests a half-open breaker.

    Args:
        compose: makes the body.
    """
    possible = settings.enabled and backend.settings.local and backend.model is not None
    if not (possible and backend.may_speculate and backend.in_good_health):
        return None
    lease = Lease(received.exchange, backend)
    try:
        if not lease.take_slot():
            lease.close()
            return None
        buffer = settings.buffer_kb * 1024
        return Speculation(
            Attempt(received.exchange, lease, compose(lease), received.request, buffer=buffer)
        )
    except NoBackend:  # a check refused it; it does so again if the route is the primary
        lease.close()
        return None
