"""The verdict: what is judged, what is left out, and when nothing can be said."""

from typing import Any

import pytest

from bench.slo import LevelSlo, Percentiles, RouterSlo
from load.client import Outcome, Sample
from load.plan import Phase
from load.stand import Look
from load.verdict import Line, Stretch, against, judge, rated, stretches

HOLD = Phase("hold", 1.0, 10, True)


def sample(at: float = 1.0, **fields: Any) -> Sample:
    usual: dict[str, Any] = dict(
        user="chat",
        route="primary",
        outcome=Outcome.OK,
        status=200,
        total=0.5,
        ttft=0.1,
        tokens=20,
        rate=100.0,
        gap=0.02,
    )
    return Sample(at=at, **{**usual, **fields})


def slo(**fields: Any) -> RouterSlo:
    usual: dict[str, Any] = {
        "name": "test",
        "routes": {"primary": {"ttft_ms": {"p95": 200}, "total_ms": {"p95": 1000}}},
        "streams": {"gap_ms": {"p95": 100}, "tokens_per_s": 50},
        "at_least": 5,
    }
    return RouterSlo.model_validate({**usual, **fields})


def stretch(*samples: Sample, looks: list[Look] | None = None, phase: Phase = HOLD) -> Stretch:
    return Stretch(phase, 0.0, 10.0, list(samples), looks or [])


def line(lines: list[Line], start: str) -> Line:
    return next(each for each in lines if each.slo.startswith(start))


def breaches(tables: list[tuple[str, list[Line]]]) -> list[Line]:
    return [each for _, lines in tables for each in lines if each.kept is False]


def test_all_well() -> None:
    lines = rated(stretch(*[sample(i) for i in range(10)]), slo())
    assert all(each.kept for each in lines), lines


@pytest.mark.parametrize(
    ("worse", "broken"),
    [
        ({"ttft": 0.3}, "primary: first content, p95"),
        ({"total": 2.0}, "primary: whole answer, p95"),
        ({"gap": 0.5}, "longest silence in a stream, p95"),
        ({"rate": 10.0}, "tokens/s of a stream, p50"),
        ({"outcome": Outcome.REFUSED, "status": 429}, "refused (429, 503)"),
        ({"outcome": Outcome.FAILED, "status": 500}, "failed"),
    ],
)
def test_each_level_can_be_missed(worse: dict[str, Any], broken: str) -> None:
    samples = [sample(i) for i in range(5)] + [sample(i, **worse) for i in range(8)]
    assert line(rated(stretch(*samples), slo()), broken).kept is False


def test_too_few_samples_are_shown_and_not_judged() -> None:
    lines = rated(stretch(sample(total=9.0), sample(total=9.0)), slo())
    slow = line(lines, "primary: whole")
    assert (slow.kept, slow.n, slow.measured) == (None, 2, "9,000 ms")
    assert line(rated(stretch(), slo()), "primary: whole").kept is None


def test_failures_among_too_few_are_a_breach_all_the_same() -> None:
    assert line(rated(stretch(sample(outcome=Outcome.FAILED)), slo()), "failed").kept is False


def test_what_the_client_did_itself_counts_for_neither_side() -> None:
    aborted = [sample(i, outcome=Outcome.ABORTED) for i in range(50)] + [
        sample(i, outcome=Outcome.GAVE_UP) for i in range(50)
    ]
    lines = rated(stretch(*[sample(i) for i in range(10)], *aborted), slo())
    assert line(lines, "failed").n == 10


def test_a_slow_reader_does_not_make_the_router_slow() -> None:
    lines = rated(
        stretch(
            *[sample(i) for i in range(10)],
            *[sample(i, user="slow reader", total=9, gap=5) for i in range(10)],
        ),
        slo(),
    )
    assert line(lines, "primary: whole").kept
    assert line(lines, "longest silence").kept


