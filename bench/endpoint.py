"""The endpoints of a profile (config/slo/endpoints-*.yaml): which are chosen, and how one is
measured: reachable, cold, one by one, at once. `./Benchmark endpoint-profile`."""

import math
import os
import socket
import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.client import EMBEDDINGS, Connection, Endpoint, Failure
from bench.options import COMMON, Options, between
from bench.prompts import body
from bench.result import NOTHING, Result, Sampler, Samples, ms, number, spread
from bench.router_process import ROOT
from bench.slo import DEFAULT_ENDPOINTS, EndpointProfile, EndpointSlo, SloError, endpoint_profile
from bench.stand import first_model
from bench.stats import percentile, summarise
from simulator.testing import Simulator

_REACH_S = 5.0
_STREAM_TOKENS = 64  # for tokens per second; the time to the first token does not depend on it
# The smallest picture there is: one pixel.
_PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGA"
    "hKmMIQAAAABJRU5ErkJggg=="
)
# Which role of the simulator stands for what where no endpoint is configured.
STAND_INS = {"chat": "primary", "vision": "primary", "embedding": "embedding"}
ROLES = ("primary", "embedding")


@dataclass(frozen=True, slots=True)
class Timing:
    """One request, in seconds: what the profile measures, and tokens (embeddings) per second where
    that is known."""

    seconds: float
    rate: float | None = None


class Subject:
    """An endpoint under measurement.

    Raises:
        Failure: it does not answer; or later, a request of it fails.
    """

    def __init__(
        self, name: str, slo: EndpointSlo, profile: EndpointProfile, endpoint: Endpoint
    ) -> None:
        self.name, self.slo, self.profile, self.endpoint = name, slo, profile, endpoint
        self.method = profile.method
        self.served = reach(endpoint)  # the model's name there

    def client(self) -> Connection:
        embedding = self.slo.kind == "embedding"
        limit = self.method.embedding_timeout_s if embedding else self.method.chat_timeout_s
        return Connection(self.endpoint, timeout=limit)

    def ask(self, connection: Connection, number: int = 0) -> Timing:
        """One request; `number` makes its text a new one."""
        if self.slo.kind == "embedding":
            text = "the keeper of the lighthouse wrote a letter."
            texts = [f"Text number {number}.{i}: {text}" for i in range(self.slo.batch)]
            wire = self.endpoint.wire(EMBEDDINGS, {"model": self.served, "input": texts})
            reply = connection.checked(wire)
            vectors = len(reply.json().get("data") or ())
            if vectors != len(texts):
                raise Failure(f"{vectors} vectors for {len(texts)} texts")
            return Timing(reply.seconds, vectors / reply.seconds)
        streamed = self.profile.measures == "first_token"
        content: Any = f"Question {number}: say hello."
        if self.slo.kind == "vision":
            picture = {"type": "image_url", "image_url": {"url": _PIXEL}}
            content = [{"type": "text", "text": content}, picture]
        fields: dict[str, Any] = {"max_tokens": 1}
        if streamed:
            usage = {"stream_options": {"include_usage": True}}
            fields = {"max_tokens": _STREAM_TOKENS, "stream": True, **usage}
        reply = connection.checked(self.endpoint.chat(body(content, self.served, **fields)))
        if not streamed:
            return Timing(reply.seconds)
        if reply.first_content is None:
            raise Failure("a stream without content")
        return Timing(reply.first_content, reply.tokens_per_s)

    # What the profile wants to know ---------------------------------------------------------------

    def cold(self) -> tuple[float, float]:
        """Seconds of the first request on a fresh client, and the mean of warm ones."""
        with self.client() as connection:
            first = self.ask(connection).seconds
            warm = [self.ask(connection, i + 1).seconds for i in range(self.method.cold_against)]
        return first, sum(warm) / len(warm)

    def baseline(
        self, sampler: Sampler | None = None, count: int | None = None, warm_up: int | None = None
    ) -> Samples[Timing]:
        """One request after the other on one connection, after those that do not count.

        Raises:
            Failure: a request failed; with a sampler, none succeeded.
        """
        wanted = count or self.method.sequential
        ignored = self.method.warm_up if warm_up is None else warm_up
        with self.client() as connection:
            if sampler is None:
                times = [self.ask(connection, i) for i in range(ignored + wanted)]
                return Samples(times[ignored:])
            sampler.collect(
                lambda i: self.ask(connection, i), ignored, name=f"{self.name}: warm-up", budget=300
            )
            found = sampler.collect(
                lambda i: self.ask(connection, ignored + i), wanted, name=self.name, budget=600
            )
        if not found.values:
            raise Failure(found.first_failure or "interrupted")
        return found

    def sweep(self) -> dict[int, list[float]]:
        """Seconds of each request by the number of clients at a time; each client sends its
        requests one after the other."""
        found = {}
        for level in self.method.sweep:
            gate = threading.Barrier(level)
            with ThreadPoolExecutor(level) as pool:
                each = list(pool.map(self._client, range(level), [gate] * level))
            found[level] = [seconds for one in each for seconds in one]
        return found

    def _client(self, number: int, gate: threading.Barrier) -> list[float]:
        with self.client() as connection:
            gate.wait(timeout=30)
            numbers = range(1000 * number, 1000 * number + self.method.per_worker)
            return [self.ask(connection, i).seconds for i in numbers]

    def round_trip(self, count: int = 20) -> float:
        """Median seconds of opening a TCP connection: one way there and back, and next to no
        work."""
        where, taken = (self.endpoint.host, self.endpoint.port), []
        for _ in range(count):
            begun = time.perf_counter()
            try:
                socket.create_connection(where, timeout=_REACH_S).close()
            except OSError as error:
                raise Failure(f"{type(error).__name__}: {error}") from None
            taken.append(time.perf_counter() - begun)
        return percentile(taken, 0.5)

    def version(self) -> str | None:
        """What the server says that it is; None where it does not."""
        try:
            with Connection(self.endpoint, timeout=_REACH_S) as connection:
                said = connection.get("/version")
                return str(said.json()["version"]) if said.status == 200 else None
        except (Failure, ValueError, KeyError, TypeError):
            return None


