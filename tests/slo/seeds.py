"""All objectives of the five seeds, and events that are good or bad for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from doubles import NOW
from records import record

from airouter.domain.types import AttemptOutcome, ExchangeRecord, Verdict
from airouter.slo.judge import Judge
from airouter.slo.load import PROFILES, load_profiles
from airouter.slo.objectives import Objective
from airouter.slo.probes import ProbeJudge

FOLDER = Path(__file__).resolve().parents[2] / "config" / "slo"
SEEDS = load_profiles(PROFILES, FOLDER)
OBJECTIVES = [objective for profile in SEEDS for objective in profile.objectives]
OF_REQUESTS = (
    "answer_ms",
    "ttft_ms",
    "cold",
    "sustained",
    "burst",
    "total_ms",
    "available",
    "own_ms",
    "failover_ms",
    "classified",
    "cloud_last",
)


@dataclass
class FakeServer:
    name: str
    url: str = "http://127.0.0.1:1"
    local: bool = True
    in_good_health: bool = True


def servers_for(objective: Objective) -> dict[str, FakeServer]:
    name = objective.measure.backend or "primary"
    return {name: FakeServer(name), "cloud": FakeServer("cloud", local=False)}


def judge_of(objective: Objective) -> Judge:
    servers = servers_for(objective)
    judge = Judge([objective], lambda: servers, lambda _: tuple(servers))
    if objective.measure.kind == "cold":  # it knows what is usual
        for _ in range(10):
            list(judge(warm(objective, 100.0)))
    return judge


def warm(objective: Objective, ms: float, **changes: Any) -> ExchangeRecord:
    """A request to the objective's backend while it had nothing else to do."""
    name = objective.measure.backend or "primary"
    values: dict[str, Any] = {
        "backend": name,
        "attempts": [AttemptOutcome(name, "ok")],
        "endpoint": "embeddings" if objective.measure.embeddings else "chat",
        "inputs": objective.measure.batch,
        "stream": not objective.measure.embeddings,
        "in_flight": 0,
        "idle_s": 1.0,
        "inference_ms": ms,
        "backend_ttft_ms": ms,
        "total_ms": ms,
        "tier": "rules",
        "reason": "ok",
        "max_tokens": 1,
    }
    return record(**values | changes)


def request(objective: Objective, good: bool) -> ExchangeRecord:
    """A request that is good or bad for an objective."""
    measure = objective.measure
    kind, limit = measure.kind, measure.limit or 0.0
    under = limit * (0.9 if good else 1.1)
    if kind == "answer_ms":
        return warm(objective, under, stream=False)
    if kind == "ttft_ms":
        return warm(objective, under)
    if kind == "cold":
        return warm(objective, 100.0 * under, idle_s=600.0)
    if kind in ("sustained", "burst"):
        speed = limit * (1.1 if good else 0.9)
        share = {"sustained": 1, "burst": 2}[kind]
        count = measure.batch if measure.embeddings else 100
        took = count * 1000 / speed * share
        return warm(
            objective,
            took if measure.embeddings else took + 50,
            backend_ttft_ms=50.0,
            in_flight=share - 1,
            usage={"completion_tokens": 100},
        )
    if kind == "total_ms":
        route = "passages" if measure.route == "other" else measure.route
        return warm(objective, 10.0, route=route, total_ms=under)
    if kind == "available":
        ended: dict[str, Any] = {"reason": "ok" if good else "backend_error"}
        return warm(objective, 10.0, **ended)
    if kind == "own_ms":
        return warm(objective, 10.0, total_ms=10.0 + under)
    if kind == "failover_ms":
        tried = [AttemptOutcome("other", "upstream_timeout"), AttemptOutcome("primary", "ok")]
        return warm(objective, 20.0, attempts=tried, ttft_ms=20.0 + under)
    if kind == "classified":
        label = "SIMPLE" if good else None
        return warm(objective, 10.0, verdicts=(Verdict("reasoning", label),))
    assert kind == "cloud_last"
    tried = [AttemptOutcome("primary", "upstream_unreachable")] if good else []
    return warm(objective, 10.0, backend="cloud", attempts=[*tried, AttemptOutcome("cloud", "ok")])


def events(objective: Objective, good: bool) -> list[bool]:
    """What one such event counts as: that of a request, a probe, or one that is fed by name."""
    kind = objective.measure.kind
    if kind in OF_REQUESTS:
        return [found for _, found in judge_of(objective)(request(objective, good))]
    if kind in ("up", "recovered"):
        return [counted.good for counted in probes(objective, good)]
    return [good]


def probes(objective: Objective, good: bool, start: datetime = NOW) -> Iterator[Any]:
    judge, servers = ProbeJudge([objective]), servers_for(objective)
    name, at = objective.measure.backend or "", start.replace(hour=10, day=3).timestamp()

    def probe(up: bool, after: float) -> Iterator[Any]:
        now = datetime.fromtimestamp(at + after, start.tzinfo)
        return judge(servers, name, up, now)

    if objective.measure.kind == "up":
        yield from probe(good, 0)
        return
    limit = objective.measure.limit or 0.0
    yield from probe(False, 0)
    yield from probe(True, limit * (0.9 if good else 1.1))
