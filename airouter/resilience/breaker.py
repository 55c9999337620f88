"""Layer 1 of the backpressure: whether a backend may be asked, from how its last requests went.

Two degrees. *Cooling* is a preference: other backends are tried first, this one only as a last resort. *Open* is a
refusal: it answers nobody until its time is over. After either, one request (the half-open probe) tries it again.
"""

import math
import threading

from airouter.domain.clock import Clock
from airouter.domain.ports import BreakerState, Failure


class Permit:
    """The right to ask once. Settled exactly once: `answered`, `failed` or `forgotten`; later calls do nothing."""

    __slots__ = ("_breaker", "epoch", "probe")

    def __init__(self, breaker: "Breaker", epoch: int, probe: bool) -> None:
        self._breaker: Breaker | None = breaker
        self.epoch = epoch
        self.probe = probe

    def answered(self, *, whole: bool = True) -> None:
        """The backend gave an answer, or a refusal that is the request's own fault: it is alive.

        `whole=False`: a stream has begun; the failures in a row are forgotten when it is complete (`succeed`).
        """
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker._answered(self, whole)

    def failed(self, kind: Failure) -> None:
        """connect: nothing listens; silent: no byte in time; other: 5xx, a broken or unreadable answer."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker._failed(kind, self)

    def forgotten(self) -> None:
        """Nothing was learnt: the client left, the speculation was cancelled, the caller's own limit was too tight."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker._forgotten(self)


class Breaker:
    """Asked and told; it never runs the call.

    Args:
        threshold: consecutive failed requests that open it.
        reset: seconds it stays open.
        allowed_fails: failures in a row before it cools; a refused connection or silence cools it at once.
        cooldown: seconds it cools.

    Mutable state: the state, since when, the failures in a row, the probe that is out; guarded by one lock.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        threshold: int = 5,
        reset: float = 60,
        allowed_fails: int = 1,
        cooldown: float = 30,
    ) -> None:
        self._clock = clock
        self._threshold = threshold
        self._reset = reset
        self._allowed_fails = allowed_fails
        self._cooldown = cooldown
        self._lock = threading.Lock()
        self._state: BreakerState = "closed"
        self._cause: Failure | None = None
        self._until = 0.0
        self._fails = 0
        self._probe: Permit | None = (
            None  # the one that is out; a permit of an earlier half-open time is not it
        )
        self._epoch = (
            0  # grows with each change for the worse: what began before it does not undo it
        )
        self._unreached_at: float | None = None  # since when there is no connection
        self.opened = 0  # times, for the metrics

    @property
    def state(self) -> BreakerState:
        """As a caller would find it now."""
        with self._lock:
            return self._now()

    @property
    def available(self) -> bool:
        """Whether `allow()` would give a permit now."""
        with self._lock:
            state = self._now()
            return state == "closed" or (state == "half_open" and self._probe is None)

    @property
    def cause(self) -> Failure | None:
        return self._cause

    @property
    def unreached_for(self) -> float | None:
        """Seconds since a connection first failed; None while it is not known to be down."""
        since = self._unreached_at
        return None if since is None else self._clock.monotonic() - since

    @property
    def fails(self) -> int:
        return self._fails

    def retry_after(self) -> int:
        """Whole seconds, rounded up, until it may be asked again; at least 1."""
        with self._lock:
            return max(1, math.ceil(self._until - self._clock.monotonic()))

    def allow(self, *, last_resort: bool = False) -> Permit | None:
        """A permit, or None. `last_resort`: nobody else can answer, so a cooling backend is better than none."""
        with self._lock:
            state = self._now()
            if state == "half_open" and self._probe is None:
                self._probe = Permit(self, self._epoch, True)
                return self._probe
            if state == "closed" or (last_resort and self._state == "cooling"):
                return Permit(self, self._epoch, False)
            return None

    def succeed(self) -> None:
        """A stream that had begun is complete."""
        with self._lock:
            if self._state == "closed":
                self._fails = 0

    def fail(self, kind: Failure) -> None:
        """An answer that had begun broke off: a failure of its own, after the permit was settled."""
        self._failed(kind, None)

    def probe_passed(self) -> None:
        """A background health check passed. It ends a cooldown that a *refused connection* began: a server that hangs
        still answers its health check, so after silence the half-open request decides."""
        with self._lock:
            self._unreached_at = None
            if (
                self._state in ("cooling", "open")
                and self._cause == "connect"
                and self._probe is None
            ):
                self._close()

    def probe_refused(self) -> None:
        """Nothing listens there, which says that it is down or loading: others are preferred, but
        it is not counted as a failure."""
        with self._lock:
            self._unreached()
            if self._state in ("closed", "cooling") and self._probe is None:
                self._worsen("cooling", "connect", self._cooldown)

    def _now(self) -> BreakerState:
        if self._state in ("cooling", "open") and (
            self._probe is not None or self._clock.monotonic() >= self._until
        ):
            return "half_open"
        return self._state

    def _answered(self, permit: Permit, whole: bool) -> None:
        with self._lock:
            if permit is self._probe:
                self._close()
            elif permit.epoch == self._epoch and self._state != "open":
                fails = self._fails
                self._close()
                self._fails = 0 if whole else fails

    def _failed(self, kind: Failure, permit: Permit | None) -> None:
        with self._lock:
            if kind == "connect":
                self._unreached()
            probe = permit is not None and permit is self._probe
            if probe:
                self._probe = None
            elif self._state == "open":
                return  # began before it opened: already counted in effect
            self._fails += 1
            if self._fails >= self._threshold or (probe and self._state == "open"):
                self._worsen("open", kind, self._reset)
            elif probe or kind != "other" or self._fails > self._allowed_fails:
                self._worsen("cooling", kind, self._cooldown)

    def _forgotten(self, permit: Permit) -> None:
        with self._lock:
            if permit is self._probe:
                self._probe = None

    def _worsen(self, state: BreakerState, cause: Failure, seconds: float) -> None:
        if state == "open" and self._state != "open":
            self.opened += 1
        self._state, self._cause = state, cause
        self._until = self._clock.monotonic() + seconds
        self._epoch += 1

    def _unreached(self) -> None:
        if self._unreached_at is None:
            self._unreached_at = self._clock.monotonic()

    def _close(self) -> None:
        self._state, self._cause, self._fails, self._probe = "closed", None, 0, None
        self._unreached_at = None


class RetryBudget:
    """Retries are paid for by requests, so that a storm of failures is not multiplied.

    Each request pays in `ratio`; a retry costs 1; at most `reserve` is saved. Mutable state: the balance; one lock.
    """

    def __init__(self, ratio: float = 0.2, reserve: float = 10) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._lock = threading.Lock()
        self._balance = reserve

    def deposit(self) -> None:
        with self._lock:
            self._balance = min(self._reserve, self._balance + self._ratio)

    def withdraw(self) -> bool:
        """Whether a retry may be made."""
        with self._lock:
            if self._balance < 1:
                return False
            self._balance -= 1
            return True
