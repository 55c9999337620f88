"""Gets a plan answered: its backends in the best order, one after the other, until one commits."""

import math
import random
from collections.abc import Mapping
from functools import partial

from airouter.dialects.openai_compose import Outgoing, compose
from airouter.dialects.openai_errors import model_is_gone
from airouter.domain.clock import Clock
from airouter.domain.errors import (
    ConnectFailed,
    NoBackend,
    RouterError,
    UpstreamBroken,
    UpstreamError,
    UpstreamStatus,
    forget_traceback,
)
from airouter.domain.ports import RetryBudget, Slot
from airouter.domain.types import AttemptOutcome
from airouter.flow.waits import Waiting
from airouter.proxy.attempt import Attempt
from airouter.proxy.recovery import Recovery
from airouter.proxy.request_state import Decided, Flow, Head, Received
from airouter.proxy.retry_policy import (
    Move,
    another_can_answer,
    first_byte_limit,
    in_order,
    more_telling,
    next_move,
    remaining,
    retry_after_of,
    says_when,
)
from airouter.proxy.sessions import Sessions
from airouter.proxy.streaming import relay
from airouter.settings.schema import Settings
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend
from airouter.upstream.client import FreeElsewhere, Lease

_HEALTH_CHECK = 1.0  # seconds for asking a backend that said 503 whether it is loading
_PAUSE_LOOK = 0.25  # seconds between looks at whether a pause is over
_LOADING_LOOK = 1.0  # seconds between tries of a backend that cannot be reached but may be loading
_JITTER = (0.05, 0.15)  # seconds before a quick retry


