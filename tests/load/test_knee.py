"""The knee and the sizing that follows from it."""

import pytest

from bench.slo import RouterSlo
from load.client import Outcome, Sample
from load.plan import Phase
from load.report import Step, knee, knee_table, sizing, steps
from load.stand import Look
from load.verdict import Stretch

SLO = RouterSlo.model_validate(
    {"name": "test", "routes": {"primary": {"total_ms": {"p95": 1000}}}, "at_least": 5}
)


def step(load: float, breach: str = "") -> Step:
    return Step(load, 10.0, 0.5, 8.0, 0.5, None, breach)


def stretch(
    load: float, total: float, n: int = 20, outcome: Outcome = Outcome.OK, name: str = "step"
) -> Stretch:
    samples = [Sample(float(i), "chat", "primary", outcome, 200, total) for i in range(n)]
    return Stretch(
        Phase(name, load, 10, True),
        0.0,
        10.0,
        samples,
        [Look(1.0, None, 3, 0), Look(2.0, None, 5, 0)],
    )


def test_the_knee_is_the_last_load_before_the_first_breach() -> None:
    found = knee([step(1), step(2), step(3, "p95"), step(4)])
    assert found is not None
    assert found.load == 2


def test_the_order_of_measuring_does_not_matter() -> None:
    found = knee([step(3, "p95"), step(1), step(2)])
    assert found is not None
    assert found.load == 2


def test_without_a_load_inside_there_is_no_knee() -> None:
    assert knee([step(1, "p95"), step(2)]) is None
    assert knee([]) is None


def test_steps_are_judged_by_the_service_levels() -> None:
    found = steps(
        [
            stretch(2.0, 1.5),
            stretch(1.0, 0.4, name="hold"),
            stretch(1.5, 0.5),
            stretch(1.0, 9.0, name="recovery"),
        ],
        SLO,
    )
    assert [(each.load, each.kept) for each in found] == [(1.0, True), (1.5, True), (2.0, False)]
    assert found[0].per_s == pytest.approx(2.0)
    assert found[0].busy == 4
    assert "1,500 ms" in found[2].breach


def test_a_step_in_which_nothing_is_answered_is_outside() -> None:
    (found,) = steps([stretch(1.0, 0.1, outcome=Outcome.REFUSED)], SLO)
    assert not found.kept
    (nothing,) = steps([stretch(1.0, 0.1, n=0)], SLO)
    assert nothing.breach == "nothing was answered"


def test_a_knee_below_the_rated_load_is_a_breach() -> None:
    assert knee_table([step(0.5), step(1, "p95")], None, None, None).broken
    assert knee_table([step(0.5, "p95"), step(1)], None, None, None).broken
    assert not knee_table([step(0.5), step(1), step(2, "p95")], None, None, None).broken


def test_sizing_is_requests_per_second_times_p95() -> None:
    slots, threads = sizing(
        Step(2.0, 20.0, 1.5, 16.0, 0.8, None, ""), slots=8, queue=64, threads=320
    )
    assert "16.0 requests/s × 0.80 s (p95) = 12.8 at once → 13 slots (configured: 8)" in slots
    assert (
        "20.0 requests/s × 1.50 s (p95) = 30.0 at once + 64 that may wait → 94 threads "
        "(configured: 320)" in threads
    )


def test_sizing_without_knowing_the_configuration() -> None:
    slots, threads = sizing(step(1.0))
    assert "configured" not in slots + threads
    assert slots.endswith("4 slots")
    assert threads.endswith("5 threads")
