"""The six benchmarks of a routing setup: latency per route, speed of the models, long context, concurrency, streaming,
and the price of deciding. Beside each row stand the reference figures: the baseline of 2026-02-16, one home server.
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from bench import prompts
from bench.client import Connection, Endpoint, Failure, Reply
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
from bench.result import NOTHING, Result, counted, ms, number, spread
from bench.sampling import Sampler, Samples
from bench.stand import Stand
from bench.stats import bootstrap, summarise

PROFILE = "homelab"
TIERS = "rules,reasoning"  # how the reference decided; with the cascade as shipped most rows would show a tier, not the route
SAMPLES, AT_LEAST, BUDGET_S = 20, 5, 60.0
AT_ONCE = 10


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """`samples` per row: 20, or what fits into 60 s, but at least 5."""
    bench = _Routing(
        stand,
        sampler,
        samples or (2 if quick else SAMPLES),
        min(samples or AT_LEAST, 2 if quick else AT_LEAST),
    )
    sampler.meter.start("routing", bench.expected())
    with Connection(stand.router) as router:
        bench.warm_up(router)
        results = [
            bench.latency(router),
            bench.speed(router),
            bench.concurrent(),
            bench.first_token(router),
            bench.price(router),
        ]
    return [result for result in results if result.rows]


class _Routing:
    def __init__(self, stand: Stand, sampler: Sampler, wanted: int, at_least: int) -> None:
        self._stand, self._sampler, self._wanted, self._at_least = stand, sampler, wanted, at_least
        self._auto = stand.virtual_model
        self._slow = 0.02 if stand.profile == "fast" else 1.0

    def expected(self) -> float:
        rows = sum(self._time_for(row.expected_s * self._slow) for row in ROUTES)
        return rows + 7 * self._time_for(self._slow)

    def _time_for(self, each: float) -> float:
        return max(self._at_least * each, min(BUDGET_S, self._wanted * each))

    def _collect(self, measure: Callable[[int], Any], name: str, each: float = 1.0) -> Samples[Any]:
        """`each`: about how many seconds a sample takes on the homelab profile."""
        expected = self._time_for(each * self._slow)
        return self._sampler.collect(
            measure,
            self._wanted,
            budget=BUDGET_S,
            at_least=self._at_least,
            name=name,
            expected=expected,
        )

    def warm_up(self, router: Connection) -> None:
        """Connections, prefix caches, the first request's costs."""
        self._sampler.collect(
            lambda i: router.chat(body(prompts.short(i + 50), self._auto)),
            2,
            budget=10,
            at_least=1,
            name="warm-up",
        )

    # 1. Per-route latency -------------------------------------------------------------------------------------------

    def latency(self, router: Connection) -> Result:
        columns = (
            "1. route",
            "n",
            "classify ms",
            "enrich ms",
            "inference ms",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "classify %",
        )
        result = Result("routing", "1. Latency per route, whole answers", columns)
        for row in ROUTES:

            def one(i: int, row: RouteRow = row) -> tuple[float, str]:
                reply = router.chat(body(row.prompt(i), self._auto))
                found = reply.headers.get("x-router-route", row.route)
                if found != row.route:
                    raise Failure(f"it took the route {found}, not {row.route}")
                return reply.seconds, reply.headers.get("x-router-session", "")

            samples: Samples[tuple[float, str]] = self._collect(one, row.name, row.expected_s)
            if not samples.values and not samples.failures:
                continue
            sessions = [
                found
                for _, id8 in samples.values
                if (found := self._stand.session(id8)) is not None
            ]
            total = summarise([seconds for seconds, _ in samples.values])
            classify, enrich, inference = (
                _stage(sessions, f"{name}_ms")
                for name in ("classification", "enrichment", "inference")
            )
            share = 100 * classify / total.p50 if classify is not None and total else None
            n = counted(len(samples.values), samples.failures)
            result.add(
                (row.name, n, ms(classify), ms(enrich), ms(inference), *spread(total), number(share, 0)),
                n=len(samples.values), failures=samples.failures, total_s=total, classify_p50_s=classify, enrich_p50_s=enrich,
                inference_p50_s=inference, reference=row.reference, classify_percent=share,
            )  # fmt: skip
            published = row.reference
            result.add(
                (
                    "  reference",
                    "1–3",
                    published[0],
                    published[1],
                    published[2],
                    published[3],
                    "",
                    "",
                    published[4],
                )
            )
            _note_failure(result, row.name, samples)
        result.notes += [
            BASELINE,
            "stages: p50 of the session files; the answer is begun while the route is decided, so total < sum",
        ]
        return result

    # 2. and 3. Speed of the models, long context --------------------------------------------------------------------

    def speed(self, router: Connection) -> Result:
        result = Result(
            "routing",
            "2. Speed of the models, and 3. long context",
            ("2., 3.", "n", "p50", "p95", "p99", "unit", "reference"),
        )
        for role, published in SPEED.items():
            endpoint = self._stand.router.below(f"/{role}")
            samples = self._collect(
                partial(_tokens_per_second, router, endpoint), f"speed: {role} model"
            )
            if samples.values or samples.failures:
                found = summarise(samples.values)
                cells = tuple(
                    number(getattr(found, q) if found else None, 0) for q in ("p50", "p95", "p99")
                )
                n = counted(len(samples.values), samples.failures)
                result.add(
                    (f"{role} model", n, *cells, "tok/s", published),
                    n=len(samples.values),
                    failures=samples.failures,
                    tok_s=found,
                )
                _note_failure(result, f"{role} model", samples)
        prompt_tokens: list[int] = []

        def long_context(i: int) -> float:
            reply = router.chat(body(prompts.eight_thousand_tokens(i), f"{self._auto}/primary"))
            answer = reply.json()
            message = answer["choices"][0]["message"]
            if not (
                message.get("content")
                or message.get("reasoning_content")
                or message.get("reasoning")
            ):
                raise Failure("an empty answer")
            prompt_tokens.append((answer.get("usage") or {}).get("prompt_tokens") or 0)
            return reply.seconds

        samples = self._collect(long_context, "long context")
        if samples.values or samples.failures:
            found = summarise(samples.values)
            size = f"{min(prompt_tokens):,} tokens" if prompt_tokens else "8K tokens"
            n = counted(len(samples.values), samples.failures)
            result.add(
                (f"long context ({size})", n, *spread(found), "ms", LONG_CONTEXT),
                n=len(samples.values), failures=samples.failures, total_s=found, prompt_tokens=min(prompt_tokens, default=None),
            )  # fmt: skip
            _note_failure(result, "long context", samples)
        return result

    # 4. Concurrent requests -----------------------------------------------------------------------------------------

    def concurrent(self) -> Result:
        columns = (
            "4. at the same time",
            "rounds",
            "answered",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "reference",
        )
        result = Result(
            "routing", f"4. {AT_ONCE} concurrent requests: until the last is answered", columns
        )
        answered: list[int] = []
        for name, endpoint, model, limit, published in (
            ("router model, 10 tokens", self._stand.router.below("/router"), None, 10, CONCURRENT),
            ("explicit route, 10 tokens", self._stand.router, f"{self._auto}/primary", 10, NOTHING),
        ):
            answered.clear()
            connections = [Connection(endpoint) for _ in range(AT_ONCE)]
            try:
                samples = self._collect(partial(_burst, connections, model, limit, answered), name)
            finally:
                for connection in connections:
                    connection.close()
            if answered:
                sent = AT_ONCE * len(answered)
                found = summarise(samples.values)
                result.add(
                    (name, str(len(answered)), f"{sum(answered)}/{sent}", *spread(found), published),
                    rounds=len(answered), answered=sum(answered), sent=sent, seconds=found,
                )  # fmt: skip
                _note_failure(result, name, samples)
        result.notes.append("a round in which a request fails gives no time")
        return result

    # 5. Streaming ---------------------------------------------------------------------------------------------------

    def first_token(self, router: Connection) -> Result:
        result = Result(
            "routing",
            "5. Streaming: time to the first token",
            ("5.", "n", "p50 ms", "p95 ms", "p99 ms", "reference"),
        )
        legs = self._legs(router, stream=True, max_tokens=16)
        self._alternating(result, legs, FIRST_TOKEN, lambda reply: reply.first_content, "streaming")
        return result

    # 6. Routing overhead --------------------------------------------------------------------------------------------

    def price(self, router: Connection) -> Result:
        title = "6. Routing overhead: the same request to the same model, one token"
        result = Result("routing", title, ("6.", "n", "p50 ms", "p95 ms", "p99 ms", "reference"))
        legs = self._legs(router, max_tokens=1)
        self._alternating(result, legs, OVERHEAD, lambda reply: reply.seconds, "overhead")
        return result

    def _legs(self, router: Connection, **fields: Any) -> dict[str, Callable[[int], Reply]]:
        stand = self._stand
        direct = Connection(stand.direct) if stand.direct else None
        through = stand.router.below("/primary")

        def ask(i: int, model: str) -> dict[str, Any]:
            return body(prompts.short(i), model, **fields)

        def directly(i: int) -> Reply:
            if direct is not None:
                return direct.chat(ask(i, stand.primary_model))
            return router.checked(through.wire("/v1/chat/completions", ask(i, stand.primary_model)))

        return {
            "direct": directly,
            "explicit": lambda i: router.chat(ask(i, f"{self._auto}/primary")),
            "decided": lambda i: router.chat(ask(i, self._auto)),
        }

    def _alternating(
        self,
        result: Result,
        legs: dict[str, Callable[[int], Reply]],
        published: Mapping[str, str],
        of: Callable[[Reply], float | None],
        name: str,
    ) -> None:
        """All legs in turn for each sample; only rounds in which all of them answered count."""

        def one(i: int) -> dict[str, float]:
            found: dict[str, float] = {}
            for leg, ask in legs.items():
                value = of(ask(i))
                if value is None:
                    raise Failure("a stream without content")
                found[leg] = value
            return found

        samples: Samples[dict[str, float]] = self._collect(one, name)
        if not samples.values:
            if samples.failures:
                _note_failure(result, name, samples)
                result.add(
                    (name, counted(0, samples.failures), *(NOTHING,) * 3, ""),
                    failures=samples.failures,
                )
            return
        n = counted(len(samples.values), samples.failures)
        label = {
            "direct": "direct" if self._stand.direct else "direct (pass-through)",
            "explicit": "routed, explicit route",
            "decided": "routed, decided",
        }
        for leg in legs:
            found = summarise([value[leg] for value in samples.values])
            result.add(
                (label[leg], n, *spread(found), published[leg]),
                n=len(samples.values),
                failures=samples.failures,
                seconds=found,
            )
        for leg in ("explicit", "decided"):
            p50, p95, p99 = bootstrap([value[leg] - value["direct"] for value in samples.values])
            cells = (
                f"{ms(p50.value)} [{ms(p50.low)}, {ms(p50.high)}]",
                ms(p95.value),
                ms(p99.value),
            )
            reference = published.get("added", NOTHING) if leg == "decided" else NOTHING
            result.add(
                (f"added: {label[leg]}", n, *cells, reference), p50_s=p50, p95_s=p95, p99_s=p99
            )
        _note_failure(result, name, samples)


