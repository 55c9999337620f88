"""The endpoints of a profile against their service levels: cold, one request at a time, several at
a time."""

import argparse

from bench.client import Failure
from bench.endpoint import Subject
from bench.endpoint_options import chosen, counts, endpoints, title
from bench.result import NOTHING, Result, ms, number, spread
from bench.sampling import Sampler
from bench.slo import Percentiles
from bench.stats import percentile, summarise

_LEVELS = (
    "endpoint", "model there", "n", "cold ms", "× warm", "P50 ms", "P95 ms", "P99 ms", "mean ms",
    "tok/s P50", "P95 / P99 allowed",
    "verdict",
)  # fmt: skip
_SWEEP = ("endpoint", "clients", "P50 ms", "P95 ms", "× P95 of one", "expected", "")


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Two tables; a level that is not kept is a promise not kept."""
    profile, factor = chosen(args)
    what = "whole answer of one token" if profile.measures == "answer" else "first token"
    about = f"Endpoints, profile {profile.name}: {what}{title(profile, args)}"
    levels = Result("endpoint-profile", about, _LEVELS)
    sweep = Result("endpoint-profile", "Several clients at a time (shown, not asserted)", _SWEEP)
    with endpoints(sampler, args, profile, 10) as found, sampler.interruptible():
        for name, subject in found:
            if isinstance(subject, str):
                levels.add((name, *[NOTHING] * 10, f"skipped: {subject}"))
                continue
            try:
                _one(subject, sampler, levels, counts(args, profile), factor)
                if not args.quick and not sampler.interrupted:
                    _at_once(subject, sweep)
            except Failure as failure:
                levels.add((name, subject.served, *[NOTHING] * 9, f"failed: {failure}"))
                levels.broken.append(f"{name} answers: {failure}")
    return [result for result in (levels, sweep) if result.rows]


def _one(
    subject: Subject, sampler: Sampler, table: Result, counts: tuple[int, int], factor: float | None
) -> None:
    cold, warm = subject.cold()
    timings = subject.baseline(sampler, *counts)
    found = summarise([t.seconds for t in timings.values])
    if found is None:
        if not sampler.interrupted:
            raise Failure(timings.first_failure or "no sample")
        return
    rates = [t.rate for t in timings.values if t.rate is not None]
    limits = subject.slo.latency_ms.limits() if subject.slo.latency_ms and factor else {}
    missed = [
        f"{name.upper()} {ms(value)} ms, allowed {factor * limits[name]:g} ms"
        for name, value in (("p95", found.p95), ("p99", found.p99))
        if factor and name in limits and value * 1000 > factor * limits[name]
    ]
    if timings.failures:
        missed.append(f"{timings.failures} requests failed, the first: {timings.first_failure}")
    times = spread(found, "p50", "p95", "p99", "mean")
    rate = number(percentile(rates, 0.5) if rates else None, 0)
    table.add(
        (
            subject.name, subject.served, str(found.n), ms(cold), number(cold / warm), *times, rate,
            _allowed(subject.slo.latency_ms, factor),
            "MISSED" if missed else "kept" if limits else "no level",
        ),
        latency_s=found, cold_s=cold, warm_s=warm, failures=timings.failures, kept=not missed,
    )  # fmt: skip
    table.broken += [f"{subject.name}: {each}" for each in missed]
    if subject.slo.cold_start and cold > subject.slo.cold_start * warm:
        table.notes.append(
            f"{subject.name}: the first request took {cold / warm:.1f} times a warm one; {subject.slo.cold_start:g} is its budget"
        )


def _allowed(levels: Percentiles | None, factor: float | None) -> str:
    if levels is None or factor is None:
        return NOTHING
    return " / ".join(f"{factor * value:,.0f}" for value in levels.limits().values())


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
