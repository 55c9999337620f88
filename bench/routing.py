"""The six benchmarks of a routing setup: latency per route, speed of the models, long context,
concurrency, streaming,
and the price of deciding. Beside each row stand the reference figures: the baseline of 2026-02-16,
one home server.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

from bench import prompts
from bench.client import Connection, Endpoint, Failure
from bench.prompts import body
from bench.reference import (
    BASELINE,
    CONCURRENT,
    FIRST_TOKEN,
    LONG_CONTEXT,
    OVERHEAD,
    ROUTES,
    SPEED,
    RouteRow,
)
from bench.result import NOTHING, Result, Samples, counted, intervals, ms, number, spread
from bench.sampling import Sampler
from bench.stand import Stand
from bench.stats import bootstrap, summarise

PROFILE = "homelab"
TIERS = "rules,reasoning"  # how the reference decided; with the cascade as shipped most rows would show a tier, not the route
SAMPLES, AT_LEAST, BUDGET_S = 20, 5, 60.0
AT_ONCE = 10
_TIMES = ("n", "p50 ms", "p95 ms", "p99 ms")
_LEGS = {"direct": "direct", "explicit": "routed, explicit route", "decided": "routed, decided"}
_STAGES = ("classification", "enrichment", "inference")


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """`samples` per row: 20, or what fits into 60 s, but at least 5."""
    bench = _Routing(stand, sampler, samples, quick)
    sampler.meter.start("routing", bench.expected())
    with Connection(stand.router) as router:
        # Connections, prefix caches, the first request's costs.
        sampler.collect(
            lambda i: router.chat(body(prompts.short(i + 50), stand.virtual_model)), 2, budget=10,
            at_least=1, name="warm-up"
        )  # fmt: skip
        results = [
            bench.latency(router),
            bench.speed(router),
            bench.concurrent(),
            bench.alternating(
                router, "5. Streaming: time to the first token", FIRST_TOKEN, stream=True,
                max_tokens=16
            ),
            bench.alternating(
                router, "6. Routing overhead: the same request to the same model, one token",
                OVERHEAD, max_tokens=1
            ),
        ]  # fmt: skip
    return [result for result in results if result.rows]


class _Routing:
    def __init__(self, stand: Stand, sampler: Sampler, samples: int | None, quick: bool) -> None:
        self._stand, self._sampler = stand, sampler
        self._wanted = samples or (2 if quick else SAMPLES)
        self._at_least = min(samples or AT_LEAST, 2 if quick else AT_LEAST)
        self._auto = stand.virtual_model
        self._slow = 0.02 if stand.profile == "fast" else 1.0

    def expected(self) -> float:
        rows = sum(self._time_for(row.expected_s * self._slow) for row in ROUTES)
        return rows + 7 * self._time_for(self._slow)

    def _time_for(self, each: float) -> float:
        return max(self._at_least * each, min(BUDGET_S, self._wanted * each))

    def _collect(
        self, result: Result, measure: Callable[[int], Any], name: str, each: float = 1.0
    ) -> Samples[Any]:
        """`each`: about how many seconds a sample takes on the homelab profile. The first failure
        becomes a note."""
        samples = self._sampler.collect(
            measure, self._wanted, budget=BUDGET_S, at_least=self._at_least, name=name,
            expected=self._time_for(each * self._slow)
        )  # fmt: skip
        if samples.first_failure:
            result.notes.append(f"{name}, the first failure: {samples.first_failure[:160]}")
        return samples

    # 1. Per-route latency -------------------------------------------------------------------------

    def latency(self, router: Connection) -> Result:
        columns = ("1. route", "n", "classify ms", "enrich ms", "inference ms", *_TIMES[1:],
            "classify %")  # fmt: skip
        result = Result("routing", "1. Latency per route, whole answers", columns)
        for row in ROUTES:

            def one(i: int, row: RouteRow = row) -> tuple[float, str]:
                reply = router.chat(body(row.prompt(i), self._auto))
                found = reply.headers.get("x-router-route", row.route)
                if found != row.route:
                    raise Failure(f"it took the route {found}, not {row.route}")
                return reply.seconds, reply.headers.get("x-router-session", "")

            samples = self._collect(result, one, row.name, row.expected_s)
            if not samples.values and not samples.failures:
                continue
            sessions = [self._stand.session(id8) or {} for _, id8 in samples.values]
            total = summarise([seconds for seconds, _ in samples.values])
            classify, enrich, inference = (_stage(sessions, f"{name}_ms") for name in _STAGES)
            share = 100 * classify / total.p50 if classify is not None and total else None
            result.add(
                (row.name, counted(samples), ms(classify), ms(enrich), ms(inference),
                *spread(total), number(share, 0)),
                n=len(samples.values), failures=samples.failures, total_s=total,
                classify_p50_s=classify, enrich_p50_s=enrich,
                inference_p50_s=inference, reference=row.reference, classify_percent=share,
            )  # fmt: skip
            result.add(("  reference", "1–3", *row.reference[:4], "", "", row.reference[4]))
        result.notes += [
            BASELINE,
            "stages: p50 of the session files; the answer is begun while the route is decided, so total < sum",
        ]
        return result

    # 2. and 3. Speed of the models, long context --------------------------------------------------

    def speed(self, router: Connection) -> Result:
        columns = ("2., 3.", "n", "p50", "p95", "p99", "unit", "reference")
        result = Result("routing", "2. Speed of the models, and 3. long context", columns)
        for role, published in SPEED.items():
            endpoint = self._stand.router.below(f"/{role}")
            samples = self._collect(
                result, partial(_tokens_per_second, router, endpoint), f"{role} model"
            )
            if samples.values or samples.failures:
                found = summarise(samples.values)
                cells = spread(found, show=partial(number, digits=0))
                result.add(
                    (f"{role} model", counted(samples), *cells, "tok/s", published),
                    n=len(samples.values), failures=samples.failures, tok_s=found,
                )  # fmt: skip
        prompt_tokens: list[int] = []

        def long_context(i: int) -> float:
            asked = body(prompts.eight_thousand_tokens(i), self._stand.explicit_model)
            reply = router.chat(asked)
            answer = reply.json()
            message = answer["choices"][0]["message"]
            if not any(message.get(part) for part in ("content", "reasoning_content", "reasoning")):
                raise Failure("an empty answer")
            prompt_tokens.append((answer.get("usage") or {}).get("prompt_tokens") or 0)
            return reply.seconds

        samples = self._collect(result, long_context, "long context")
        if samples.values or samples.failures:
            found, least = summarise(samples.values), min(prompt_tokens, default=None)
            size = "8K tokens" if least is None else f"{least:,} tokens"
            result.add(
                (f"long context ({size})", counted(samples), *spread(found), "ms", LONG_CONTEXT),
                n=len(samples.values), failures=samples.failures, total_s=found,
                prompt_tokens=least,
            )  # fmt: skip
        return result

    # 4. Concurrent requests -----------------------------------------------------------------------

    def concurrent(self) -> Result:
        title = f"4. {AT_ONCE} concurrent requests: until the last is answered"
        columns = ("4. at the same time", "rounds", "answered", *_TIMES[1:], "reference")
        result = Result("routing", title, columns)
        router = self._stand.router
        for name, endpoint, fields, published in (
            ("router model, 10 tokens", router.below("/router"), {}, CONCURRENT),
            ("explicit route, 10 tokens", router, {"model": self._stand.explicit_model}, NOTHING),
        ):
            answered: list[int] = []
            with ExitStack() as stack:
                burst = _Burst([stack.enter_context(Connection(endpoint)) for _ in range(AT_ONCE)])
                samples = self._collect(result, partial(burst.once, fields, answered), name)
            if answered:
                sent, found = AT_ONCE * len(answered), summarise(samples.values)
                result.add(
                    (name, str(len(answered)), f"{sum(answered)}/{sent}", *spread(found),
                    published),
                    rounds=len(answered), answered=sum(answered), sent=sent, seconds=found,
                )  # fmt: skip
        result.notes.append("a round in which a request fails gives no time")
        return result

    # 5. Streaming, 6. routing overhead ------------------------------------------------------------

    def alternating(
        self, router: Connection, title: str, published: Mapping[str, str], **fields: Any
    ) -> Result:
        """Three ways to the same model in turn for each sample; only rounds in which all of them
        answered count."""
        name = title.partition(".")[0] + "."
        result = Result("routing", title, (name, *_TIMES, "reference"))
        stand, label = self._stand, dict(_LEGS)
        direct, end = router, stand.router.below("/primary")
        if stand.direct is None:
            label["direct"] = "direct (pass-through)"
        else:
            direct, end = Connection(stand.direct), stand.direct
        legs = {
            "direct": (direct, end, stand.primary_model),
            "explicit": (router, stand.router, stand.explicit_model),
            "decided": (router, stand.router, self._auto),
        }

        def one(i: int) -> dict[str, float]:
            found = {}
            for leg, (connection, endpoint, model) in legs.items():
                wire = endpoint.chat(body(prompts.short(i), model, **fields))
                found[leg] = (
                    connection.first_content(wire)
                    if "stream" in fields
                    else connection.checked(wire).seconds
                )
            return found

        samples = self._collect(result, one, title.partition(":")[0])
        n = counted(samples)
        if not samples.values:
            if samples.failures:
                cells = (title.partition(":")[0], n, *(NOTHING,) * 3, "")
                result.add(cells, failures=samples.failures)
            return result
        for leg in legs:
            found = summarise([value[leg] for value in samples.values])
            result.add(
                (label[leg], n, *spread(found), published[leg]),
                n=len(samples.values), failures=samples.failures, seconds=found,
            )  # fmt: skip
        for leg in ("explicit", "decided"):
            added = [value[leg] - value["direct"] for value in samples.values]
            quantiles = p50, p95, p99 = bootstrap(added)
            reference = published.get("added", NOTHING) if leg == "decided" else NOTHING
            result.add(
                (f"added: {label[leg]}", n, *intervals(quantiles, len(added)), reference),
                p50_s=p50, p95_s=p95, p99_s=p99,
            )  # fmt: skip
        return result


def _stage(sessions: list[Mapping[str, Any]], name: str) -> float | None:
    """The p50 of a stage in seconds, from the sessions that have it."""
    found = summarise([one[name] / 1000 for one in sessions if one.get(name) is not None])
    return found.p50 if found else None


def _tokens_per_second(connection: Connection, endpoint: Endpoint, i: int) -> float:
    """Tokens of a streamed answer per second between its first and its last."""
    asked = {
        "messages": [{"role": "user", "content": prompts.long(i)}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    rate = connection.checked(endpoint.chat(asked)).tokens_per_s
    if rate is None:
        raise Failure("an answer too short to measure its speed")
    return rate


class _Burst:
    """One request on every connection at once."""

    def __init__(self, connections: list[Connection]) -> None:
        self._connections = connections

    def once(self, fields: Mapping[str, Any], answered: list[int], i: int) -> float:
        """Seconds until the last is answered."""
        start = threading.Barrier(len(self._connections) + 1)

        def ask(connection: Connection, j: int) -> str:
            messages = [{"role": "user", "content": prompts.short(10 * i + j)}]
            wire = connection.endpoint.chat({"messages": messages, "max_tokens": 10, **fields})
            start.wait()
            try:
                connection.checked(wire)
            except Failure as failure:
                return str(failure)
            return ""

        with ThreadPoolExecutor(len(self._connections)) as pool:
            asked = [pool.submit(ask, one, j) for j, one in enumerate(self._connections)]
            start.wait()
            begun = time.perf_counter()
            failures = [said for one in asked if (said := one.result())]
            seconds = time.perf_counter() - begun
        answered.append(len(self._connections) - len(failures))
        if failures:
            raise Failure(failures[0])
        return seconds
