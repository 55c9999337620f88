"""The retry budget: a storm of failures is not multiplied."""

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
    """A quiet day does not pay for a storm."""
    budget = RetryBudget(ratio=0.2, reserve=3)
    for _ in range(10_000):
        budget.deposit()
    assert [budget.withdraw() for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.booleans(), max_size=300))
def test_never_more_retries_than_were_paid_for(steps: list[bool]) -> None:
    """In any order of requests and retries, retries stay below reserve + share of the requests."""
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
    """Simultaneous retries are counted each."""
    budget = RetryBudget(ratio=0, reserve=10)
    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(lambda _: budget.withdraw(), range(200)))
    assert taken == 10
