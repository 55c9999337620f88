"""Finds who goes on with a stream that was cut after content went out, and has them go on."""

from collections.abc import Generator, Mapping

from airouter.dialects.openai_compose import Outgoing
from airouter.domain.errors import Busy, NoBackend, RouterError, UpstreamError
from airouter.flow.exchange import Keepalive
from airouter.proxy import continuation
from airouter.proxy.attempt import Attempt
from airouter.proxy.chain import first_byte_limit, in_order, settle
from airouter.proxy.request_state import Work
from airouter.resilience.failure import failure_of
from airouter.settings.schema import Settings
from airouter.telemetry.logs import Log
from airouter.upstream.admission import enter
from airouter.upstream.backend import Backend
from airouter.upstream.fetch import fetch

_COUNT_LIMIT = 1.0  # seconds for asking how many tokens a text has


class Recovery:
    """Of one stream. What `relay` calls when it breaks off; it remembers what the client has been sent."""

    def __init__(
        self,
        work: Work,
        id: str | None,
        settings: Settings,
        backends: Mapping[str, Backend],
        log: Log,
    ) -> None:
        self._work = work
        self._id = id  # of the stream, which its continuations take over
        self._settings = settings
        self._backends = backends
        self._log = log
        self._sent: list[str] = []
        self._events = 0
        self._first: Outgoing | None = None

    def possible(self, broken: Attempt) -> bool:
        """Whether the stream may be continued elsewhere, as far as can be said without asking."""
        text = "".join(self._sent) + broken.state.text
        return (
            len(self._sent) < continuation.MOST
            and continuation.can_continue(self._work.request, broken.state, text)
            and any(_can_go_on(backend) for backend in [broken.backend, *self._candidates(broken)])
        )

    def __call__(
        self, broken: Attempt, error: RouterError
    ) -> Generator[Keepalive, None, Attempt | None]:
        """The attempt that goes on where `broken` ended, ready to be relayed; None when that is not
        sound or not possible."""
        kind = failure_of(error)
        if kind is not None:
            broken.backend.breaker.fail(kind)
        self._first = self._first or broken.outgoing
        self._sent.append(broken.state.text)
        self._events += broken.state.events
        text = "".join(self._sent)
        if len(self._sent) > continuation.MOST or not continuation.can_continue(
            self._work.request, broken.state, text
        ):
            return None
        successor = yield from self._continue(broken, error, text)
        record = self._work.exchange.record
        if successor is not None:
            record.attempts.append(f"{successor.backend.name}: continued")
        record.notes.append(
            f"cut after {len(text)} characters, {'continued by ' + successor.backend.name if successor else 'not continued'}"
        )
        return successor

    def _candidates(self, broken: Attempt) -> list[Backend]:
        """The plan's other backends."""
        assert self._work.plan is not None
        names = self._work.plan.backends
        return [self._backends[name] for name in names if name != broken.backend.name]

    def _continue(
        self, broken: Attempt, error: RouterError, text: str
    ) -> Generator[Keepalive, None, Attempt | None]:
        candidates = self._candidates(broken)
        if continuation.same_backend_first(error):
            candidates = [broken.backend, *candidates]
        candidates = [backend for backend in in_order(candidates) if _can_go_on(backend)]
        while candidates:
            backend = candidates.pop(0)
            permit = backend.breaker.allow(last_resort=True)
            if permit is None:
                continue
            self._work.exchange.hold(permit.forgotten)
            try:
                attempt = yield from self._start(backend, text, candidates)
            except (Busy, NoBackend):
                permit.forgotten()
                continue
            except UpstreamError as failure:
                self._note_failed(backend, failure)
                settle(permit, backend, failure, self._log)
                continue
            problem = attempt.problem()
            if problem is None:
                permit.answered(whole=False)
                return attempt
            self._note_failed(backend, problem)
            attempt.record_step(problem.message)
            attempt.close()
            settle(permit, backend, problem, self._log)
        return None

    def _note_failed(self, backend: Backend, error: RouterError) -> None:
        self._work.exchange.record.attempts.append(f"{backend.name}: {error.code}, not continued")

    def _start(
        self, backend: Backend, text: str, others: list[Backend]
    ) -> Generator[Keepalive, None, Attempt]:
        """An attempt that is ready to be judged."""
        assert self._first is not None
        exchange = self._work.exchange
        admission = yield from enter(
            exchange, backend, self._work.priority, self._settings.queue.wait
        )
        try:
            left = yield from self._tokens_left(backend, admission.model, text)
            prefill = backend.continues == "prefill"
            body = continuation.continued(self._first, text, admission.model, left, prefill=prefill)
            attempt = Attempt(
                exchange,
                admission,
                body,
                self._work.request,
                buffer=0,
                rewrite=continuation.rewriter(self._id, text),
            )
        except RouterError:
            admission.close()
            raise
        attempt.call.shorten_first_byte(
            first_byte_limit(backend, others, self._work.features.total_chars + len(text))
        )
        while not attempt.ready:
            yield from exchange.pause()
        return attempt

    def _tokens_left(
        self, backend: Backend, model: str, text: str
    ) -> Generator[Keepalive, None, int | None]:
        assert self._first is not None
        limit = continuation.asked_max_tokens(self._first)
        if limit is None:
            return None
        if backend.continues == "prefill":
            used: int | None = continuation.estimated_tokens(text, self._events)
        else:
            request = continuation.count_request(backend, model, text)
            status, body = yield from fetch(
                self._work.exchange, backend, request, timeout=_COUNT_LIMIT
            )
            used = continuation.read_count(body) if status == 200 else None
        if used is None or used >= limit:
            raise NoBackend(
                f"The backend {backend.name!r} does not report how many tokens are left for the answer."
            )
        return limit - used


def _can_go_on(backend: Backend) -> bool:
    return backend.continues is not None and not backend.out and not backend.pause.reason
