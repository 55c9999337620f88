"""Answers a request for more embeddings than its backend takes at once: in batches, several at a
time, spread over the replicas of the backend."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

from airouter.dialects.openai_embeddings import JoinedEmbeddings, batches_of
from airouter.dialects.openai_request import ChatRequest
from airouter.domain.clock import Clock
from airouter.domain.errors import UpstreamBroken
from airouter.domain.ports import Slot
from airouter.domain.types import AttemptOutcome
from airouter.flow.side_by_side import SideBySide
from airouter.flow.waits import INFINITY, Waiting
from airouter.proxy.attempt import Attempt
from airouter.proxy.failover import Failover
from airouter.proxy.request_state import Decided, Flow, Head
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend

# At each replica; more would keep other requests from it and make it little faster.
_MOST_AT_ONCE = 4


def in_batches(
    failover: Failover, decided: Decided, replicas: Sequence[Backend], log: Log, clock: Clock
) -> Flow:
    """The answer to a request for embeddings, of at most `max_inputs` inputs per batch.

    The first batch waits for a slot like any request. Others begin as far as slots are free. One
    slot is kept until the last batch, as by a request that is not split. A batch that fails at one
    replica is tried at the others.

    Args:
        replicas: the plan's backends, which serve the same model.

    Raises:
        RouterError: that of the first batch that failed; the others are cancelled.
    """
    work = _Work(failover, decided, replicas, clock)
    yield from work.run()
    body = work.joined.body()
    record, exchange = decided.exchange.record, decided.exchange
    record.attempts += [AttemptOutcome(name, "ok") for name in work.answered]
    record.usage = work.joined.usage
    record.notes.append(f"{decided.request.inputs} inputs sent in {work.count} batches")
    log.info(
        "Provider response: %s status=%d duration_ms=%d finish_reason=%s stream=false%s",
        ",".join(work.answered),
        200,
        round(record.inference_ms),
        None,
        f" batches={work.count}",
    )
    exchange.finish("ok", 200)
    yield Head(decided, body)


class _Work:
    """Mutable state: which batches have yet to begin, which are under way, and what has come."""

    def __init__(
        self, failover: Failover, decided: Decided, replicas: Sequence[Backend], clock: Clock
    ) -> None:
        self.joined = JoinedEmbeddings()
        self.answered: dict[str, None] = {}  # the replicas that answered, in order
        self._failover, self._decided, self._replicas = failover, decided, replicas
        self._exchange, self._clock = decided.exchange, clock
        self._size = replicas[0].settings.max_inputs
        self._waiting = deque(enumerate(batches_of(decided.request, self._size)))
        self.count = len(self._waiting)
        self._sent_to: dict[int, str] = {}  # batches under way, and the replica first asked
        self._under_way: SideBySide[tuple[int, Attempt]] = SideBySide(clock)
        self._kept: tuple[Backend, Slot] | None = None  # for the next batch
        self._began = INFINITY  # when the first was sent, in seconds of the clock
        self._model: str | None = None

    def run(self) -> Waiting[None]:
        try:
            while self._waiting or self._under_way:
                self._begin()
                for at, attempt in (yield from self._under_way.ended()):
                    self._add(at, attempt)
        except BaseException:
            # Sockets first, so that no slot is free whose backend still works.
            for call in [*self._exchange.calls]:
                self._exchange.end(call)  # type: ignore[arg-type]  # those it began
            self._under_way.close()
            raise
        finally:
            self._record_time()

    def _begin(self) -> None:
        """Begin as many batches as may be under way now."""
        while self._waiting:
            held, self._kept = self._kept, None
            if held is None and self._under_way:
                held = self._free_slot()
                if held is None:
                    return
            at, batch = self._waiting.popleft()
            self._sent_to[at] = held[0].name if held else self._decided.plan.backends[0]
            self._under_way.add(self._one(at, batch, held))

    def _free_slot(self) -> tuple[Backend, Slot] | None:
        """A slot for one more batch, of the replica that has the fewest of them. None: none is
        free, or the health or the model's name has yet to be found out by one batch."""
        sent = Counter(self._sent_to.values())
        for replica in sorted(self._replicas, key=lambda replica: sent[replica.name]):
            if (
                sent[replica.name] < _MOST_AT_ONCE
                and replica.in_good_health
                and replica.model_known
                and (slot := replica.limiter.try_acquire()) is not None
            ):
                self._exchange.hold(slot.release)
                return replica, slot
        return None

    def _one(
        self, at: int, batch: ChatRequest, held: tuple[Backend, Slot] | None
    ) -> Waiting[tuple[int, Attempt]]:
        plan, slot = self._decided.plan, None
        if held is not None:
            replica, slot = held
            others = (name for name in plan.backends if name != replica.name)
            plan = replace(plan, backends=(replica.name, *others))
        decided = replace(self._decided, request=batch, plan=plan)
        return at, (yield from self._failover.good_attempt(decided, slot=slot))

    def _add(self, at: int, attempt: Attempt) -> None:
        """Take a good attempt's answer, and let go of what it holds, but for the last slot.

        Raises:
            UpstreamBroken: the answer does not go with the request, or with the other answers.
        """
        lease, name = attempt.lease, attempt.backend.name
        del self._sent_to[at]
        self._began = min(self._began, attempt.began)
        try:
            self._check_model(attempt.model)
            count = len(attempt.outgoing.body["input"])
            self.joined.add(at * self._size, count, attempt.answer.payload or {})
        except ValueError as problem:
            error = UpstreamBroken(f"The backend {name!r} sent {problem}.")
            attempt.record_step(error.message)
            attempt.close()
            lease.failed(error)
            self._exchange.record.attempts.append(AttemptOutcome(name, error.code))
            raise error from None
        lease.succeeded()
        attempt.record_step()
        self.answered[name] = None
        if at == 0:  # it was sent first: what its backend did besides was for other requests
            self._failover.note_answer(self._decided, attempt)
        if self._waiting and not self._under_way and self._kept is None:
            slot = lease.hand_on()
            if slot is not None:
                self._exchange.hold(slot.release)
                self._kept = attempt.backend, slot
        attempt.close()
        lease.close()

    def _check_model(self, model: str) -> None:
        """Embeddings of different models are not comparable.

        Raises:
            ValueError: the backend has changed its model since the first batch.
        """
        if self._model is None:
            self._model = model
        elif model != self._model:
            raise ValueError(f"embeddings of {model!r} after those of {self._model!r}")

    def _record_time(self) -> None:
        record, now = self._exchange.record, self._clock.monotonic()
        record.leave()
        if self._began < INFINITY:
            record.inference_ms = (now - self._began) * 1000
            record.starts_ms["inference"] = (self._began - self._exchange.started_at) * 1000
            if record.ttft_ms is not None:
                record.ttft_ms = (now - self._exchange.started_at) * 1000