def reach(endpoint: Endpoint) -> str:
    """The name of the first model of a server that is up: its /health is 200, or it lists its
    models.

    Raises:
        Failure: it is not.
    """
    with Connection(endpoint, timeout=_REACH_S) as connection:
        health, models = connection.get("/health").status, connection.get("/v1/models").status
    if health != 200 and models != 200:
        raise Failure(f"/health says {health}, /v1/models says {models}")
    return first_model(endpoint, _REACH_S)


# Which endpoints there are ------------------------------------------------------------------------

QUICK = (5, 1)
STORE = ROOT / "logs" / "slo"
_ENVIRONMENT = os.environ.get("SLO_ENVIRONMENT") or (
    "ci" if os.environ.get("CI") else "development"
)
ABOUT = (
    "Endpoints come from config/slo/endpoints-*.yaml and the variables named there; "
    "where none is set the simulator stands in."
)
OPTIONS: Options = {
    "--slo": dict(default=DEFAULT_ENDPOINTS, metavar="NAME",
    help="the profile: 000, 001 or a file (default: 001)"),
    "--endpoint": dict(action="append", metavar="NAME",
    help="only this endpoint of the profile; may be repeated"),
    "--samples": dict(type=between(1, 100_000), metavar="N",
    help="requests to measure (default: the profile's)"),
    "--warm-up": dict(
        type=between(0, 100_000), metavar="N",
        help="requests before them that do not count (default: the profile's)"
    ),
    "--quick": dict(action="store_true", help="five samples: does it work, not how well"),
    "--json": COMMON["--json"],
    "--api-key": COMMON["--api-key"],
    "--environment": dict(default=_ENVIRONMENT, metavar="NAME",
    help=f"adjusts the levels; here: {_ENVIRONMENT}"),
    "--store": dict(type=Path, default=STORE, metavar="DIR",
    help="where measurements are kept (default logs/slo)"),
}  # fmt: skip


def chosen(args: Namespace) -> EndpointProfile:
    """The profile.

    Raises:
        SloError: it, the environment or an endpoint does not exist.
    """
    profile = endpoint_profile(args.slo)
    profile.factor(args.environment)
    for name in args.endpoint or ():
        if name not in profile.endpoints:
            known = ", ".join(profile.endpoints)
            raise SloError(
                f"There is no endpoint {name!r} in profile {profile.name}; there are {known}."
            )
    return profile


def endpoints(
    sampler: Sampler, args: Namespace, profile: EndpointProfile
) -> Iterator[tuple[str, Subject | str]]:
    """Those that were asked for, until Ctrl-C; a sentence is why one cannot be measured. Where none
    is configured the simulator stands in for each of them."""
    with ExitStack() as stack:
        simulator = Simulator(profile="homelab", roles=ROLES) if simulated(profile) else None
        if simulator is not None:
            stack.enter_context(simulator)
        for name, slo in profile.endpoints.items():
            if sampler.interrupted or name not in (args.endpoint or profile.endpoints):
                continue
            url = simulator.url(STAND_INS[slo.kind]) if simulator else slo.address(os.environ)
            found: Subject | str = f"{slo.env} is not set"
            if url:
                try:
                    found = Subject(name, slo, profile, Endpoint.of(url, args.api_key))
                except (Failure, ValueError) as error:
                    found = str(error)
            yield name, found


def simulated(profile: EndpointProfile, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the simulator stands in: no endpoint of the profile is configured."""
    return not any(slo.address(environ) for slo in profile.endpoints.values())


def counts(args: Namespace, profile: EndpointProfile) -> tuple[int, int]:
    """Samples and warm-ups: the command line, then --quick, then the profile."""
    samples, warm_up = QUICK if args.quick else (profile.method.sequential, profile.method.warm_up)
    return args.samples or samples, warm_up if args.warm_up is None else args.warm_up


def title(what: str, profile: EndpointProfile, args: Namespace) -> str:
    facts = ["simulated"] if simulated(profile) else []
    facts += [args.environment, *(["quick"] if args.quick else [])]
    return f"{what}, profile {profile.name} ({', '.join(facts)})"


_LEVELS = (
    "endpoint", "model there", "n", "cold ms", "× warm", "P50 ms", "P95 ms", "P99 ms", "mean ms",
    "tok/s P50", "P95 / P99 allowed",
    "verdict",
)  # fmt: skip
_SWEEP = ("endpoint", "clients", "P50 ms", "P95 ms", "× P95 of one", "expected", "")


def profile(sampler: Sampler, args: Namespace) -> list[Result]:
    """Two tables; a level that is not kept is a promise not kept."""
    chosen_one = chosen(args)
    what = "whole answer of one token" if chosen_one.measures == "answer" else "first token"
    levels = Result("endpoint-profile", title(f"Endpoints, {what}", chosen_one, args), _LEVELS)
    sweep = Result("endpoint-profile", "Several clients at a time (shown, not asserted)", _SWEEP)
    with sampler.interruptible():
        for name, subject in endpoints(sampler, args, chosen_one):
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


def _one(subject: Subject, sampler: Sampler, table: Result, args: Namespace) -> None:
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
