"""Baselines of the endpoints: kept, compared with the last one, and shown as the Markdown table of
a document."""

import argparse

from bench.client import Failure
from bench.endpoint import simulated
from bench.endpoint_options import chosen, counts, endpoints, kept, last_of, title
from bench.measured import Record, day, record, save
from bench.options import Options
from bench.result import NOTHING, Result, interval, ms, spread
from bench.sampling import Sampler
from bench.slo import EndpointProfile
from bench.stand import Unavailable
from bench.stats import bootstrap, percentile, summarise

QUANTILES = {"P50": 0.5, "P95": 0.95}  # P99 of twenty samples is their largest, which says nothing
_FALSE_ALARMS = 0.05  # of a whole comparison, however many endpoints it has
_SAVED = ("endpoint", "model there", "n", "P50 ms", "P95 ms", "P99 ms", "mean ms")
_COMPARED = ("endpoint", "", "last ms", "now ms", "difference ms", "verdict")
ARGUMENTS: Options = {
    "action": dict(
        choices=("save", "compare", "table"),
        help="measure and keep; measure and compare; show what is kept"
    )
}  # fmt: skip


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """A regression is a promise not kept.

    Raises:
        Unavailable: what is kept cannot be read.
    """
    profile, _ = chosen(args)
    before = kept(args, profile, "baseline")
    if args.action == "table":
        print("\n".join(markdown(profile, before)))  # bare, to be copied into a document
        return []
    records = _measure(sampler, args, profile)
    what = "Baseline" if args.action == "save" else "Against the last baseline"
    columns = _SAVED if args.action == "save" else _COMPARED
    result = Result("baseline", f"{what}, profile {profile.name}{title(profile, args)}", columns)
    if args.action == "compare":
        _compare(result, records, before)
        return [result]
    for each in records:
        found = summarise(each.seconds)
        assert found is not None
        times = spread(found, "p50", "p95", "p99", "mean")
        result.add((each.endpoint, each.model, str(found.n), *times), latency_s=found)
    if not sampler.interrupted:
        result.notes.append(f"kept in {save(args.store, profile.name, 'baseline', records)}")
    return [result]


def markdown(profile: EndpointProfile, kept: dict[str, list[Record]]) -> list[str]:
    """The table of the last baselines, in ms; what was never measured has dashes."""
    lines = [
        "| Endpoint | P50 | P95 | P99 | Mean | Date |",
        "|----------|-----|-----|-----|------|------|",
    ]
    for name, slo in profile.endpoints.items():
        cells: tuple[str, ...] = ("--",) * 4
        date = "--"
        for last in kept.get(name, [])[-1:]:
            found = summarise(last.seconds)
            assert found is not None
            cells = spread(found, "p50", "p95", "p99", "mean")
            date = day(last) + (" (simulated)" if last.simulated else "")
        lines.append(f"| {slo.model} | {' | '.join(cells)} | {date} |")
    return lines


def _measure(sampler: Sampler, args: argparse.Namespace, profile: EndpointProfile) -> list[Record]:
    records = []
    with endpoints(sampler, args, profile, 10) as found:
        for name, subject in found:
            if isinstance(subject, str):
                continue
            timings = subject.baseline(sampler, *counts(args, profile))
            if timings.failures:
                raise Failure(f"{name}: {timings.first_failure}")
            if timings.values:
                records.append(record(subject, timings.values, simulated=simulated(profile)))
    if not records and not sampler.interrupted:
        raise Unavailable("No endpoint of this profile can be reached.")
    return records


def _compare(result: Result, records: list[Record], kept: dict[str, list[Record]]) -> None:
    level = 1 - _FALSE_ALARMS / max(1, len(QUANTILES) * len(records))
    result.notes.append(
        f"intervals of {100 * level:.2f} %, so that one run in {1 / _FALSE_ALARMS:.0f} is called different by chance"
    )
    for now in records:
        last = last_of(kept.get(now.endpoint, []), now.simulated)
        if last is None:
            result.add((now.endpoint, *[NOTHING] * 4, "no baseline yet"))
            continue
        if last.model != now.model:
            result.notes.append(
                f"{now.endpoint}: another model than in the last baseline: {last.model} → {now.model}"
            )
        found = bootstrap(now.seconds, tuple(QUANTILES.values()), level=level, less=last.seconds)
        for (name, q), higher in zip(QUANTILES.items(), found, strict=True):
            verdict = "slower" if higher.low > 0 else "faster" if higher.high < 0 else "the same"
            times = (ms(percentile(seconds, q)) for seconds in (last.seconds, now.seconds))
            result.add(
                (now.endpoint, name, *times, interval(higher), verdict), quantile=name,
                difference_s=higher, last_date=last.date
            )  # fmt: skip
            if verdict == "slower":
                result.broken.append(
                    f"{now.endpoint}: {name} is {ms(higher.value)} ms above that of {day(last)}, and not by chance"
                )
