"""Gets a plan answered: its backends in the best order, one after the other, until one commits."""

import math
import random
from collections.abc import Generator, Mapping

from airouter.dialects.openai_compose import Outgoing, compose
from airouter.domain.clock import Clock
from airouter.domain.errors import (
    ConnectFailed,
    NoBackend,
    RouterError,
    UpstreamBroken,
    UpstreamError,
    UpstreamStatus,
)
from airouter.flow.exchange import Keepalive
from airouter.proxy.attempt import Attempt
from airouter.proxy.chain import (
    first_byte_limit,
    in_order,
    more_telling,
    permit_for,
    remaining,
    says_when,
    settle,
    somebody_else,
)
from airouter.proxy.recovery import Recovery
from airouter.proxy.request_state import Flow, Head, Work
from airouter.proxy.response_headers import answer_headers
from airouter.proxy.retry_policy import Move, model_is_gone, next_move, retry_after_of
from airouter.proxy.streaming import relay
from airouter.proxy.tool_memory import ConversationMemory
from airouter.resilience.breaker import Permit, RetryBudget
from airouter.resilience.limiter import Slot
from airouter.settings.schema import Settings
from airouter.telemetry.logs import Log
from airouter.upstream.admission import FreeElsewhere, enter
from airouter.upstream.backend import Backend
from airouter.upstream.fetch import fetch

