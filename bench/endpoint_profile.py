"""The endpoints of a profile against their service levels: cold, one request at a time, several at
a time."""

import argparse
import math

from bench.client import Failure
from bench.endpoint import Subject, chosen, counts, endpoints, title
from bench.result import NOTHING, Result, ms, number, spread
from bench.sampling import Sampler
from bench.stats import percentile, summarise

_LEVELS = (
    "endpoint", "model there", "n", "cold ms", "× warm", "P50 ms", "P95 ms", "P99 ms", "mean ms",
    "tok/s P50", "P95 / P99 allowed",
    "verdict",
)  # fmt: skip
_SWEEP = ("endpoint", "clients", "P50 ms", "P95 ms", "× P95 of one", "expected", "")


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Two tables; a level that is not kept is a promise not kept."""
    profile = chosen(args)
    what = "whole answer of one token" if profile.measures == "answer" else "first token"
    levels = Result("endpoint-profile", title(f"Endpoints, {what}", profile, args), _LEVELS)
    sweep = Result("endpoint-profile", "Several clients at a time (shown, not asserted)", _SWEEP)
    with sampler.interruptible():
        for name, subject in endpoints(sampler, args, profile):
            if isinstance(subject, str):
                levels.add((name, *[NOTHING] * 10, f"skipped: {subject}"))
                continue
            try:
                _one(subject, sampler, levels, args)
                if not args.quick and not sampler.interrupted:
                    _at_once(subject, sweep)
            except Failure as failure:
                levels.add((name, subject.served, *[NOTHING] * 9, f"failed: {failure}"))
                levels.broken.append(f"{name} answers: {failure}")
    return [result for result in (levels, sweep) if result.rows]


def _one(subject: Subject, sampler: Sampler, table: Result, args: argparse.Namespace) -> None:
    cold, warm = subject.cold()
    timings = subject.baseline(sampler, *counts(args, subject.profile))
    found = summarise([t.seconds for t in timings.values])
    assert found is not None
    rates = [t.rate for t in timings.values if t.rate is not None]
    slo, factor = subject.slo, subject.profile.factor(args.environment)
    limits = {
        name: factor * limit
        for name, limit in (slo.latency_ms.limits() if slo.latency_ms else {}).items()
        if factor
    }
    missed = [
        f"{name.upper()} {ms(value)} ms, allowed {limits[name]:g} ms"
        for name, value in (("p95", found.p95), ("p99", found.p99))
        if value * 1000 > limits.get(name, math.inf)
    ]
    if timings.failures:
        missed.append(f"{timings.failures} requests failed, the first: {timings.first_failure}")
    times = spread(found, "p50", "p95", "p99", "mean")
    rate = number(percentile(rates, 0.5) if rates else None, 0)
    allowed = " / ".join(f"{value:,.0f}" for value in limits.values()) or NOTHING
    verdict = "MISSED" if missed else "kept" if limits else "no level"
    table.add(
        (subject.name, subject.served, str(found.n), ms(cold), number(cold / warm), *times, rate,
        allowed, verdict),
        latency_s=found, cold_s=cold, warm_s=warm, failures=timings.failures, kept=not missed,
    )  # fmt: skip
    table.broken += [f"{subject.name}: {each}" for each in missed]
    if slo.cold_start and cold > slo.cold_start * warm:
        said = f"the first request took {cold / warm:.1f} times a warm one"
        table.notes.append(f"{subject.name}: {said}; {slo.cold_start:g} is its budget")


def _at_once(subject: Subject, table: Result) -> None:
    expected = subject.profile.degradation.get(subject.slo.hardware, {})
    base: float | None = None
    for clients, values in subject.sweep().items():
        found = summarise(values)
        assert found is not None
        base = base or found.p95
        times = found.p95 / base
        low, high = expected.get(clients, (1.0, 1.0))
        said = "better" if times < low else "as expected" if times <= high else "worse"
        span = f"{low:g} … {high:g}" if clients in expected else NOTHING
        table.add(
            (subject.name, str(clients), *spread(found, "p50", "p95"), number(times, 2), span,
            said if clients > 1 else ""),
            clients=clients, latency_s=found, multiplier=times,
        )  # fmt: skip
