"""How many requests a key may send in a minute."""

from __future__ import annotations

import pytest
from doubles import FakeClock

from airouter.domain.errors import RateLimited
from airouter.domain.keys import Key
from airouter.resilience.rate_limits import RateLimits


def key(per_minute: int | None, name: str = "a") -> Key:
    return Key(name, frozenset(("map",)), per_minute=per_minute)


def served(rates: RateLimits, one: Key, requests: int, tenant: str | None = None) -> int:
    """How many of so many requests are served."""
    count = 0
    for _ in range(requests):
        try:
            rates.charge(one, tenant)
            count += 1
        except RateLimited:
            pass
    return count


def test_the_61st_request_in_a_minute_is_refused_and_told_when_to_retry() -> None:
    clock = FakeClock()
    rates, one = RateLimits(1, clock), key(60)
    for _ in range(60):
        rates.charge(one)
        clock.move(0.5)
    with pytest.raises(RateLimited) as caught:
        rates.charge(one)
    error = caught.value
    assert (error.status, error.retry_after, error.reason) == (429, 30, "policy_rate_limited")
    clock.move(error.retry_after)
    rates.charge(one)
    assert served(rates, one, 5) == 0  # the next is half a second away


def test_any_60_seconds_count_not_those_of_the_clock() -> None:
    """No burst of twice the limit around the end of a minute."""
    clock = FakeClock()
    rates, one = RateLimits(1, clock), key(10)
    clock.move(59)
    assert served(rates, one, 20) == 10
    clock.move(2)
    assert served(rates, one, 20) == 0
    clock.move(58)
    assert served(rates, one, 20) == 10


def test_a_refused_request_does_not_count() -> None:
    clock = FakeClock()
    rates, one = RateLimits(1, clock), key(1)
    for _ in range(60):
        served(rates, one, 1)
        clock.move(1)
    assert served(rates, one, 1) == 1


def test_keys_and_tenants_count_apart() -> None:
    rates = RateLimits(1, FakeClock())
    assert served(rates, key(2), 3, "acme") == 2
    assert served(rates, key(2), 3, "other") == 2
    assert served(rates, key(2), 3) == 2
    assert served(rates, key(2, "b"), 3, "acme") == 2


def test_without_a_key_or_a_limit_everything_is_served() -> None:
    rates = RateLimits(1, FakeClock())
    rates.charge(None)
    assert served(rates, key(None), 1000) == 1000


@pytest.mark.parametrize(("limit", "workers", "each"), [(60, 4, 15), (10, 4, 2), (2, 4, 1)])
def test_workers_share_the_limit(limit: int, workers: int, each: int) -> None:
    """Together they serve no more than the limit, down to one request each."""
    assert served(RateLimits(workers, FakeClock()), key(limit), 100) == each


def test_a_smaller_limit_applies_at_once() -> None:
    clock = FakeClock()
    rates = RateLimits(1, clock)
    for _ in range(10):
        rates.charge(key(10))
        clock.move(1)
    with pytest.raises(RateLimited) as caught:
        rates.charge(key(2))
    assert caught.value.retry_after == 58  # when only the last is left
    clock.move(58)
    assert served(rates, key(2), 5) == 1


def test_tenants_of_the_past_are_forgotten() -> None:
    """Clients choose their names, so they must not fill the memory."""
    clock = FakeClock()
    rates, one = RateLimits(1, clock), key(5)
    for number in range(1000):
        rates.charge(one, f"tenant {number}")
    clock.move(61)
    rates.charge(one)
    assert len(rates._windows) == 1
