"""The cascade: an ordered list of tiers, of which the first that does not abstain decides.

An instant tier decides in microseconds. A calling tier asks a backend; it is a generator, so that
the exchange's other work, such as a speculative answer, continues meanwhile. Equal requests at the
same time are classified once. A finished answer does not wait for a decision longer than
`cascade.patience`.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from airouter.classify.single_flight import Seat, SingleFlight
from airouter.classify.tiers.cache import CacheTier, is_cacheable, key_of
from airouter.domain.clock import Clock
from airouter.domain.errors import PatienceOver
from airouter.domain.labels import DEFAULT_LABEL
from airouter.domain.types import Decision, Features, Verdict
from airouter.flow.exchange import Exchange, Patience
from airouter.flow.waits import Waiting


class InstantTier(Protocol):
    """A tier that decides without a call to a backend."""

    name: str
    instant: bool

    def vote(self, features: Features) -> Verdict:
        """The verdict, which may be an abstention."""
        ...


class CallingTier(Protocol):
    """A tier that calls a backend."""

    name: str
    instant: bool

    def ask(self, exchange: Exchange, features: Features) -> Waiting[Verdict]:
        """The verdict. If the call fails, it is an abstention, not an error.

        Raises:
            ClientGone: the client disconnected.
            DeadlineExceeded: the exchange timed out.
            PatienceOver: a finished answer has waited too long for the decision.
        """
        ...


class Cascade:
    """The tiers in the configured order, shared by all requests.

    Args:
        fallback_min_p: minimum probability at which the best guess decides if no tier did.
        fallback_min_p_enrich: the same for ENRICH, whose error costs a search; None: the same.
        patience: seconds that a finished answer waits for a calling tier; None: derived from recent
            classifications.
    """

    def __init__(
        self,
        tiers: Sequence[InstantTier | CallingTier],
        clock: Clock,
        fallback_min_p: float = 1.0,
        patience: float | None = None,
        fallback_min_p_enrich: float | None = None,
    ) -> None:
        self.tiers = tuple(tiers)
        self.fallback_min_p = fallback_min_p
        self.fallback_min_p_enrich = (
            fallback_min_p if fallback_min_p_enrich is None else fallback_min_p_enrich
        )
        self.clock = clock
        self.cache = next((tier for tier in tiers if isinstance(tier, CacheTier)), None)
        self.flights = SingleFlight()
        self.patience = PatienceMeter(patience)

    def deliberate(self, features: Features) -> "Deliberation":
        """Run the instant tiers; `Deliberation.run()` runs the calling tiers if none decided."""
        return Deliberation(self, features)


class Deliberation:
    """The decision for one request: `decision` is set at once, or by `run()`."""

    def __init__(self, cascade: Cascade, features: Features) -> None:
        self.decision: Decision | None = None
        self._cascade = cascade
        self._features = features
        self._started = cascade.clock.monotonic()
        self._verdicts: list[Verdict] = []
        self._calling: tuple[str, float] | None = None  # the calling tier in progress, since when
        self._remaining = list(cascade.tiers)
        while self._remaining and self._remaining[0].instant and self.decision is None:
            self._add(self._remaining.pop(0).vote(features))  # type: ignore[union-attr]
        if self.decision is None and not self._remaining:
            self._fall_back()

    @property
    def p_primary(self) -> float | None:
        """Probability of the primary route according to the latest tier that estimates it."""
        return next(
            (v.p_primary for v in reversed(self._verdicts) if v.p_primary is not None), None
        )

    def run(
        self, exchange: Exchange, finished: Callable[[], bool] | None = None
    ) -> Waiting[Decision]:
        """Ask the remaining tiers, or wait for the decision on an equal request.

        Args:
            finished: whether a complete answer is waiting for the decision. Once `Cascade.patience`
                has passed, it no longer waits: the classifier's call is cancelled and the decision
                falls back (tier `patience`).
        """
        seat: Seat | None = None
        patience = self._cascade.patience.seconds
        if finished is not None:
            exchange.patience = Patience(self._started + patience, finished)
        try:
            try:
                seat = yield from self._join_flight(exchange)
                yield from self._ask(exchange)
            except PatienceOver:
                self._give_up(exchange, patience)
            exchange.patience = None
            if self.decision is None:
                self._fall_back()
            assert self.decision is not None
            if seat is not None and seat.leads:
                self._share(seat, self.decision)
            return self.decision
        finally:
            if seat is not None:
                seat.leave()
                exchange.drop(seat.leave)

    def _ask(self, exchange: Exchange) -> Waiting[None]:
        """Ask the remaining tiers until one decides."""
        while self.decision is None and self._remaining:
            tier = self._remaining.pop(0)
            if tier.instant:
                self._add(tier.vote(self._features))  # type: ignore[union-attr]
                continue
            exchange.check_patience()
            exchange.record.verdicts = tuple(self._verdicts)  # for those who look meanwhile
            self._calling = tier.name, self._cascade.clock.monotonic()
            verdict = yield from tier.ask(exchange, self._features)  # type: ignore[union-attr]
            self._calling = None
            self._add(verdict)
            if self.decision is not None:
                self._cascade.patience.observe(tier.name, self.decision.ms / 1000)

    def _give_up(self, exchange: Exchange, patience: float) -> None:
        """Decide without the classifier, which took longer than `patience` seconds."""
        if self._calling is not None:
            name, since = self._calling
            ms = (self._cascade.clock.monotonic() - since) * 1000
            why = "cancelled: a finished answer waited longer than cascade.patience"
            self._verdicts.append(Verdict(name, None, ms=ms, reason=why, finish_reason="patience"))
        exchange.record.notes.append(
            "decided without the classifier: it took longer than cascade.patience "
            f"({patience:.3g} s)"
        )
        self._fall_back("patience")

    def _join_flight(self, exchange: Exchange) -> Waiting[Seat | None]:
        """A leader's seat, or a follower's once its leader has decided (`decision` is then set)."""
        # What another router asks on behalf of a request that waits here must not wait for it.
        joins = self._cascade.cache is not None and not exchange.hops
        key = key_of(self._features) if joins else None
        while key is not None:
            seat = self._cascade.flights.join(key)
            exchange.hold(seat.leave)
            if seat.leads:
                return seat
            try:
                while not seat.resolved:
                    yield from exchange.wait(wake=seat.wake)
            except PatienceOver:  # the exchange continues; other errors close it and its seat
                seat.leave()
                exchange.drop(seat.leave)
                raise
            if seat.decision is not None:
                shared = seat.decision
                self._verdicts += [
                    replace(v, reason="shared with an equal request at the same time")
                    for v in shared.verdicts
                    if v.label
                ]
                self._decide(shared.label, shared.tier, shared.p, shared.threshold)
                return seat
            seat.leave()
            exchange.drop(seat.leave)
        return None

    def _share(self, seat: Seat, decision: Decision) -> None:
        shareable = is_cacheable(decision)
        if shareable and self._cascade.cache is not None:
            self._cascade.cache.store(self._features, decision)
        seat.resolve(decision if shareable else None)

    def _add(self, verdict: Verdict) -> None:
        self._verdicts.append(verdict)
        if verdict.label is not None:
            self._decide(verdict.label, verdict.tier, verdict.p, verdict.threshold)

    def _fall_back(self, tier: str = "fallback") -> None:
        """Decide by the best guess so far if it is probable enough, else for the primary."""
        guesses = [v for v in self._verdicts if v.guess is not None and v.p is not None]
        best = max(guesses, key=lambda v: v.p or 0.0, default=None)
        enrich = best is not None and best.guess == "ENRICH"
        cascade = self._cascade
        threshold = cascade.fallback_min_p_enrich if enrich else cascade.fallback_min_p
        if best is not None and best.guess is not None and (best.p or 0.0) >= threshold:
            self._decide(best.guess, tier, best.p, threshold)
        else:
            self._decide(DEFAULT_LABEL, tier, None, None)

    def _decide(self, label: str, tier: str, p: float | None, threshold: float | None) -> None:
        elapsed = (self._cascade.clock.monotonic() - self._started) * 1000
        self.decision = Decision(label, tier, p, threshold, elapsed, tuple(self._verdicts))


MIN_SECONDS = 3.0
_WINDOW = 200  # latest classifications per tier
_MIN_SAMPLES = 20  # with fewer, one slow start would be the 95th percentile


class PatienceMeter:
    """Observes how long classifications take that return a label; cancelled ones do not count.

    Each tier is measured by itself: a fast tier that decides nearly everything must not make a slow
    one look late. Mutable state: the latest durations and the 95th percentile by tier, and the
    resulting patience; guarded by one lock.

    Args:
        fixed: `cascade.patience` in seconds; None: the longer of 3 s and twice the slowest tier's
            95th percentile.
    """

    def __init__(self, fixed: float | None = None) -> None:
        self._fixed = fixed
        self._lock = threading.Lock()
        self._latest: dict[str, deque[float]] = {}
        self._p95: dict[str, float] = {}
        self._seconds = MIN_SECONDS if fixed is None else fixed

    @property
    def seconds(self) -> float:
        """The current patience."""
        return self._seconds

    def observe(self, tier: str, seconds: float) -> None:
        """Record that a tier returned a label `seconds` after the cascade started."""
        if self._fixed is not None:
            return
        with self._lock:
            latest = self._latest.setdefault(tier, deque(maxlen=_WINDOW))
            latest.append(seconds)
            if len(latest) >= _MIN_SAMPLES:
                self._p95[tier] = sorted(latest)[math.ceil(0.95 * len(latest)) - 1]
                self._seconds = max(MIN_SECONDS, 2 * max(self._p95.values()))
