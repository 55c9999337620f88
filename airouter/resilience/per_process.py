"""Limiters, breakers and retry budgets of a single process."""

from collections.abc import Mapping

from airouter.domain.clock import Clock
from airouter.domain.ports import Breaker, Limiter, RetryBudget
from airouter.resilience import breaker, limiter, shares


class PerProcess:
    """The default `Resilience`. Stateless: the caller owns what it builds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def limiter(self, backend: str, slots: int, queue: int) -> Limiter:
        return limiter.Limiter(slots, queue, self._clock)

    def shared(
        self, members: Mapping[str, int], slots: int, queue: int, *, exclusive: bool
    ) -> Mapping[str, Limiter]:
        share = shares.Share(slots, exclusive=exclusive)
        return {
            name: shares.SharedLimiter(share, own, queue, self._clock)
            for name, own in members.items()
        }

    def breaker(
        self,
        backend: str,
        *,
        threshold: int,
        reset: float,
        allowed_fails: int,
        cooldown: float,
    ) -> Breaker:
        return breaker.Breaker(
            self._clock,
            threshold=threshold,
            reset=reset,
            allowed_fails=allowed_fails,
            cooldown=cooldown,
        )

    def retry_budget(self) -> RetryBudget:
        return breaker.RetryBudget()