def _stage(sessions: list[Mapping[str, Any]], name: str) -> float | None:
    """The p50 of a stage in seconds, from the sessions that have it."""
    found = summarise(
        [session[name] / 1000 for session in sessions if session.get(name) is not None]
    )
    return found.p50 if found else None


def _tokens_per_second(connection: Connection, endpoint: Endpoint, i: int) -> float:
    """Tokens of a streamed answer per second between its first and its last."""
    ask = {
        "messages": [{"role": "user", "content": prompts.long(i)}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    reply = connection.checked(endpoint.wire("/v1/chat/completions", ask))
    tokens = _completion_tokens(reply.body)
    if tokens < 2 or reply.first_content is None or reply.seconds <= reply.first_content:
        raise Failure("an answer too short to measure its speed")
    return (tokens - 1) / (reply.seconds - reply.first_content)


def _completion_tokens(stream: bytes) -> int:
    for event in reversed(stream.split(b"\n\n")):
        data = event.removeprefix(b"data:").strip()
        if data.startswith(b"{"):
            usage = orjson.loads(data).get("usage")
            if usage:
                return int(usage.get("completion_tokens") or 0)
    return 0


def _burst(
    connections: list[Connection], model: str | None, limit: int, answered: list[int], i: int
) -> float:
    """One request on every connection at once; seconds until the last is answered."""
    failures: list[Failure] = []
    start = threading.Barrier(len(connections) + 1)

    def ask(connection: Connection, j: int) -> None:
        request = {
            "messages": [{"role": "user", "content": prompts.short(10 * i + j)}],
            "max_tokens": limit,
        }
        wire = connection.endpoint.wire(
            "/v1/chat/completions", request | ({"model": model} if model else {})
        )
        start.wait()
        try:
            connection.checked(wire)
        except Failure as failure:
            failures.append(failure)

    threads = [
        threading.Thread(target=ask, args=(connection, j))
        for j, connection in enumerate(connections)
    ]
    for thread in threads:
        thread.start()
    start.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    answered.append(len(connections) - len(failures))
    if failures:
        raise failures[0]
    return seconds


def _note_failure(result: Result, name: str, samples: Samples[Any]) -> None:
    if samples.first_failure:
        result.notes.append(f"{name}, the first failure: {samples.first_failure[:160]}")
