"""The only way to a backend.

A request to a backend takes a `Lease`: is the backend in service, does its breaker permit it, is a
slot free, what is its model called; then it opens calls. Whatever happens, the slot is given back
and the breaker is told exactly once. Probes and forwarded requests, which need no lease, open
their calls here as well (`open_call`), so every call passes the same checks (`egress.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from airouter.dialects.openai_errors import model_is_gone
from airouter.domain.dialect import Native, Translator
from airouter.domain.errors import (
    NoBackend,
    RouterError,
    UpstreamBroken,
    UpstreamError,
    UpstreamStatus,
    UpstreamTimeout,
)
from airouter.domain.ports import Permit, Slot
from airouter.domain.trace import HEADER
from airouter.domain.types import Endpoint, HttpRequest, Limits
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.resilience.failure import failure_of
from airouter.upstream.backend import Backend
from airouter.upstream.transport.call import Call

_MAX_BODY = 16_000_000  # bytes: a model list or the result of a search has thousands
_LOOK_ELSEWHERE = 0.1  # seconds between looks at whether another backend has a free slot


class FreeElsewhere(Exception):
    """Another backend had a free slot first: `slot`, which the exchange holds."""

    def __init__(self, backend: Backend, slot: Slot) -> None:
        super().__init__(backend.name)
        self.backend, self.slot = backend, slot


class Lease:
    """The right to use one backend for one request: first a permit of its breaker (`permit`), then
    a slot and its model's name (`enter`), then calls (`ask`, `open`, `fetch`).

    As a context manager it also tells the breaker how it went: an error of the backend that leaves
    the block is a failure, its regular end a success. Otherwise call `succeeded()` or `failed()`;
    the first call wins, and `close()` without either tells the breaker nothing.

    The exchange holds it: it is closed with it at the latest.

    Args:
        hurried: the limits of the calls are so short that a healthy backend may stay silent for
            longer.
    """

    def __init__(self, exchange: Exchange, backend: Backend, *, hurried: bool = False) -> None:
        self.backend = backend
        self.model = backend.model or ""
        self._exchange = exchange
        self._hurried = hurried
        self._capped = False  # the latest call's limits were its caller's, not the backend's
        self._permit: Permit | None = None
        self._slot: Slot | None = None
        self.in_flight: int | None = None  # others, when the slot was taken
        self.idle_s: float | None = None  # since the request before, if there were none
        self.span_id: str | None = None  # of the latest call, where requests are traced
        exchange.hold(self.close)

    # Being let in ---------------------------------------------------------------------------------

    def permit(self, *, last_resort: bool) -> None:
        """Get the breaker's permission.

        Args:
            last_resort: no other backend can answer, so one that cools is better than none.

        Raises:
            NoBackend: it is out of service, or failed recently.
        """
        backend = self.backend
        if backend.out:
            raise NoBackend(f"The backend {backend.name!r} is out of service.", code="backend_out")
        permit = backend.breaker.allow(last_resort=last_resort)
        if permit is None:
            wait = backend.breaker.retry_after()
            raise NoBackend(
                f"The backend {backend.name!r} has failed repeatedly "
                f"and is not called for the next {wait} s.",
                code="backend_unavailable",
                retry_after=wait,
            )
        self._permit = permit

    def enter(
        self,
        priority: str,
        wait: float,
        *,
        as_good: Sequence[Backend] = (),
        slot: Slot | None = None,
    ) -> Waiting[None]:
        """Wait for a slot, and read the model's name if it is not known.

        Args:
            wait: seconds to wait at most for the slot; reading the name is not limited by it.
            as_good: backends that may answer instead of this one while it is full.
            slot: one of this backend's that the exchange holds already.

        Raises:
            Busy: the queue is full, or the wait was over.
            FreeElsewhere: with the slot of one of `as_good`.
            UpstreamError: the model's name has to be read and cannot be.
        """
        if slot is None:
            yield from self.queue(priority, wait, as_good=as_good)
        else:
            self._hold(slot)
        yield from self.read_model()

    def take_slot(self) -> bool:
        """Take a slot without waiting: whether one was free."""
        slot = self.backend.limiter.try_acquire()
        if slot is not None:
            self._hold(slot)
        return slot is not None

    def _hold(self, slot: Slot) -> None:
        self._slot = slot
        self.in_flight, self.idle_s = self.backend.traffic.begin()

    def queue(
        self, priority: str, wait: float, *, as_good: Sequence[Backend] = ()
    ) -> Waiting[None]:
        """Take a slot, waiting in the queue if none is free; see `enter()`."""
        if self.take_slot():
            return
        exchange, limiter = self._exchange, self.backend.limiter
        ticket = limiter.queue_up(priority)
        exchange.hold(ticket.leave)
        began = exchange.record.queued_at = exchange.clock.monotonic()
        exchange.record.starts_ms["queue"] = (began - exchange.started_at) * 1000
        until = began + wait
        try:
            while ticket.slot is None:
                self._look_elsewhere(as_good)
                now = exchange.clock.monotonic()
                if now >= until:
                    raise limiter.busy(
                        f"no slot of {self.backend.name!r} became free within {wait:g} s"
                    )
                look = now + _LOOK_ELSEWHERE if as_good else until
                yield from exchange.wait(min(until, look), ticket.wake)
            self._hold(ticket.fetch())
        finally:
            exchange.record.queue_ms += (exchange.clock.monotonic() - began) * 1000
            exchange.record.queued_at = None
            ticket.leave()
            exchange.drop(ticket.leave)

    def _look_elsewhere(self, as_good: Sequence[Backend]) -> None:
        for other in as_good:
            if other.in_good_health:
                slot = other.limiter.try_acquire()
                if slot is not None:
                    self._exchange.hold(slot.release)
                    raise FreeElsewhere(other, slot)

    def read_model(self) -> Waiting[None]:
        """Know the model's name: configured, known from before, or read from /v1/models.

        Raises:
            UpstreamError: it has to be read and cannot be.
        """
        backend = self.backend
        if backend.model is not None and backend.model_known:
            self.model = backend.model
            return
        status, body = yield from self.fetch(
            backend.models_request(), timeout=backend.settings.connect_timeout
        )
        if status != 200:
            raise UpstreamError(
                f"The backend {backend.name!r} answered /v1/models with status {status}; "
                "set its model in the configuration."
            )
        self.model = backend.learn_model(body)

    # Calling --------------------------------------------------------------------------------------

    def ask(
        self,
        endpoint: Endpoint,
        body: dict[str, Any],
        limits: Limits | None = None,
        native: Native | None = None,
    ) -> Call:
        """Start a completion. Its answer is in OpenAI's format, whatever the backend speaks.

        Args:
            body: in OpenAI's format.
            limits: in seconds; None: the backend's own.
            native: is sent instead of the translation of `body`.

        Raises:
            RouterError: a check does not let it pass.
        """
        provider = self.backend.provider
        stream, headers = bool(body.get("stream")), self.backend.headers

        def reader(status: int) -> Translator | None:
            events = stream and status < 400
            return native.reader(events) if native else provider.dialect.reader(stream=events)

        if native is not None:
            path, body, headers = native.path, native.body, {**headers, **native.headers}
        else:
            path, body = provider.dialect.request(endpoint, body)
        request = self._traced(provider.post(path, body, headers))
        self._capped = limits is not None
        call = open_call(self.backend, request, limits, reader)
        self._exchange.begin(call)
        return call

    @contextmanager
    def asking(self, endpoint: Endpoint, body: dict[str, Any], timeout: float) -> Iterator[Call]:
        """`ask()` within so many seconds; the call is closed at the end of the block."""
        call = self.ask(endpoint, body, self._within(timeout))
        try:
            yield call
        finally:
            self._exchange.end(call)

    def whole(
        self, endpoint: Endpoint, body: dict[str, Any], timeout: float
    ) -> Waiting[tuple[int, bytes]]:
        """The whole answer to a completion: (status, body); see `fetch()`."""
        with self.asking(endpoint, body, timeout) as call:
            return (yield from self._collect(call))

    def fetch(self, request: HttpRequest, timeout: float) -> Waiting[tuple[int, bytes]]:
        """Send a small request and wait for all of its answer: (status, body).

        Args:
            timeout: seconds for all of it.

        Raises:
            UpstreamError: it could not be reached, broke, took too long, or sent too much.
        """
        self._capped = True
        call = open_call(self.backend, self._traced(request), self._within(timeout))
        self._exchange.begin(call)
        try:
            return (yield from self._collect(call))
        finally:
            self._exchange.end(call)

    def _traced(self, request: HttpRequest) -> HttpRequest:
        """The request with the header that hands the trace on."""
        if self._exchange.trace is None:
            return request
        self.span_id, header = self._exchange.trace.child()
        headers = {**request.headers, HEADER: header}
        return HttpRequest(request.method, request.path, headers, request.body)

    def _within(self, timeout: float) -> Limits:
        connect = min(self.backend.settings.connect_timeout, timeout)
        return Limits(connect, timeout, timeout, timeout)

    def _collect(self, call: Call) -> Waiting[tuple[int, bytes]]:
        body = bytearray()
        while not call.finished:
            yield from self._exchange.wait()
            body += call.take()
            if len(body) > _MAX_BODY:
                raise UpstreamBroken(
                    f"The backend {self.backend.name!r} sent an answer of more than 16 MB."
                )
        body += call.take()
        if call.error is not None:
            raise call.error
        return call.status, bytes(body)

    # Ending ---------------------------------------------------------------------------------------

    def succeeded(self, *, whole: bool = True) -> None:
        """The backend answered. `whole=False`: a stream has begun (see `Permit.answered`)."""
        if self._permit is not None:
            self._permit.answered(whole=whole)

    def failed(self, error: RouterError) -> None:
        """Tell the breaker; some errors say nothing about the backend's health."""
        if self._permit is None:
            return
        backend, kind = self.backend, failure_of(error)
        harmless = ("other", "silent") if self._hurried else ("other",)
        if isinstance(error, UpstreamTimeout) and self._capped and kind in harmless:
            kind = None  # slower than this request allowed, but it may be healthy
        if kind is not None:
            before = backend.breaker.state
            self._permit.failed(kind)
            after = backend.breaker.state
            if after != before:
                backend.on_state(backend.name, after)
                backend.log.warning(
                    "Backend %s is %s after: %s", backend.name, after, error.message
                )
        elif isinstance(error, UpstreamStatus):
            self._permit.answered()
            if model_is_gone(error):
                backend.relearn()

    def leave(self) -> None:
        """Give the slot back; the permit stays, for another try. Idempotent."""
        if (slot := self.hand_on()) is not None:
            slot.release()

    def hand_on(self) -> Slot | None:
        """Part with the slot without giving it back; the caller owns it."""
        slot, self._slot = self._slot, None
        if slot is not None:
            self.backend.traffic.end()
            self._exchange.drop(slot.release)  # held where the slot was found by looking elsewhere
        return slot

    def close(self) -> None:
        """Give the slot back; unless the breaker was told, it learns nothing. Idempotent."""
        self.leave()
        if self._permit is not None:
            self._permit.forgotten()
        self._exchange.drop(self.close)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.succeeded()
        elif isinstance(error, UpstreamError):
            self.failed(error)
        self.close()


def side_lease(exchange: Exchange, backend: Backend, *, hurried: bool = False) -> Lease:
    """A lease, permitted, for a classification or a search: one can do without it, so a backend
    that is paused or cools is not asked. `hurried`: see `Lease`.

    Raises:
        NoBackend: it is not asked now.
    """
    lease = Lease(exchange, backend, hurried=hurried)
    try:
        if backend.pause.reason is not None:
            raise NoBackend(
                f"The backend {backend.name!r} is loading or swapping its model.",
                code="backend_unavailable",
            )
        lease.permit(last_resort=False)
    except NoBackend:
        lease.close()
        raise
    return lease


def open_call(
    backend: Backend,
    request: HttpRequest,
    limits: Limits | None = None,
    reader: Callable[[int], Translator | None] | None = None,
) -> Call:
    """A call that is not started yet.

    Args:
        limits: in seconds; None: the backend's own.
        reader: gives, for its status, what translates the body of the answer.

    Raises:
        RouterError: a check does not let the request pass (see `egress.py`).
    """
    for check in backend.checks:
        request = check(backend.name, backend.settings, request)
    return backend.connect(
        backend.origin,
        request,
        limits or backend.settings.limits,
        backend.clock,
        backend.name,
        reader,
    )