class Failover:
    """Shared by all requests of a configuration."""

    def __init__(
        self,
        settings: Settings,
        backends: Mapping[str, Backend],
        prompts: Mapping[str, str],
        sessions: Sessions,
        budget: RetryBudget,
        log: Log,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._backends = backends
        self._prompts = prompts
        self._sessions = sessions
        self._budget = budget
        self._log = log
        self._clock = clock

    def compose(
        self, received: Received, lease: Lease, route: str, context: str | None = None
    ) -> Outgoing:
        """The body for the backend of a lease."""
        backend = lease.backend
        return compose(
            received.request,
            backend.settings,
            lease.model,
            prompts=self._prompts,
            date=received.date,
            context=context,
            meta_max_chars=self._settings.cascade.meta_max_chars if route == "meta" else None,
            usage=backend.provider.adds_usage,
            window=backend.context_window,
        )

    def answer(self, decided: Decided, adopted: Attempt | None) -> Flow:
        """Try the plan's backends until one commits.

        Args:
            adopted: a speculation, as the first attempt.

        Raises:
            RouterError: a final refusal, or the last error when the chain is exhausted.
        """
        attempt = yield from self.good_attempt(decided, adopted)
        yield from self._commit(decided, attempt)

    def good_attempt(
        self, decided: Decided, adopted: Attempt | None = None, slot: Slot | None = None
    ) -> Waiting[Attempt]:
        """Try the plan's backends until one has an answer to pass on; its breaker is not told yet.

        Args:
            adopted: a speculation, as the first attempt.
            slot: one of the first backend's that the exchange holds already.

        Raises:
            RouterError: a final refusal, or the last error when the chain is exhausted.
        """
        self._budget.deposit()
        chain = [self._backends[name] for name in decided.plan.backends]
        # With a slot already, the first one is not full for this request.
        candidates = in_order(chain) if slot is None else [chain[0], *in_order(chain[1:])]
        if adopted is not None:
            candidates = [adopted.backend, *(b for b in candidates if b is not adopted.backend)]
        history = decided.exchange.record.attempts
        last: RouterError | None = None
        while True:
            while candidates:
                backend = candidates.pop(0)
                try:
                    attempt = yield from self._try(decided, backend, adopted, candidates, slot)
                except FreeElsewhere as free:
                    rest = [backend, *(b for b in candidates if b is not free.backend)]
                    candidates, slot = [free.backend, *rest], free.slot
                    continue
                except RouterError as error:
                    adopted = slot = None
                    forget_traceback(error)
                    last = more_telling(last, error)
                    outcome = AttemptOutcome(backend.name, error.code)
                    if outcome not in history[-len(chain) :]:  # while it loads it is asked often
                        history.append(outcome)
                    left = remaining(candidates, backend, error, named=decided.names_backend)
                    candidates = in_order(left)  # their health may have changed meanwhile
                else:
                    return attempt
            assert last is not None  # a chain has at least one backend
            loading = [backend for backend in chain if self._may_be_loading(backend)]
            if not loading or not isinstance(last, ConnectFailed | NoBackend):
                break
            for backend in loading:
                backend.pause.begin("loading", _LOADING_LOOK)
            yield from decided.exchange.sleep(_PAUSE_LOOK)
            candidates = in_order(chain)
        # The chain is exhausted: a client that repeats the request at once would only multiply the
        # attempts.
        if not says_when(last):
            last.headers.setdefault("x-should-retry", "false")
        raise last

    # One backend ----------------------------------------------------------------------------------

    def _try(
        self,
        decided: Decided,
        backend: Backend,
        adopted: Attempt | None,
        others: list[Backend],
        slot: Slot | None,
    ) -> Waiting[Attempt]:
        """An attempt that is ready and good; its breaker is not told yet.

        Args:
            adopted: the speculation, if it is the attempt to wait for.
            others: the backends that would be asked next.
            slot: one of the backend's that the exchange holds already.

        Raises:
            RouterError: it was not asked, or did not answer; its breaker has been told.
            FreeElsewhere: one of the others has a free slot before it.
        """
        lease = adopted.lease if adopted is not None else Lease(decided.exchange, backend)
        try:
            alone = adopted is not None or not any(other.can_answer for other in others)
            lease.permit(last_resort=alone)
            return (yield from self._until_good(decided, lease, adopted, others, slot))
        except BaseException as error:
            if adopted is not None:
                adopted.close()
            if slot is not None:
                slot.release()  # idempotent: the lease may have given it back
            if isinstance(error, RouterError):
                self._tell_breaker(lease, error, others)
            lease.close()
            raise

    def _until_good(
        self,
        decided: Decided,
        lease: Lease,
        adopted: Attempt | None,
        others: list[Backend],
        slot: Slot | None,
    ) -> Waiting[Attempt]:
        exchange, backend = decided.exchange, lease.backend
        record = exchange.record
        hold_until = self._clock.monotonic() + self._settings.queue.hold_wait
        retried = adopted is not None  # a speculation that failed by itself was the one try
        renamed = False
        while True:
            attempt = adopted or (yield from self._start(decided, lease, hold_until, others, slot))
            adopted = slot = None
            if decided.request.stream:
                attempt.call.shorten_first_byte(
                    first_byte_limit(backend, others, decided.features.total_chars)
                )
            record.inference_ms = 0.0  # of this try alone
            record.enter("inference_ms", attempt.began)
            while not attempt.ready:
                yield from exchange.wait()
            problem = attempt.problem()
            if problem is None:
                return attempt
            record.leave()
            record.inference_ms = attempt.inference_ms
            if not (isinstance(problem, ConnectFailed) and backend.breaker.unreached_for):
                attempt.record_step(problem.message)
            attempt.close()
            again = AttemptOutcome(backend.name, problem.code, "again")
            if self._serves_another_model(decided, backend, problem):
                backend.relearn()  # restarted with another model since its name was read
                if not renamed:
                    renamed = True
                    record.attempts.append(again)
                    continue
            if (yield from self._is_loading(lease, problem)):
                backend.pause.begin("loading", self._settings.queue.hold_wait)
                if another_can_answer(backend, others) or self._clock.monotonic() >= hold_until:
                    lease.close()  # its breaker learns nothing
                    problem.retry_after = max(1, math.ceil(backend.pause.seconds_left()))
                    raise problem
                continue
            delay = None if retried else self._retry_delay(problem, others)
            if delay is None or not self._budget.withdraw():
                raise problem
            retried = True
            record.attempts.append(again)
            yield from exchange.sleep(delay)

    def _start(
        self,
        decided: Decided,
        lease: Lease,
        hold_until: float,
        others: list[Backend],
        slot: Slot | None,
    ) -> Waiting[Attempt]:
        exchange, backend = decided.exchange, lease.backend
        # It swaps or loads a model.
        while backend.pause.reason is not None and self._clock.monotonic() < hold_until:
            yield from exchange.sleep(_PAUSE_LOOK)
        # A full backend is no reason to use a cloud.
        local = [other for other in others if other.settings.local]
        wait = self._settings.queue.wait
        yield from lease.enter(decided.priority, wait, as_good=local, slot=slot)
        outgoing = self.compose(decided, lease, decided.plan.route, decided.context)
        return Attempt(exchange, lease, outgoing, decided.request)

    def _tell_breaker(self, lease: Lease, error: RouterError, others: list[Backend]) -> None:
        """A backend that may be loading is not counted as failing while requests wait for it
        alone."""
        if (
            isinstance(error, ConnectFailed)
            and error.down
            and not any(other.can_answer for other in others)
            and self._may_be_loading(lease.backend, now_down=True)
        ):
            lease.close()
            lease.backend.breaker.probe_refused()
        else:
            lease.failed(error)

    def _may_be_loading(self, backend: Backend, *, now_down: bool = False) -> bool:
        """Whether a local server that cannot be reached may only be starting: it has not been down
        for longer than a start is waited for."""
        down_for = backend.breaker.unreached_for
        if down_for is None:
            down_for = 0.0 if now_down else math.inf
        local = backend.settings.local and not backend.out
        return local and down_for < self._settings.queue.hold_wait

    def _serves_another_model(
        self, decided: Decided, backend: Backend, problem: RouterError
    ) -> bool:
        learnt = backend.settings.model is None and not decided.names_backend
        return learnt and model_is_gone(problem)

    def _retry_delay(self, problem: RouterError, others: list[Backend]) -> float | None:
        """Seconds after which the same backend is asked once more; None when it is not."""
        jitter = random.uniform(*_JITTER)
        if next_move(problem) is Move.AGAIN:
            return jitter
        if isinstance(problem, UpstreamBroken) and not problem.silent and not others:
            return jitter
        wait = retry_after_of(problem)
        soon = wait is not None and wait <= self._settings.timeouts.retry_after
        return wait + jitter if wait is not None and soon else None

    def _is_loading(self, lease: Lease, problem: RouterError) -> Waiting[bool]:
        """A 503 from a server whose health check is 503 as well: it is starting, not failing."""
        backend = lease.backend
        if not (
            isinstance(problem, UpstreamStatus)
            and problem.upstream_status == 503
            and backend.provider.health_path
        ):
            return False
        try:
            status, _ = yield from lease.fetch(backend.health_request(), _HEALTH_CHECK)
        except UpstreamError:
            return False
        return status == 503

    # Committing -----------------------------------------------------------------------------------

    def note_answer(self, decided: Decided, attempt: Attempt) -> None:
        """Record which backend answers, and how it has begun to."""
        exchange, record = decided.exchange, decided.exchange.record
        record.backend, record.model = attempt.backend.name, attempt.model
        record.adjusted = attempt.adjusted
        record.ttft_ms = (self._clock.monotonic() - exchange.started_at) * 1000
        record.connect_ms = float(attempt.connect_ms)
        record.backend_ttft_ms = attempt.backend_ttft_ms
        record.in_flight, record.idle_s = attempt.lease.in_flight, attempt.lease.idle_s

    def _commit(self, decided: Decided, attempt: Attempt) -> Flow:
        exchange, name = decided.exchange, attempt.backend.name
        request, record = decided.request, exchange.record
        attempt.lease.succeeded(whole=not request.stream)
        record.attempts.append(AttemptOutcome(name, "ok"))
        self.note_answer(decided, attempt)
        self._sessions.remember(
            decided.turn,
            request,
            decided.decision,
            decided.plan,
            attempt.backend,
            images=decided.features.has_images,
            now=self._clock.monotonic(),
        )
        suffix = " speculative=true" if attempt.speculative else ""
        status = attempt.call.status
        if request.stream:
            self._log.info(
                "Provider response: %s status=%d connect_ms=%d ttft_ms=%d stream=true%s",
                name,
                status,
                attempt.connect_ms,
                round(attempt.ttft_ms),
                suffix,
            )
            yield Head(decided, None)
            recovery = partial(Recovery, decided, attempt, self._settings, self._backends)
            yield from relay(exchange, attempt, recovery)
            return
        record.leave()
        record.inference_ms, record.usage = attempt.inference_ms, attempt.answer.usage
        record.repaired_calls = attempt.answer.repaired
        attempt.record_step()
        self._log.info(
            "Provider response: %s status=%d duration_ms=%d finish_reason=%s stream=false%s",
            name,
            status,
            round(attempt.inference_ms),
            attempt.answer.finish_reason,
            suffix,
        )
        body = attempt.answer.raw
        attempt.close()
        exchange.finish("ok", 200)
        yield Head(decided, body)
