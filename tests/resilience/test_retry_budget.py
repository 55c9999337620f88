"""The retry budget: retries do not multiply an overload."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from airouter.resilience.breaker import RetryBudget


def test_a_storm_gets_a_fifth_of_retries() -> None:
    """When every request fails, retries end up at the budget's share of them, beyond the
    reserve."""
    budget = RetryBudget(ratio=0.2, reserve=10)
    retries = 0
    for _ in range(1000):
        budget.deposit()
        retries += budget.withdraw()
    assert 200 <= retries <= 211


def test_nothing_is_saved_beyond_the_reserve() -> None:
    """Not even after a long time without failures."""
    budget = RetryBudget(ratio=0.2, reserve=3)
    for _ in range(10_000):
        budget.deposit()
    assert [budget.withdraw() for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.booleans(), max_size=300))
def test_retries_never_exceed_the_budget(steps: list[bool]) -> None:
    """Retries stay within reserve + share of the requests, in any order."""
    budget = RetryBudget(ratio=0.25, reserve=2)
    paid, taken = 0, 0
    for deposit in steps:
        if deposit:
            budget.deposit()
            paid += 1
        else:
            taken += budget.withdraw()
        assert taken <= 2 + 0.25 * paid


def test_threads_do_not_overdraw() -> None:
    """Concurrent retries are all counted."""
    budget = RetryBudget(ratio=0, reserve=10)
    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(lambda _: budget.withdraw(), range(200)))
    assert taken == 10
