"""The background thread of a worker that runs tuned models: it notices promotions, compares the
shadow, and makes the live checks."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from airouter.classify.cascade import CallingTier
from airouter.classify.tiers.tuned import NAME, TunedTier
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.domain.types import ExchangeRecord
from airouter.index.leader import Leader
from airouter.learning.checks import Pace, Sample, ask, check, drifted, this_week
from airouter.learning.shadow import compare, is_compared
from airouter.learning.store import Store
from airouter.runtime.limiters import sharing_with_classifier
from airouter.runtime.state import Current
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend

OBJECTIVE = "tuned-model"  # its alert: TunedModelDrifted
_TICK = 1.0  # seconds
_REPORT_EVERY = 60.0  # seconds between two writes of the shadow's counts, and of the objective
_WAITING = 200  # records to compare; more are left out
_TEACHER = "reasoning"


class Learning:
    """Sink and service; does nothing while the tier `tuned` is off.

    Mutable state: the records to look at (two thread-safe collections), what has been counted, and
    when it is written next; the latter used by its thread only.

    Args:
        folder: `cascade.tuned.dir`.
        fed: counts an event (good or bad) for the objective of a name.
    """

    def __init__(
        self,
        current: Current,
        folder: Path,
        *,
        clock: Clock,
        log: Log,
        fed: Callable[[str, bool], None] = lambda _name, _good: None,
    ) -> None:
        self._current = current
        self._clock = clock
        self._log = log
        self._fed = fed
        self.store = Store(folder)
        self.counts: Counter[tuple[str, str]] = Counter()  # (shadow or check, result), for metrics
        self._leader = Leader(folder / "leader.lock")
        self._waiting: deque[ExchangeRecord] = deque(maxlen=_WAITING)
        self._sample = Sample()
        self._sampled: str | None = None  # the model whose decisions are in the sample
        self._pace = Pace()
        self._shadowed: Counter[tuple[str, str]] = Counter()
        self._shadow: str | None = None
        self._report_at = clock.monotonic() + _REPORT_EVERY
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def emit(self, record: ExchangeRecord) -> None:
        tier = self._tier()
        if tier is None or not is_compared(record):
            return
        if tier.shadow is not None:
            self._waiting.append(record)
        if tier.service is not None and record.tier == NAME:
            self._sample.add(record)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="learning", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_TICK + 1)
        self._leader.close()

    def _run(self) -> None:
        while not self._stopped.wait(_TICK):
            tier = self._tier()
            if tier is None:
                continue
            try:
                self.step(tier)
            except Exception as error:  # keep the thread alive
                self._log.error(
                    "The tuned model is not watched: %s: %s", type(error).__name__, str(error)
                )
                self._stopped.wait(_REPORT_EVERY)

    def step(self, tier: TunedTier) -> None:
        """What is due now."""
        tier.refresh()
        self._compare(tier)
        name = tier.service[0] if tier.service is not None else None
        if name != self._sampled:
            self._sampled = name
            self._sample.clear()
        leads = self._leader.try_lead()
        if leads and name is not None:
            self._check(tier, name)
        if self._clock.monotonic() >= self._report_at:
            self._report_at = self._clock.monotonic() + _REPORT_EVERY
            self._report(tier, leads)

    # The shadow -----------------------------------------------------------------------------------

    def _compare(self, tier: TunedTier) -> None:
        shadow = tier.shadow
        if (shadow[0] if shadow is not None else None) != self._shadow:
            self._keep_counts()
            self._shadow = shadow[0] if shadow is not None else None
        while self._waiting and shadow is not None:
            before = self._shadowed.copy()
            compare(shadow[1], self._waiting.popleft(), self._shadowed)
            for _, result in self._shadowed - before:
                self.counts["shadow", result] += 1

    def _keep_counts(self) -> None:
        counts, self._shadowed = self._shadowed, Counter()
        if self._shadow is not None and counts:
            self.store.count_shadow(self._shadow, dict(counts))

    # Live checks ----------------------------------------------------------------------------------

    def _check(self, tier: TunedTier, name: str) -> None:
        teacher, backends = self._teacher()
        now = self._clock.monotonic()
        settings = self._current.state.settings
        due = self._pace.due(now, settings.cascade.tuned.checks_per_week)
        if teacher is None or not due or _busy(backends):
            return
        record = self._sample.take()
        if record is None:
            return
        self._pace.count(now)
        agreed = check(
            record,
            name,
            self.store,
            self._clock,
            lambda features: ask(teacher, features, self._clock, lambda: _waited_for(backends)),
            keep=settings.logging.content == "full",
        )
        if agreed is None:
            return
        self.counts["check", "agrees" if agreed else "differs"] += 1
        found = this_week(self.store, name, self._clock)
        if drifted(found) and tier.registry.drift(name):
            self._log.error(
                "The tuned model %s is back in shadow: the classifier agreed in %d of %d checks",
                name,
                found.agreed,
                found.n,
            )
            self._fed(OBJECTIVE, False)
            tier.refresh()

    def _teacher(self) -> tuple[CallingTier | None, list[Backend]]:
        """The reasoning tier, and its backend or replicas, with those that share its slots."""
        state = self._current.state
        named, shared = (
            state.settings.cascade.reasoning.backend,
            sharing_with_classifier(state.settings),
        )
        backends = [b for b in state.backends.values() if named in (b.name, b.group)]
        backends += [b for b in state.backends.values() if b.name in shared and b not in backends]
        tiers = [one for one in state.pipeline.cascade.tiers if one.name == _TEACHER]
        return (tiers[0] if tiers else None), backends  # type: ignore[return-value]

    def _report(self, tier: TunedTier, leads: bool) -> None:
        self._keep_counts()
        try:
            state = tier.registry.state()
        except ConfigError:  # the tier has said so
            return
        if leads and (state.service or state.shadow):
            self._fed(OBJECTIVE, not (state.service is None and state.shadow in state.drifted))

    def _tier(self) -> TunedTier | None:
        tiers = self._current.state.pipeline.cascade.tiers
        return next((tier for tier in tiers if isinstance(tier, TunedTier)), None)


def _busy(backends: list[Backend]) -> bool:
    return any(b.limiter.in_use or b.limiter.waiting or not b.breaker.available for b in backends)


def _waited_for(backends: list[Backend]) -> bool:
    return any(backend.limiter.waiting for backend in backends)
