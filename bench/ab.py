"""Two configurations of the router side by side: the same request to both in random order, and the
differences within the pairs.

Pairs tell small differences that two runs one after the other would not: whatever the machine does,
it does to both.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from bench.client import Connection
from bench.prompts import body
from bench.reference import ROUTES
from bench.result import NOTHING, Result, Samples, counted, ms, spread
from bench.routing import TIERS
from bench.sampling import Pair, Sampler
from bench.stand import Options, Stand, Unavailable, stand
from bench.stats import bootstrap, summarise

PROFILE = "homelab"
SAMPLES, AT_LEAST, BUDGET_S = 20, 5, 40.0
COLUMNS = ("", "pairs", "{a} p50 ms", "{b} p50 ms", "{b} − {a}, p50 ms", "95 % interval", "verdict")


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared: a variable of the router's environment, and its value on either side."""

    what: str
    names: tuple[str, str]
    variable: str
    values: tuple[str, str]


def sides(text: str) -> Sides:
    """From the command line: `speculation=on,off`, or `tier=learned,one_token` (rules, then that
    tier alone).

    Raises:
        Unavailable: it is neither.
    """
    what, _, rest = text.partition("=")
    names = tuple(part.strip() for part in rest.split(","))
    if what not in ("speculation", "tier") or len(names) != 2 or not all(names):
        raise Unavailable(
            "--ab is speculation=on,off or tier=A,B, with two of the cascade's tiers."
        )
    a, b = names
    if what == "speculation":
        return Sides(what, (a, b), "SPECULATION", (a, b))
    return Sides(what, (a, b), "CASCADE_TIERS", (f"rules,{a}", f"rules,{b}"))


def run(
    compared: Sides,
    options: Options,
    sampler: Sampler,
    tiers: str | None,
    samples: int | None,
    quick: bool,
) -> list[Result]:
    """A row per route, and one for the first token of a stream. `samples`: pairs per row."""
    wanted = samples or (2 if quick else SAMPLES)
    at_least = min(samples or AT_LEAST, 2 if quick else AT_LEAST)
    a, b = compared.names
    columns = tuple(column.format(a=a, b=b) for column in COLUMNS)
    result = Result("ab", f"{compared.what}: {a} (A) or {b} (B)", columns)
    with ExitStack() as stack:
        stands = [
            _stand(stack, options, {"CASCADE_TIERS": tiers or TIERS, compared.variable: value})
            for value in compared.values
        ]
        routers = [stack.enter_context(Connection(where.router)) for where in stands]

        def compare(
            name: str, prompt: Callable[[int], str], each: float, stream: bool = False
        ) -> None:
            def of(side: int) -> Callable[[int], float]:
                def one(i: int) -> float:
                    model = stands[side].virtual_model
                    if not stream:
                        return routers[side].chat(body(prompt(i), model)).seconds
                    asked = body(prompt(i), model, stream=True, max_tokens=16)
                    return routers[side].first_content(stands[side].router.chat(asked))

                return one

            found = sampler.collect(
                Pair(of(0), of(1)).take, wanted if name else 2, budget=BUDGET_S if name else 10,
                at_least=at_least if name else 1, name=name or "warm-up", expected=_time_for(each,
                wanted),
            )  # fmt: skip
            if name and (found.values or found.failures):
                _add(result, name, found)

        slow = 0.02 if stands[0].profile == "fast" else 1.0
        expected = sum(_time_for(route.expected_s * slow, wanted) for route in ROUTES)
        sampler.meter.start(f"{compared.what}: {a} or {b}", expected)
        compare("", lambda i: ROUTES[0].prompt(i + 50), slow)
        for row in ROUTES:
            compare(row.name, row.prompt, row.expected_s * slow)
        compare("MODERATE (short), first token", ROUTES[0].prompt, slow, True)
    result.notes += [
        "each pair: the same request to both, in random order, one at a time; interval: bootstrap of the median",
        "a route that depends on the answer may differ between the sides: that is part of what is compared",
    ]
    return [result]


def _stand(stack: ExitStack, options: Options, env: dict[str, str]) -> Stand:
    try:
        return stack.enter_context(stand(options, PROFILE, env=env))
    except RuntimeError as error:  # the configuration's own sentence about what is wrong
        said = " ".join(f"{name}={value}" for name, value in env.items())
        raise Unavailable(
            f"The router does not start with {said}: {str(error)[-300:].strip()}"
        ) from None


def _time_for(each: float, wanted: int) -> float:
    return max(AT_LEAST * 2 * each, min(BUDGET_S, wanted * 2 * each))


def _add(result: Result, name: str, found: Samples[tuple[float, float]]) -> None:
    n = counted(found)
    if not found.values:
        result.add((name, n, *(NOTHING,) * 4, found.first_failure[:60]), failures=found.failures)
        return
    a, b = (summarise(values) for values in zip(*found.values, strict=True))
    difference = bootstrap([b - a for a, b in found.values], (0.5,))[0]
    verdict = "A is faster" if difference.low > 0 else "no difference seen"
    verdict = "B is faster" if difference.high < 0 else verdict
    if len(found.values) < AT_LEAST:
        verdict = "too few pairs"
    cells = (*spread(a, "p50"), *spread(b, "p50"), ms(difference.value))
    result.add(
        (name, n, *cells, f"[{ms(difference.low)}, {ms(difference.high)}]", verdict),
        n=len(found.values), failures=found.failures, a_s=a, b_s=b, difference_p50_s=difference,
    )  # fmt: skip