_HEALTH_CHECK = 1.0  # seconds for asking a backend that said 503 whether it is loading
_PAUSE_LOOK = 0.25  # seconds between looks at whether a pause is over
_LOADING_LOOK = 1.0  # seconds between tries of a backend that cannot be reached but may be loading
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
            window=backend.context_window,
        )

    def answer(self, work: Work, started: Attempt | None) -> Flow:
        """Try the plan's backends until one commits; `started` is an adopted speculation of the
        first.

        Raises:
            RouterError: a final refusal, or the last error when the chain is exhausted.
        """
        assert work.plan is not None
        self._budget.deposit()
        chain = [self._backends[name] for name in work.plan.backends]
        candidates = in_order(chain)
        if started is not None:
            candidates = [started.backend, *(b for b in candidates if b is not started.backend)]
        attempts = work.exchange.record.attempts
        last: RouterError | None = None
        slot: Slot | None = None
        while True:
            while candidates:
                backend = candidates.pop(0)
                held = None
                try:
                    held = yield from self._try(work, backend, started, candidates, slot)
                except FreeElsewhere as free:
                    rest = [backend, *(b for b in candidates if b is not free.backend)]
                    candidates, slot = [free.backend, *rest], free.slot
                    continue
                except RouterError as error:
                    last = more_telling(last, error)
                    said = f"{backend.name}: {error.code}"
                    if said not in attempts[-len(chain) :]:  # while it loads it is asked often
                        attempts.append(said)
                    # Some may have fallen ill meanwhile.
                    left = remaining(candidates, backend, error, named=_named(work))
                    candidates = in_order(left)
                started = slot = None
                if held is not None:
                    yield from self._commit(work, *held)
                    return
            assert last is not None
            loading = [backend for backend in chain if self._may_be_loading(backend)]
            if not loading or not isinstance(last, ConnectFailed | NoBackend):
                break
            for backend in loading:
                backend.pause.begin("loading", _LOADING_LOOK)
            yield from self._idle(work, _PAUSE_LOOK)
            candidates = in_order(chain)
        # The chain is exhausted: a client that repeats the request at once would only multiply the
        # attempts.
        if not says_when(last):
            last.headers.setdefault("x-should-retry", "false")
        raise last

    # One backend ----------------------------------------------------------------------------------

    def _try(
        self,
        work: Work,
        backend: Backend,
        started: Attempt | None,
        others: list[Backend],
        slot: Slot | None,
    ) -> Generator[Keepalive, None, Tried]:
        """An attempt that is ready and good, with its unsettled permit. `others` are those that
        would be asked next, `slot` is one of the backend's that is held already.

        Raises:
            RouterError: it was not asked, or did not answer; settled with its breaker.
            FreeElsewhere: one of the others has a free slot before it.
        """
        exchange = work.exchange
        try:
            permit = permit_for(backend, [] if started is not None else others)
        except RouterError:
            if started is not None:
                started.close()
            if slot is not None:
                slot.release()
            raise
        exchange.hold(permit.forgotten)
        hold_until = self._clock.monotonic() + self._settings.queue.hold_wait
        retried = started is not None  # a speculation that failed by itself was the one try
        renamed = False
        while True:
            try:
                attempt = started or (
                    yield from self._start(work, backend, hold_until, others, slot)
                )
                started = slot = None
                if work.request.stream:
                    attempt.call.shorten_first_byte(
                        first_byte_limit(backend, others, work.features.total_chars)
                    )
                exchange.record.inference_ms = 0.0  # of this try alone
                exchange.record.enter("inference_ms", attempt.began)
                while not attempt.ready:
                    yield from exchange.pause()
                problem = attempt.problem()
            except FreeElsewhere:
                permit.forgotten()
                raise
            except RouterError as error:
                self._settle(permit, backend, error, others)
                raise
            if problem is None:
                return attempt, permit
            exchange.record.leave()
            exchange.record.inference_ms = attempt.inference_ms
            if not (isinstance(problem, ConnectFailed) and backend.breaker.unreached_for):
                attempt.record_step(problem.message)
            attempt.close()
            if model_is_gone(problem) and backend.settings.model is None and not _named(work):
                backend.relearn()  # restarted with another model since its name was read
                if not renamed:
                    renamed = True
                    exchange.record.attempts.append(f"{backend.name}: {problem.code}, again")
                    continue
            if (yield from self._is_loading(work, backend, problem)):
                backend.pause.begin("loading", self._settings.queue.hold_wait)
                if somebody_else(backend, others) or self._clock.monotonic() >= hold_until:
                    permit.forgotten()
                    problem.retry_after = max(1, math.ceil(backend.pause.seconds_left()))
                    raise problem
                continue
            delay = None if retried else self._retry_delay(problem, others)
            if delay is not None and self._budget.withdraw():
                retried = True
                exchange.record.attempts.append(f"{backend.name}: {problem.code}, again")
                yield from self._idle(work, delay)
                continue
            self._settle(permit, backend, problem, others)
            raise problem

    def _settle(
        self, permit: Permit, backend: Backend, error: RouterError, others: list[Backend]
    ) -> None:
        """Tell the breaker; a backend that may be loading is not counted as failing while requests
        wait for it alone."""
        if (
            isinstance(error, ConnectFailed)
            and error.down
            and not any(other.can_answer for other in others)
            and self._may_be_loading(backend, now_down=True)
        ):
            permit.forgotten()
            backend.breaker.probe_refused()
        else:
            settle(permit, backend, error, self._log)

    def _may_be_loading(self, backend: Backend, *, now_down: bool = False) -> bool:
        """Whether a local server that cannot be reached may only be starting: it has not been down
        for longer than a start is waited for."""
        down_for = backend.breaker.unreached_for
        if down_for is None:
            down_for = 0.0 if now_down else math.inf
        local = backend.settings.local and not backend.out
        return local and down_for < self._settings.queue.hold_wait

    def _start(
        self,
        work: Work,
        backend: Backend,
        hold_until: float,
        others: list[Backend],
        slot: Slot | None,
    ) -> Generator[Keepalive, None, Attempt]:
        assert work.plan is not None
        exchange = work.exchange
        # It swaps or loads a model.
        while backend.pause.reason is not None and self._clock.monotonic() < hold_until:
            yield from self._idle(work, _PAUSE_LOOK)
        # A full backend is no reason to use a cloud.
        local = [other for other in others if other.settings.local]
        wait = self._settings.queue.wait
        admission = yield from enter(
            exchange, backend, work.priority, wait, as_good=local, slot=slot
        )
        try:
            outgoing = self.compose(work, backend, admission.model, work.plan.route)
            return Attempt(exchange, admission, outgoing, work.request, buffer=0)
        except RouterError:  # a check on what is sent
            admission.close()
            raise

    def _retry_delay(self, problem: RouterError, others: list[Backend]) -> float | None:
        """Seconds after which the same backend is asked once more; None when it is not."""
        jitter = random.uniform(*_JITTER)
        if next_move(problem) is Move.AGAIN:
            return jitter
        if isinstance(problem, UpstreamBroken) and not problem.silent and not others:
            return jitter
        wait = retry_after_of(problem)
        return (
            wait + jitter
            if wait is not None and wait <= self._settings.timeouts.retry_after
            else None
        )

    def _idle(self, work: Work, seconds: float) -> Generator[Keepalive, None, None]:
        until = self._clock.monotonic() + seconds
        while self._clock.monotonic() < until:
            yield from work.exchange.pause(until)

    def _is_loading(
        self, work: Work, backend: Backend, problem: RouterError
    ) -> Generator[Keepalive, None, bool]:
        """A 503 from a server whose health check is 503 as well: it is starting, not failing."""
        if not (
            isinstance(problem, UpstreamStatus)
            and problem.upstream_status == 503
            and backend.provider.health_path
        ):
            return False
        try:
            status, _ = yield from fetch(
                work.exchange, backend, backend.health_request(), timeout=_HEALTH_CHECK
            )
        except UpstreamError:
            return False
        return status == 503

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
            yield from relay(
                exchange,
                attempt,
                Recovery(work, attempt.state.id, self._settings, self._backends, self._log),
            )
            return
        record.leave()
        record.inference_ms, record.usage = attempt.inference_ms, attempt.usage
        attempt.record_step()
        duration, reason = round(attempt.inference_ms), attempt.finish_reason
        self._log.info(
            "Provider response: %s status=%d duration_ms=%d finish_reason=%s stream=false%s",
            name,
            status,
            duration,
            reason,
            suffix,
        )
        body = attempt.body
        attempt.close()
        exchange.settle("ok", 200)
        yield Head(200, answer_headers(work, attempt), body)


def _named(work: Work) -> bool:
    """Whether the client chose the backend, by its model's name."""
    return work.wish.backend is not None
