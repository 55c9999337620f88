"""The six benchmarks of a routing setup: latency per route, speed of the models, long context,
concurrency, streaming, and the cost of deciding. Beside each row are the published figures."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bench import prompts
from bench.client import Connection, Endpoint, Failure
from bench.crowd import send
from bench.prompts import body
from bench.result import NOTHING, Result, Sampler, Samples, counted, intervals, ms, number, spread
from bench.stand import Stand, session
from bench.stats import bootstrap, summarise

PROFILE = "homelab"
# As the reference decided: with the default cascade, most rows would show a tier, not the route.
TIERS = "rules,reasoning"
SAMPLES, AT_LEAST, BUDGET_S = 20, 5, 60.0
AT_ONCE, _LIMIT_S = 10, 120.0
_TIMES = ("n", "p50 ms", "p95 ms", "p99 ms")
_LEGS = {"explicit": "routed, explicit route", "decided": "routed, decided"}
_STAGES = ("classification", "enrichment", "inference")


def run(
    stand: Stand, sampler: Sampler, samples: int | None = None, quick: bool = False
) -> list[Result]:
    """`samples` per row: 20, or what fits into 60 s, but at least 5."""
    bench = _Routing(stand, sampler, samples, quick)
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
                router, "5. Streaming: time to the first token", prompts.FIRST_TOKEN, stream=True,
                max_tokens=16
            ),
            bench.alternating(
                router, "6. Routing overhead: the same request to the same model, one token",
                prompts.OVERHEAD, max_tokens=1
            ),
        ]  # fmt: skip
    return [result for result in results if result.rows]


class _Routing:
    def __init__(self, stand: Stand, sampler: Sampler, samples: int | None, quick: bool) -> None:
        self._stand, self._sampler = stand, sampler
        self._wanted = samples or (2 if quick else SAMPLES)
        self._at_least = min(samples or AT_LEAST, 2 if quick else AT_LEAST)

    def _collect(
        self, result: Result, measure: Callable[[int], Any], name: str
    ) -> Samples[Any] | None:
        """The samples, None if there was no try. The first failure becomes a note."""
        samples = self._sampler.collect(
            measure, self._wanted, budget=BUDGET_S, at_least=self._at_least, name=name
        )
        if samples.first_failure:
            result.notes.append(f"{name}, the first failure: {samples.first_failure[:160]}")
        return samples if samples.values or samples.failures else None

    # 1. Per-route latency -------------------------------------------------------------------------

    def latency(self, router: Connection) -> Result:
        columns = ("1. route", "n", "classify ms", "enrich ms", "inference ms", *_TIMES[1:],
            "classify %")  # fmt: skip
        result = Result("routing", "1. Latency per route, whole answers", columns)
        for row in prompts.ROUTES:

            def one(i: int, row: prompts.Route = row) -> tuple[float, str]:
                reply = router.chat(body(row.prompt(i), self._stand.virtual_model))
                found = reply.headers.get("x-router-route", row.route)
                if found != row.route:
                    raise Failure(f"it took the route {found}, not {row.route}")
                return reply.seconds, reply.headers.get("x-router-session", "")

            samples = self._collect(result, one, row.name)
            if samples is None:
                continue
            sessions = [session(self._stand.log_dir, id8) or {} for _, id8 in samples.values]
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
            prompts.BASELINE,
            "stages: p50 of the session files; the answer is begun while the route is decided, "
            "so total < sum",
        ]
        return result

    # 2. and 3. Speed of the models, long context --------------------------------------------------

    def speed(self, router: Connection) -> Result:
        columns = ("2., 3.", "n", "p50", "p95", "p99", "unit", "reference")
        result = Result("routing", "2. Speed of the models, and 3. long context", columns)
        prompt_tokens: list[int] = []

        def tokens_per_s(role: str, i: int) -> float:
            asked = {
                "messages": [{"role": "user", "content": prompts.long(i)}],
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            rate = router.checked(self._stand.router.below(f"/{role}").chat(asked)).tokens_per_s
            if rate is None:
                raise Failure("an answer too short to measure its speed")
            return rate

        def long_context(i: int) -> float:
            asked = body(prompts.eight_thousand_tokens(i), self._stand.explicit_model)
            reply = router.chat(asked)
            answer = reply.json()
            message = answer["choices"][0]["message"]
            if not any(message.get(part) for part in ("content", "reasoning_content", "reasoning")):
                raise Failure("an empty answer")
            prompt_tokens.append((answer.get("usage") or {}).get("prompt_tokens") or 0)
            return reply.seconds

        for role, published in prompts.SPEED.items():
            name = f"{role} model"
            if samples := self._collect(result, partial(tokens_per_s, role), name):
                found = summarise(samples.values)
                cells = spread(found, show=partial(number, digits=0))
                result.add(
                    (name, counted(samples), *cells, "tok/s", published),
                    n=len(samples.values), failures=samples.failures, tok_s=found,
                )  # fmt: skip
        if samples := self._collect(result, long_context, "long context"):
            found, least = summarise(samples.values), min(prompt_tokens, default=None)
            name = f"long context ({'8K' if least is None else f'{least:,}'} tokens)"
            result.add(
                (name, counted(samples), *spread(found), "ms", prompts.LONG_CONTEXT),
                n=len(samples.values), failures=samples.failures, total_s=found,
                prompt_tokens=least,
            )  # fmt: skip
        return result

    # 4. Concurrent requests -----------------------------------------------------------------------

    def concurrent(self) -> Result:
        title = f"4. {AT_ONCE} concurrent requests: until the last is answered"
        columns = ("4. at the same time", "rounds", "answered", *_TIMES[1:], "reference")
        result = Result("routing", title, columns)
        router, model = self._stand.router, self._stand.explicit_model
        for name, endpoint, fields, published in (
            ("router model, 10 tokens", router.below("/router"), {}, prompts.CONCURRENT),
            ("explicit route, 10 tokens", router, {"model": model}, NOTHING),
        ):
            answered: list[int] = []
            samples = self._collect(result, partial(_burst, endpoint, fields, answered), name)
            if samples is not None:
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
        short = title.partition(":")[0]
        result = Result("routing", title, (short.partition(".")[0] + ".", *_TIMES, "reference"))
        stand = self._stand
        direct_name = "direct" if stand.direct else "direct (pass-through)"
        label = {"direct": direct_name, **_LEGS}
        with Connection(stand.direct or stand.router.below("/primary")) as direct:
            legs = {
                "direct": (direct, stand.primary_model),
                "explicit": (router, stand.explicit_model),
                "decided": (router, stand.virtual_model),
            }

            def one(i: int) -> dict[str, float]:
                found = {}
                for leg, (connection, model) in legs.items():
                    wire = connection.endpoint.chat(body(prompts.short(i), model, **fields))
                    found[leg] = connection.timed(wire, stream="stream" in fields)
                return found

            samples = self._collect(result, one, short)
        if samples is None or result.failed(short, samples):
            return result
        n = counted(samples)
        for leg, shown in label.items():
            found = summarise([value[leg] for value in samples.values])
            result.add(
                (shown, n, *spread(found), published[leg]),
                n=len(samples.values), failures=samples.failures, seconds=found,
            )  # fmt: skip
        for leg, shown in _LEGS.items():
            added = [value[leg] - value["direct"] for value in samples.values]
            quantiles = p50, p95, p99 = bootstrap(added)
            reference = published.get("added", NOTHING) if leg == "decided" else NOTHING
            result.add(
                (f"added: {shown}", n, *intervals(quantiles, len(added)), reference),
                p50_s=p50, p95_s=p95, p99_s=p99,
            )  # fmt: skip
        return result


def _stage(sessions: list[Mapping[str, Any]], name: str) -> float | None:
    """The p50 of a stage in seconds, from the sessions that have it."""
    found = summarise([one[name] / 1000 for one in sessions if one.get(name) is not None])
    return found.p50 if found else None


def _burst(endpoint: Endpoint, fields: Mapping[str, Any], answered: list[int], i: int) -> float:
    """Seconds until the last of ten requests is answered that are sent at once."""
    texts = [prompts.short(AT_ONCE * i + j) for j in range(AT_ONCE)]
    asked = [{"messages": [{"role": "user", "content": text}], "max_tokens": 10} for text in texts]
    answers = send(endpoint, [endpoint.chat({**one, **fields}) for one in asked], _LIMIT_S)
    failed = [answer.said() for answer in answers if answer.status != 200]
    answered.append(AT_ONCE - len(failed))
    if failed:
        raise Failure(failed[0])
    return max(answer.seconds for answer in answers)
