"""Gets a plan answered: its backends in the best order, one after the other, until one commits."""

import random
from collections.abc import Generator, Mapping

from airouter.clock import Clock
from airouter.errors import Busy, NoBackend, RouterError, UpstreamBroken, UpstreamError, UpstreamStatus
from airouter.exchange.admission import admit
from airouter.exchange.exchange import Keepalive
from airouter.exchange.fetch import fetch, fetch_model
from airouter.execution import continuation
from airouter.execution.attempt import Attempt
from airouter.execution.compose import Outgoing, compose
from airouter.execution.headers import answer_headers
from airouter.execution.judge import Move, failure_of, next_move
from airouter.execution.relay import Recover, relay
from airouter.execution.work import Flow, Head, Work
from airouter.resilience.breaker import Permit, RetryBudget
from airouter.routing.memory import ConversationMemory
from airouter.settings import Settings
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend

_HEALTH_CHECK = 1.0  # seconds for asking a backend that said 503 whether it is loading
_PAUSE_LOOK = 0.25  # seconds between looks at whether a pause is over
_JITTER = (0.05, 0.15)  # seconds before a quick retry

Tried = tuple[Attempt, Permit]


class Answerer:
    """Shared by all requests of a configuration; its only state is the retry budget."""

    def __init__(
        self,
        settings: Settings,
        backends: Mapping[str, Backend],
        prompts: Mapping[str, str],
        memory: ConversationMemory,
        log: Log,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._backends = backends
        self._prompts = prompts
        self._memory = memory
        self._log = log
        self._clock = clock
        self._budget = RetryBudget()

    def compose(self, work: Work, backend: Backend, model: str, route: str) -> Outgoing:
        """The body for one backend."""
        return compose(
            work.request,
            backend.settings,
            model,
            prompts=self._prompts,
            date=work.date,
            context=work.context,
            meta_max_chars=self._settings.cascade.meta_max_chars if route == "meta" else None,
            usage=backend.provider.adds_usage,
        )

    def answer(self, work: Work, started: Attempt | None) -> Flow:
        """Try the plan's backends until one commits; `started` is an adopted speculation of the first.

        Raises:
            RouterError: a final refusal, or the last error when the chain is exhausted.
        """
        assert work.plan is not None
        self._budget.deposit()
        candidates = in_order([self._backends[name] for name in work.plan.backends])
        if started is not None:
            candidates = [started.backend, *(b for b in candidates if b is not started.backend)]
        last: RouterError | None = None
        while candidates:
            backend = candidates.pop(0)
            held = None
            try:
                held = yield from self._try(work, backend, started, alone=not candidates)
            except RouterError as error:
                last = _more_telling(last, error)
                work.exchange.record.attempts.append(f"{backend.name}: {error.code}")
                candidates = _remaining(candidates, backend, error)
            started = None
            if held is not None:
                yield from self._commit(work, *held)
                return
        assert last is not None
        # The chain is exhausted: a client that repeats the request would only multiply the attempts.
        if not isinstance(last, Busy):
            last.headers.setdefault("x-should-retry", "false")
        raise last

    # One backend ----------------------------------------------------------------------------------------------------

    def _try(self, work: Work, backend: Backend, started: Attempt | None, *, alone: bool) -> Generator[Keepalive, None, Tried]:
        """An attempt that is ready and good, with its unsettled permit.

        Raises:
            RouterError: it was not asked, or did not answer; settled with its breaker.
        """
        exchange = work.exchange
        if backend.out:
            raise NoBackend(f"The backend {backend.name!r} is out of service.", code="backend_out")
        permit = (
            backend.breaker.allow(last_resort=True)
            if started is not None or alone or backend.breaker.state != "open"
            else backend.breaker.allow()
        )
        if permit is None:
            if started is not None:
                started.close()
            raise _refused(backend)
        exchange.hold(permit.forgotten)
        retried = started is not None  # a speculation that failed by itself was the one try
        while True:
            try:
                attempt = started or (yield from self._start(work, backend))
                started = None
                while not attempt.ready:
                    yield from exchange.pause()
                problem = attempt.problem()
            except RouterError as error:
                self._settle(permit, backend, error)
                raise
            if problem is None:
                return attempt, permit
            attempt.record_step(problem.message)
            attempt.close()
            if (yield from self._is_loading(work, backend, problem)):
                backend.pause.begin("loading", self._settings.queue.hold_wait)
                if not alone:
                    permit.forgotten()
                    raise problem
                continue
            if next_move(problem) is Move.AGAIN and not retried and self._budget.withdraw():
                retried = True
                exchange.record.attempts.append(f"{backend.name}: {problem.code}, again")
                yield from self._idle(work, random.uniform(*_JITTER))
                continue
            self._settle(permit, backend, problem)
            raise problem

    def _start(self, work: Work, backend: Backend) -> Generator[Keepalive, None, Attempt]:
        assert work.plan is not None
        exchange, settings = work.exchange, self._settings.queue
        yield from self._wait_for_pause(work, backend)
        slot = yield from admit(exchange, backend, "meta" if work.plan.route == "meta" else work.wish.priority, settings.wait)
        try:
            model = yield from fetch_model(exchange, backend)
        except RouterError:
            slot.release()
            raise
        outgoing = self.compose(work, backend, model, work.plan.route)
        return Attempt(exchange, backend, slot, outgoing, work.request, buffer=0)

    def _wait_for_pause(self, work: Work, backend: Backend) -> Generator[Keepalive, None, None]:
        """Hold the request while its backend swaps or loads a model."""
        until = self._clock.monotonic() + self._settings.queue.hold_wait
        while backend.pause.reason is not None and self._clock.monotonic() < until:
            yield from self._idle(work, _PAUSE_LOOK)

    def _idle(self, work: Work, seconds: float) -> Generator[Keepalive, None, None]:
        until = self._clock.monotonic() + seconds
        while self._clock.monotonic() < until:
            yield from work.exchange.pause(until)

    def _is_loading(self, work: Work, backend: Backend, problem: RouterError) -> Generator[Keepalive, None, bool]:
        """A 503 from a server whose health check is 503 as well: it is starting, not failing."""
        if not (isinstance(problem, UpstreamStatus) and problem.upstream_status == 503 and backend.provider.health_path):
            return False
        try:
            status, _ = yield from fetch(work.exchange, backend, backend.health_request(), timeout=_HEALTH_CHECK)
        except RouterError:
            return False
        return status == 503

    def _settle(self, permit: Permit, backend: Backend, error: RouterError) -> None:
        kind = failure_of(error)
        if kind is not None:
            before = backend.breaker.state
            permit.failed(kind)
            if backend.breaker.state != before:
                self._log.warning("Backend %s is %s after: %s", backend.name, backend.breaker.state, error.message)
        elif isinstance(error, UpstreamStatus):
            permit.answered()
        else:
            permit.forgotten()

    # Committing -----------------------------------------------------------------------------------------------------

    def _commit(self, work: Work, attempt: Attempt, permit: Permit) -> Flow:
        exchange, record, name = work.exchange, work.exchange.record, attempt.backend.name
        assert work.plan is not None
        permit.answered(whole=not work.request.stream)
        record.attempts.append(f"{name}: ok")
        record.backend, record.model = name, attempt.model
        record.adjusted = attempt.outgoing.adjusted
        record.ttft_ms = (self._clock.monotonic() - exchange.started) * 1000
        if work.request.has_tools and work.request.endpoint == "chat":
            self._memory.remember(work.request.messages, work.plan.route, name)
        suffix = " speculative=true" if attempt.speculative else ""
        status = attempt.call.status
        if work.request.stream:
            self._log.info(
                "Provider response: %s status=%d connect_ms=%d ttft_ms=%d stream=true%s",
                name,
                status,
                attempt.connect_ms,
                round(attempt.ttft_ms),
                suffix,
            )
            yield Head(200, answer_headers(work, attempt), None)
            yield from relay(exchange, attempt, self._recovery(work, attempt.reader.state.id))
            return
        record.inference_ms, record.usage = attempt.inference_ms, attempt.usage
        attempt.record_step()
        duration, reason = round(attempt.inference_ms), attempt.finish_reason
        self._log.info(
            "Provider response: %s status=%d duration_ms=%d finish_reason=%s stream=false%s", name, status, duration, reason, suffix
        )
        body = attempt.body
        attempt.close()
        exchange.settle("ok", 200)
        yield Head(200, answer_headers(work, attempt), body)

    # Going on after a cut ------------------------------------------------------------------------------------------

    def _recovery(self, work: Work, id: str | None) -> Recover:
        """What `relay` calls when a stream breaks off: it remembers what the client has been sent."""
        sent: list[str] = []
        first: list[Attempt] = []

        def recover(attempt: Attempt, error: RouterError) -> Generator[Keepalive, None, Attempt | None]:
            kind = failure_of(error)
            if kind is not None:
                attempt.backend.breaker.fail(kind)
            sent.append(attempt.reader.state.text)
            first.append(attempt)
            text = "".join(sent)
            if len(sent) > continuation.MOST or not continuation.can_continue(work.request, attempt, text):
                return None
            successor = yield from self._continue(work, first[0].outgoing, attempt, error, text, id)
            work.exchange.record.notes.append(
                f"cut after {len(text)} characters, {'continued by ' + successor.backend.name if successor else 'not continued'}"
            )
            return successor

        return recover

    def _continue(
        self, work: Work, outgoing: Outgoing, broken: Attempt, error: RouterError, text: str, id: str | None
    ) -> Generator[Keepalive, None, Attempt | None]:
        assert work.plan is not None
        others = [self._backends[name] for name in work.plan.backends if name != broken.backend.name]
        candidates = in_order(([broken.backend] if continuation.same_backend_first(error) else []) + others)
        for backend in candidates:
            permit = backend.breaker.allow(last_resort=True) if backend.provider.continues and not backend.out else None
            if permit is None:
                continue
            work.exchange.hold(permit.forgotten)
            try:
                attempt = yield from self._start_continuation(work, backend, outgoing, text, id)
            except Busy:
                permit.forgotten()
                continue
            except UpstreamError as failure:
                self._settle(permit, backend, failure)
                continue
            problem = attempt.problem()
            if problem is None:
                permit.answered(whole=False)
                return attempt
            attempt.record_step(problem.message)
            attempt.close()
            self._settle(permit, backend, problem)
        return None

    def _start_continuation(
        self, work: Work, backend: Backend, outgoing: Outgoing, text: str, id: str | None
    ) -> Generator[Keepalive, None, Attempt]:
        """An attempt that is ready to be judged."""
        exchange = work.exchange
        slot = yield from admit(exchange, backend, work.wish.priority, self._settings.queue.wait)
        try:
            model = yield from fetch_model(exchange, backend)
            left = yield from self._tokens_left(work, backend, model, outgoing, text)
        except UpstreamError:
            slot.release()
            raise
        body = continuation.continued(outgoing, text, model, left)
        attempt = Attempt(exchange, backend, slot, body, work.request, buffer=0, rewrite=continuation.rewriter(id))
        while not attempt.ready:
            yield from exchange.pause()
        return attempt

    def _tokens_left(
        self, work: Work, backend: Backend, model: str, outgoing: Outgoing, text: str
    ) -> Generator[Keepalive, None, int | None]:
        limit = continuation.asked_max_tokens(outgoing)
        if limit is None:
            return None
        status, body = yield from fetch(work.exchange, backend, continuation.count_request(backend, model, text), timeout=_HEALTH_CHECK)
        used = continuation.read_count(body) if status == 200 else None
        if used is None:
            raise UpstreamBroken(f"The backend {backend.name!r} cannot tell how many tokens the answer has used up.")
        return max(1, limit - used)


def in_order(backends: list[Backend]) -> list[Backend]:
    """Those that can answer now first; then those that pause, cool, refuse. A cloud never overtakes a local backend that
    only pauses: it is for when the local ones failed or cool."""
    paused_local = any(b.settings.local and b.pause.reason for b in backends)

    def rank(backend: Backend) -> float:
        if backend.out or backend.breaker.state == "open":
            return 3
        if not backend.breaker.available:
            return 2
        if backend.pause.reason:
            return 1
        return 1.5 if paused_local and not backend.settings.local else 0

    return sorted(backends, key=rank)


def _remaining(candidates: list[Backend], backend: Backend, error: RouterError) -> list[Backend]:
    """Who may still be asked after an error of `backend`."""
    if isinstance(error, Busy):
        return [b for b in candidates if b.settings.local]  # busy is not failed: no reason to go to a cloud
    move = next_move(error)
    if move is Move.FINAL:
        raise error
    if move is Move.WIDER:
        mine = backend.settings.context_window or 0
        wider = [b for b in candidates if (b.settings.context_window or 0) > mine]
        if not wider:
            raise error
        return wider
    return candidates


def _refused(backend: Backend) -> NoBackend:
    wait = backend.breaker.retry_after()
    return NoBackend(
        f"The backend {backend.name!r} failed repeatedly and is not asked for the next {wait} s.",
        code="backend_unavailable",
        retry_after=wait,
    )


def _more_telling(last: RouterError | None, error: RouterError) -> RouterError:
    """Of two errors the one to tell the client: an answer from a backend says more than that it was not asked."""
    if last is not None and isinstance(error, NoBackend) and not isinstance(last, NoBackend):
        return last
    return error
