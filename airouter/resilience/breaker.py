"""Whether a backend may be asked: from how its last requests went (`Breaker`), and whether it swaps
or loads a model (`Pause`).

A breaker knows two degrees. *Cooling* is a preference: other backends are asked first, this one as
a last resort. *Open* is a refusal until its time is over. After either, one request (the half-open
probe) tries it again.
"""

import math
import threading

from airouter.domain.clock import Clock
from airouter.domain.ports import BreakerState, Failure

_FADES = 20.0  # seconds in which a failure comes to count a third of what it did at first


class Permit:
    """Permission for one call. Its first `answered`, `failed` or `forgotten` counts; later ones do
    nothing."""

    __slots__ = ("_breaker", "epoch", "probe")

    def __init__(self, breaker: "Breaker", epoch: int, probe: bool) -> None:
        self._breaker: Breaker | None = breaker
        self.epoch = epoch
        self.probe = probe

    def answered(self, *, whole: bool = True) -> None:
        """The backend works: it returned an answer, or an error that is the request's own fault.

        Args:
            whole: False if a stream has only started; its end then calls `Breaker.succeed()`, which
                resets the count of consecutive failures.
        """
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker._answered(self, whole)

    def failed(self, kind: Failure) -> None:
        """The call failed: `connect`: nothing listens; `silent`: no byte arrived in time; `other`:
        a 5xx status, or a broken or invalid answer."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker._failed(kind, self)

    def forgotten(self) -> None:
        """The call says nothing about the backend: the client disconnected, the speculation was
        cancelled, or the caller's own timeout expired."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker._forgotten(self)


class Breaker:
    """The breaker of one backend. Callers ask for a permit and report the result.

    Mutable state: the state and when it ends, the count of consecutive failures, and the probe in
    progress; guarded by one lock.

    Args:
        threshold: consecutive failures after which it opens.
        reset: seconds that it stays open.
        allowed_fails: consecutive failures that are tolerated before it cools; a refused connection
            or a timeout cools it at once.
        cooldown: seconds that it cools.
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
        self._probe: Permit | None = None  # the current one, not those of earlier half-open states
        # Incremented when the state gets worse: the success of a call that began earlier does not
        # undo that.
        self._epoch = 0
        self._unreached_at: float | None = None  # when a connection first failed
        self.opened = 0  # how often, for the metrics
        self.cooled = 0  # … from closed
        self.recovered_at: float | None = None  # when it last closed, in seconds of the clock
        self._recent, self._recent_at = 0.0, 0.0  # failures, and as of when

    @property
    def state(self) -> BreakerState:
        """The current state."""
        with self._lock:
            return self._now()

    @property
    def available(self) -> bool:
        """Whether `allow()` would return a permit."""
        with self._lock:
            state = self._now()
            return state == "closed" or (state == "half_open" and self._probe is None)

    @property
    def cause(self) -> Failure | None:
        """The failure that caused the current state."""
        return self._cause

    @property
    def unreached_for(self) -> float | None:
        """Seconds since a connection first failed; None if the backend is not known to be down."""
        since = self._unreached_at
        return None if since is None else self._clock.monotonic() - since

    @property
    def fails(self) -> int:
        """Consecutive failures."""
        return self._fails

    @property
    def recent_failures(self) -> float:
        """Failures of late, consecutive or not: each counts 1 at first and less from then on."""
        recent = self._recent
        if not recent:
            return 0.0
        return recent * math.exp((self._recent_at - self._clock.monotonic()) / _FADES)

    def retry_after(self) -> int:
        """Whole seconds until it is half-open, rounded up; at least 1."""
        with self._lock:
            return max(1, math.ceil(self._until - self._clock.monotonic()))

    def allow(self, *, last_resort: bool = False) -> Permit | None:
        """A permit, or None if the backend must not be called.

        Args:
            last_resort: whether no other backend is left; a cooling one may then be called.
        """
        with self._lock:
            state = self._now()
            if state == "half_open" and self._probe is None:
                self._probe = Permit(self, self._epoch, True)
                return self._probe
            if state == "closed" or (last_resort and self._state == "cooling"):
                return Permit(self, self._epoch, False)
            return None

    def succeed(self) -> None:
        """A stream that was reported by `answered(whole=False)` is complete."""
        with self._lock:
            if self._state == "closed":
                self._fails = 0

    def fail(self, kind: Failure) -> None:
        """An answer broke off after its permit had been used: one more failure."""
        self._failed(kind, None)

    def probe_passed(self) -> None:
        """A health check passed, which ends the state if a *refused connection* caused it.

        After a timeout, only the half-open request decides: a server that hangs still answers its
        health check.
        """
        with self._lock:
            self._unreached_at = None
            if (
                self._state in ("cooling", "open")
                and self._cause == "connect"
                and self._probe is None
            ):
                self._close()

    def probe_refused(self) -> None:
        """A health check's connection was refused: the backend is down or loading. Other backends
        are then preferred, but this is not counted as a failure."""
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
            self._recent = self.recent_failures + 1
            self._recent_at = self._clock.monotonic()
            probe = permit is not None and permit is self._probe
            if probe:
                self._probe = None
            elif self._state == "open":
                return  # the call began before the breaker opened, and cannot make it worse
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
        if state == "cooling" and self._state != "cooling":
            self.cooled += 1
        self._state, self._cause = state, cause
        self._until = self._clock.monotonic() + seconds
        self._epoch += 1

    def _unreached(self) -> None:
        if self._unreached_at is None:
            self._unreached_at = self._clock.monotonic()

    def _close(self) -> None:
        if self._state != "closed":
            self.recovered_at = self._clock.monotonic()
        self._state, self._cause, self._fails, self._probe = "closed", None, 0, None
        self._unreached_at = None


class RetryBudget:
    """Limits retries to a share of the requests, so that they do not multiply an overload.

    Mutable state: the balance, at first `reserve`; guarded by one lock.

    Args:
        ratio: retries allowed per request.
        reserve: maximum number of retries saved up.
    """

    def __init__(self, ratio: float = 0.2, reserve: float = 10) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._lock = threading.Lock()
        self._balance = reserve

    def deposit(self) -> None:
        """Count a request."""
        with self._lock:
            self._balance = min(self._reserve, self._balance + self._ratio)

    def withdraw(self) -> bool:
        """Take one retry from the budget; returns False if it is used up."""
        with self._lock:
            if self._balance < 1:
                return False
            self._balance -= 1
            return True


class Pause:
    """A pause that ends by itself after a time limit.

    Mutable state: the reason and the end of the pause; guarded by one lock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._until = 0.0

    def begin(self, reason: str, seconds: float) -> None:
        """Pause for at most `seconds`; a current pause can be extended, but not shortened."""
        with self._lock:
            until = self._clock.monotonic() + seconds
            if self._reason is None or until > self._until:
                self._reason, self._until = reason, until

    def end(self) -> None:
        """End the pause now."""
        with self._lock:
            self._reason = None

    @property
    def reason(self) -> str | None:
        """Why the backend is paused; None if it is not."""
        with self._lock:
            if self._reason is not None and self._clock.monotonic() >= self._until:
                self._reason = None
            return self._reason

    def seconds_left(self) -> float:
        """Seconds until the pause ends by itself; 0 if there is none."""
        with self._lock:
            return (
                max(0.0, self._until - self._clock.monotonic()) if self._reason is not None else 0.0
            )
