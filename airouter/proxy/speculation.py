"""The primary's answer, started while the route is still being decided; then adopted, or cancelled at once."""

from airouter.dialects.openai_compose import Outgoing
from airouter.dialects.openai_request import ChatRequest
from airouter.flow.exchange import Exchange
from airouter.proxy.attempt import Attempt
from airouter.settings.schema import SpeculationSettings
from airouter.upstream.admission import Admission, enter_at_once
from airouter.upstream.backend import Backend


def admission_for(
    exchange: Exchange, settings: SpeculationSettings, backend: Backend
) -> Admission | None:
    """A slot for a speculation, if it can pay: switched on, a local backend (a cloud's discarded
    answer is paid for), its model known, in good health, a slot free and no request waiting for it.
    So it never queues, and is never a half-open probe."""
    if not settings.enabled or not backend.settings.local or not backend.in_good_health:
        return None
    return enter_at_once(exchange, backend)


class Speculation:
    """An attempt whose bytes stay here until the route is confirmed."""

    def __init__(self, exchange: Exchange, attempt: Attempt) -> None:
        self.attempt = attempt
        self._exchange = exchange
        attempt.speculative = True

    def finished(self) -> bool:
        """Whether an answer (the first content of a stream) is there that only waits for the
        decision."""
        return self.attempt.ready and self.attempt.problem() is None

    def adopt(self) -> Attempt:
        """The route is confirmed: the attempt is the exchange's own from here."""
        self._exchange.record.speculation = (
            "failed" if self.attempt.ready and self.attempt.problem() else "won"
        )
        self.attempt.unbound()
        return self.attempt

    def cancel(self, decided_at: float) -> None:
        """Not wanted: shut the socket, free the slot. Says nothing about the backend's health."""
        attempt, record = self.attempt, self._exchange.record
        attempt.close()
        record.speculation = "cancelled"
        record.abort_ms = (self._exchange.clock.monotonic() - decided_at) * 1000
        record.wasted_tokens = attempt.state.events
        attempt.step = "speculation"
        attempt.record_step("cancelled")


def speculate(
    exchange: Exchange,
    admission: Admission,
    outgoing: Outgoing,
    request: ChatRequest,
    settings: SpeculationSettings,
) -> Speculation:
    """Start the answer; its reading pauses when the buffer is full."""
    attempt = Attempt(exchange, admission, outgoing, request, buffer=settings.buffer_kb * 1024)
    return Speculation(exchange, attempt)
