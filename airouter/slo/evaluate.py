"""Evaluates objectives and alerts at a moment, as the generated Prometheus rules do."""

from collections.abc import Iterator, Sequence
from typing import Any

from airouter.domain.types import immutable
from airouter.slo.counts import Counts
from airouter.slo.names import alert_name
from airouter.slo.objectives import BURN_RATES, Objective, Profile, Severity

_DAY = 86_400
_RESOLVED_FOR = _DAY  # seconds for which an alert that is over is still listed
_WINDOWS = {"5m": 300, "1h": 3_600, "6h": 21_600, "1d": _DAY, "3d": 3 * _DAY}


@immutable
class Condition:
    """What an alert says now: `active`, the `value` it compares and the `threshold`."""

    name: str
    slo: str
    severity: Severity
    active: bool
    value: float | None
    threshold: float
    lasting: float
    description: str
    runbook: str


@immutable
class State:
    """Of an alert: pending, firing or resolved, since so many seconds since 1970."""

    state: str
    since: float


def conditions(profiles: Sequence[Profile], counts: Counts, now: float) -> Iterator[Condition]:
    """All alerts: of the error budgets, and those of the profiles' own tables."""
    for profile in profiles:
        for objective in profile.objectives:
            if objective.target is not None and not objective.informational:
                yield from _budget(objective, counts, now)
        for alert in profile.alerts:
            ratio = counts.error_ratio(alert.slo, alert.window, now)
            yield Condition(
                alert.name,
                alert.slo,
                alert.severity,
                ratio is not None and ratio > alert.above,
                ratio,
                alert.above,
                alert.lasting,
                alert.description,
                alert.runbook,
            )


def _budget(objective: Objective, counts: Counts, now: float) -> Iterator[Condition]:
    severities: tuple[Severity, ...] = ("critical", "warning")
    for severity in severities:
        worst: tuple[bool, float | None, float] = False, None, 0.0
        for rate in BURN_RATES:
            if rate.severity != severity:
                continue
            limit = rate.factor * objective.budget
            long = counts.error_ratio(objective.name, rate.long, now)
            short = counts.error_ratio(objective.name, rate.short, now)
            active = long is not None and short is not None and min(long, short) > limit
            if worst[1] is None or (active and not worst[0]):
                worst = active, long, limit
        yield Condition(
            alert_name(objective),
            objective.name,
            severity,
            worst[0],
            worst[1],
            worst[2],
            0.0,
            f"the error budget burns too fast: {objective.description}",
            objective.runbook,
        )


def advanced(before: State | None, condition: Condition, now: float) -> State | None:
    """The state of an alert after an evaluation; None: there is none."""
    if condition.active:
        if before is None or before.state == "resolved":
            before = State("pending", now)
        if before.state == "pending" and now - before.since >= condition.lasting:
            return State("firing", now)
        return before
    if before is None or before.state == "pending":
        return None
    if before.state == "firing":
        return State("resolved", now)
    return before if now - before.since < _RESOLVED_FOR else None


def budget_left(objective: Objective, counts: Counts, now: float) -> float | None:
    """The part of the error budget that is left, 1 to below 0; None without events."""
    ratio = counts.error_ratio(objective.name, objective.days * _DAY, now)
    if ratio is None or not objective.budget:
        return None
    return 1.0 - ratio / objective.budget


def summary(objective: Objective, counts: Counts, now: float) -> dict[str, Any]:
    """What `/metrics/summary` says about an objective."""
    good, bad = counts.within(objective.name, objective.days * _DAY, now)
    burn = {}
    for name, seconds in _WINDOWS.items():
        ratio = counts.error_ratio(objective.name, seconds, now)
        burn[name] = None if ratio is None else round(ratio / objective.budget, 3)
    left = budget_left(objective, counts, now)
    return {
        "slo": objective.name,
        "profile": objective.profile,
        "description": objective.description,
        "target": objective.target,
        "informational": objective.informational,
        "good": good,
        "bad": bad,
        "ratio": round(good / (good + bad), 6) if good + bad else None,
        "budget_left": None if left is None else round(left, 4),
        "burn_rates": burn,
    }
