"""Finds who goes on with a stream that was cut after content went out, and has them go on."""

from collections.abc import Generator, Mapping

from airouter.errors import Busy, NoBackend, RouterError, UpstreamError
from airouter.exchange.admission import admit
from airouter.exchange.exchange import Keepalive
from airouter.exchange.fetch import fetch, fetch_model
from airouter.execution import continuation
from airouter.execution.attempt import Attempt
from airouter.execution.chain import in_order, settle
from airouter.execution.compose import Outgoing
from airouter.execution.work import Work
from airouter.resilience.failure import failure_of
from airouter.settings import Settings
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend

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
        self._first: Outgoing | None = None

    def __call__(
        self, broken: Attempt, error: RouterError
    ) -> Generator[Keepalive, None, Attempt | None]:
        """The attempt that goes on where `broken` ended, ready to be relayed; None when that is not sound or not possible."""
        kind = failure_of(error)
        if kind is not None:
            broken.backend.breaker.fail(kind)
        self._first = self._first or broken.outgoing
        self._sent.append(broken.reader.state.text)
        text = "".join(self._sent)
        if len(self._sent) > continuation.MOST or not continuation.can_continue(
            self._work.request, broken, text
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

    def _continue(
        self, broken: Attempt, error: RouterError, text: str
    ) -> Generator[Keepalive, None, Attempt | None]:
        assert self._work.plan is not None
        others = [
            self._backends[name] for name in self._work.plan.backends if name != broken.backend.name
        ]
        for backend in in_order(
            [broken.backend, *others] if continuation.same_backend_first(error) else others
        ):
            usable = backend.provider.continues and not backend.out and not backend.pause.reason
            permit = backend.breaker.allow(last_resort=True) if usable else None
            if permit is None:
                continue
            self._work.exchange.hold(permit.forgotten)
            try:
                attempt = yield from self._start(backend, text)
            except (Busy, NoBackend):
                permit.forgotten()
                continue
            except UpstreamError as failure:
                settle(permit, backend, failure, self._log)
                continue
            problem = attempt.problem()
            if problem is None:
                permit.answered(whole=False)
                return attempt
            attempt.record_step(problem.message)
            attempt.close()
            settle(permit, backend, problem, self._log)
        return None

    def _start(self, backend: Backend, text: str) -> Generator[Keepalive, None, Attempt]:
        """An attempt that is ready to be judged."""
        assert self._first is not None
        exchange = self._work.exchange
        slot = yield from admit(exchange, backend, self._work.priority, self._settings.queue.wait)
        try:
            model = yield from fetch_model(exchange, backend)
            left = yield from self._tokens_left(backend, model, text)
        except RouterError:
            slot.release()
            raise
        body = continuation.continued(self._first, text, model, left)
        attempt = Attempt(
            exchange,
            backend,
            slot,
            body,
            self._work.request,
            buffer=0,
            rewrite=continuation.rewriter(self._id),
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
        status, body = yield from fetch(
            self._work.exchange,
            backend,
            continuation.count_request(backend, model, text),
            timeout=_COUNT_LIMIT,
        )
        used = continuation.read_count(body) if status == 200 else None
        if used is None or used >= limit:
            raise NoBackend(
                f"The backend {backend.name!r} cannot tell how many tokens are left for the answer."
            )
        return limit - used