def test_availability_counts_seconds_and_not_requests() -> None:
    burst = [sample(3.0, outcome=Outcome.FAILED, total=0.1) for _ in range(100)]
    lines = rated(
        stretch(*[sample(i + 0.1, total=0.1) for i in range(10) for _ in range(3)], *burst),
        slo(availability=0.95),
    )
    assert line(lines, "available").measured == "90.0 % of 10 s"
    assert line(lines, "available").kept is False


def test_what_the_router_adds() -> None:
    looks = [Look(float(i), 0.030, 1, 0) for i in range(10)]
    assert (
        line(rated(stretch(sample(), looks=looks), slo(added_ms={"p95": 20})), "added").kept
        is False
    )
    assert not [
        each
        for each in rated(stretch(sample()), slo(added_ms={"p95": 20}))
        if each.slo.startswith("added")
    ]


def test_only_counted_phases_that_took_place_whole_are_judged() -> None:
    phases = [Phase("ramp", 1, 2, ramp=True), Phase("hold", 1, 4, True), Phase("level", 5, 4, True)]
    samples = [sample(at) for at in (0.5, 2.5, 3.0, 6.5)]
    found = stretches(phases, [(0, 0.0), (1, 2.0), (2, 6.0)], samples)
    assert [(each.phase.name, len(each.samples)) for each in found] == [("hold", 2)]


def test_growth_is_measured_against_the_calm_of_the_same_run() -> None:
    calm = stretch(*[sample(i, total=0.5) for i in range(10)])
    busy = stretch(*[sample(i, total=0.9) for i in range(10)])
    level = LevelSlo(p95_growth=2.0)
    assert against(level, busy, calm, 5)[0].kept
    slow = stretch(*[sample(i, total=1.1) for i in range(10)])
    assert against(level, slow, calm, 5)[0].kept is False
    assert against(level, slow, None, 5)[0].kept is None


def test_an_overload_in_which_nobody_is_refused_is_not_what_was_promised() -> None:
    level = LevelSlo(refused_share=(0.5, 1.0), told_ms=Percentiles(p95=5200), failed_share=0.0)
    served = [sample(i) for i in range(10)]
    assert against(level, stretch(*served), None, 5)[0].kept is False
    refused = [sample(i, outcome=Outcome.REFUSED, status=429, total=0.05) for i in range(20)]
    assert not breaches([("", against(level, stretch(*served, *refused), None, 5))])
    late = [sample(i, outcome=Outcome.REFUSED, status=429, total=9.0) for i in range(20)]
    assert breaches([("", against(level, stretch(*served, *late), None, 5))])


def test_requests_for_the_cloud_do_not_hide_what_the_primary_refuses() -> None:
    refused = [sample(i, outcome=Outcome.REFUSED, status=429) for i in range(10)]
    cloud = [sample(i, route="xai") for i in range(90)]
    (found,) = against(LevelSlo(refused_share=(0.5, 1.0)), stretch(*refused, *cloud), None, 5)
    assert (found.n, found.kept) == (10, True)


def test_a_run_without_an_answer_is_a_breach() -> None:
    assert breaches(judge([stretch()], slo()))


def test_every_stretch_has_its_table() -> None:
    found = [
        stretch(*[sample(i) for i in range(10)]),
        stretch(*[sample(i) for i in range(10)], phase=Phase("level", 5.0, 10, True)),
        stretch(*[sample(i) for i in range(10)], phase=Phase("recovery", 1.0, 10, True)),
    ]
    tables = judge(found, slo(levels={5: {"failed_share": 0.01}}, recovery={"p95_growth": 1.5}))
    assert [title.split(",")[0] for title, _ in tables] == ["at 1×", "at 5×", "back at 1×"]
    assert not breaches(tables)


def test_drift_over_a_long_run() -> None:
    phase = Phase("hold", 1.0, 100, True)
    samples = [sample(float(i), total=0.3 + i / 100) for i in range(100)]
    tables = judge([Stretch(phase, 0.0, 100.0, samples)], slo(drift=1.3))
    assert line(tables[0][1], "primary: p95, last quarter").kept is False
