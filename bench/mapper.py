"""The mapper: by its rules, as fast as they are answered and at a fixed rate; by a model of 120 ms,
with invalid and unsure answers among its own, whose shares the metrics have to show."""

import argparse
import itertools
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft202012Validator

from bench.client import Answer, Connection, Endpoint
from bench.crowd import drive, send
from bench.options import Options
from bench.result import Promises, Result, Sampler, ms, number, spread
from bench.router_process import RouterProcess
from bench.stand import router_before, scratch_folder
from bench.stats import percentile, summarise
from simulator.testing import Simulator

MODEL_MS = 120
RULES_RATE, MODEL_RATE, USERS = 200, 50, 64
SECONDS, MODEL_S, WARM_UP_S = 15.0, 300.0, 1.0
INVALID, UNSURE = 0.01, 0.05  # shares of the model's answers
LIMIT_S = 10.0
COLUMNS = ("load", "n", "requests/s", "failures", "p50 ms", "p95 ms", "p99 ms")
ARGUMENTS: Options = {
    "--seconds": dict(
        type=float, metavar="S",
        help=f"seconds per load (default {SECONDS:g}; by the model {MODEL_S:g})",
    ),
}  # fmt: skip
OUTPUTS = ("toxic", "hate", "toxic|hate", "pii_detected", "toxic content", "nothing of that kind")
DETECTOR = "orchestrated-multi"


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Rules first, then the model."""
    quick, given = args.quick, getattr(args, "seconds", None)
    bench = _Mapper(sampler, args.workers)
    with sampler.interruptible(), bench.promises.answered():
        bench.rules(given or (1.0 if quick else SECONDS))
        bench.model(given or (2.0 if quick else MODEL_S))
    return [result for result in (bench.table, bench.promises.result) if result.rows]


class _Mapper:
    def __init__(self, sampler: Sampler, workers: int) -> None:
        self._sampler, self._workers = sampler, workers
        self.table = Result("mapper", "POST /map", COLUMNS)
        self.promises = Promises("mapper", "What is promised of the mapper")

    def rules(self, seconds: float) -> None:
        with ExitStack() as stack:
            endpoint, _ = self._started(stack, {"serving_mode": "rules_only"})
            wires = _wires(endpoint, round(RULES_RATE * seconds))
            self._sampler.row(f"rules, {USERS} at a time")
            load = drive(endpoint, wires[0], USERS, seconds, WARM_UP_S)
            rate = len(load.latencies) / load.seconds
            self._add(f"rules, {USERS} at a time", rate, load.failures, load.latencies)
            self.promises.check(
                f"rules: requests/s at {USERS}", "≥ 1,000", number(rate, 0), rate >= 1000
            )
            self._open(f"rules, {RULES_RATE}/s", endpoint, wires, RULES_RATE, 0.005)

    def model(self, seconds: float) -> None:
        with ExitStack() as stack:
            endpoint, router = self._started(stack, {})
            wires = _wires(endpoint, round(MODEL_RATE * seconds))
            self._open(f"model, {MODEL_RATE}/s", endpoint, wires, MODEL_RATE, 0.25)
            total = router.metric("mapper_requests_total")
            for what, share, metric, labels in (
                ("invalid outputs", INVALID, "mapper_schema_validation_total", {"valid": "false"}),
                ("unsure outputs", UNSURE, "mapper_fallback_total", {"reason": "low_confidence"}),
            ):
                found = router.metric(metric, **labels)
                self._exactly(what, share, found, total)
            fallbacks = router.metric("mapper_fallback_total")
            self._exactly("fallbacks", INVALID + UNSURE, fallbacks, total)

    def _started(self, stack: ExitStack, mapper: dict[str, Any]) -> tuple[Endpoint, RouterProcess]:
        folder = scratch_folder(stack, "mapper")
        simulator = stack.enter_context(Simulator(profile="fast", roles=("primary",)))
        simulator.configure(
            "primary", ttft_nonstream_ms=MODEL_MS, mapping_invalid=INVALID, mapping_unsure=UNSURE
        )
        config = {
            "server": {"workers": self._workers},
            "mapper": mapper,
            "cascade": {"tiers": ["rules"]},
        }
        router = stack.enter_context(router_before(simulator, Path(folder), config, slots=64))
        return Endpoint.of(router.url), router

    def _open(
        self, name: str, endpoint: Endpoint, wires: list[bytes], rate: float, limit: float
    ) -> None:
        """At a fixed rate: every answer is checked, the p95 promised."""
        self._sampler.row(name)
        with Connection(endpoint) as connection:
            document = connection.get("/map/openapi.json").json()
        valid = Draft202012Validator({"$ref": "#/components/schemas/MapResponse", **document})
        answers = send(endpoint, wires, LIMIT_S, rate)
        good = [one for one in answers if _is_good(one, valid)]
        times = [one.seconds for one in answers]
        p95 = percentile(times, 0.95)
        self._add(name, rate, len(answers) - len(good), times)
        target = f"≤ {limit * 1000:g} ms"
        self.promises.check(f"{name}: p95", target, f"{ms(p95)} ms", p95 <= limit, p95_s=p95)
        self.promises.count(f"{name}: valid answers", len(good), len(answers))

    def _exactly(self, what: str, share: float, found: float, total: float) -> None:
        wanted = share * total
        told = f"{found:g} of {total:g}"
        self.promises.check(
            f"model: {what}", f"{share:.1%}, evenly spread", told, abs(found - wanted) <= 2
        )

    def _add(self, name: str, rate: float, failures: int, times: list[float]) -> None:
        found = summarise(times)
        self.table.add(
            (name, str(len(times)), number(rate, 0), str(failures), *spread(found)),
            requests_per_s=rate, failures=failures, latency_s=found,
        )  # fmt: skip


def _wires(endpoint: Endpoint, count: int) -> list[bytes]:
    bodies = [{"detector": DETECTOR, "output": output, "tenant_id": "t"} for output in OUTPUTS]
    wires = [endpoint.wire("/map", body) for body in bodies]
    return list(itertools.islice(itertools.cycle(wires), count))


def _is_good(answer: Answer, valid: Draft202012Validator) -> bool:
    return answer.status == 200 and valid.is_valid(orjson.loads(answer.body))
