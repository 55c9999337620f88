"""Two configurations of the router side by side: the same request to both in random order, and the differences within the pairs.

Pairs tell small differences that two runs one after the other would not: whatever the machine does, it does to both.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from bench.client import Connection, Failure, Reply
from bench.prompts import body
from bench.reference import ROUTES
from bench.result import NOTHING, Result, counted, ms
from bench.sampling import Sampler, Samples
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
    """From the command line: `speculation=on,off`, or `tier=learned,one_token` (rules, then that tier alone).

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
    with ExitStack() as stack:
        stands = []
        for value in compared.values:
            env = {**({"CASCADE_TIERS": tiers} if tiers else {}), compared.variable: value}
            try:
                stands.append(stack.enter_context(stand(options, PROFILE, env=env)))
            except RuntimeError as error:  # the configuration's own sentence about what is wrong
                raise Unavailable(
                    f"The router does not start with {compared.variable}={value}: {str(error)[-300:].strip()}"
                ) from None
        routers = [stack.enter_context(Connection(where.router)) for where in stands]
        slow = 0.02 if stands[0].profile == "fast" else 1.0
        sampler.meter.start(
            f"{compared.what}: {' or '.join(compared.names)}",
            sum(_time_for(r.expected_s * slow, wanted) for r in ROUTES),
        )
        result = Result(
            "ab",
            f"{compared.what}: {compared.names[0]} (A) or {compared.names[1]} (B)",
            _columns(compared),
        )

        def compare(name: str, prompt: Callable[[int], str], each: float, stream: bool) -> None:
            pair = _Pair(stands, routers, prompt, stream)
            expected = _time_for(each * slow, wanted)
            found = sampler.collect(
                pair.take, wanted, budget=BUDGET_S, at_least=at_least, name=name, expected=expected
            )
            if found.values or found.failures:
                _add(result, name, found)

        sampler.collect(
            _Pair(stands, routers, lambda i: ROUTES[0].prompt(i + 50), False).take,
            2,
            budget=10,
            at_least=1,
            name="warm-up",
        )
        for row in ROUTES:
            compare(row.name, row.prompt, row.expected_s, False)
        compare("MODERATE (short), first token", ROUTES[0].prompt, 1.0, True)
        result.notes.append(
            "each pair: the same request to both, in random order, one at a time; interval: bootstrap of the median"
        )
        result.notes.append(
            "a route that depends on the answer may differ between the sides: that is part of what is compared"
        )
        return [result]


def _columns(compared: Sides) -> tuple[str, ...]:
    a, b = compared.names
    return tuple(column.format(a=a, b=b) for column in COLUMNS)


def _time_for(each: float, wanted: int) -> float:
    return max(AT_LEAST * 2 * each, min(BUDGET_S, wanted * 2 * each))


class _Pair:
    """One request, asked of both routers."""

    def __init__(
        self,
        stands: list[Stand],
        routers: list[Connection],
        prompt: Callable[[int], str],
        stream: bool,
    ) -> None:
        self._stands, self._routers, self._prompt, self._stream = stands, routers, prompt, stream
        self._order = random.Random(7)

    def take(self, i: int) -> tuple[float, float]:
        seconds = [0.0, 0.0]
        order = [0, 1]
        self._order.shuffle(order)
        for side in order:
            extra = {"stream": True, "max_tokens": 16} if self._stream else {}
            seconds[side] = self._of(
                self._routers[side].chat(
                    body(self._prompt(i), self._stands[side].virtual_model, **extra)
                )
            )
        return seconds[0], seconds[1]

    def _of(self, reply: Reply) -> float:
        value = reply.first_content if self._stream else reply.seconds
        if value is None:
            raise Failure("a stream without content")
        return value


def _add(result: Result, name: str, found: Samples[tuple[float, float]]) -> None:
    n = counted(len(found.values), found.failures)
    if not found.values:
        result.add((name, n, *(NOTHING,) * 4, found.first_failure[:60]), failures=found.failures)
        return
    a, b = summarise([a for a, _ in found.values]), summarise([b for _, b in found.values])
    assert a is not None
    assert b is not None
    difference = bootstrap([b - a for a, b in found.values], (0.5,))[0]
    verdict = (
        "A is faster"
        if difference.low > 0
        else "B is faster"
        if difference.high < 0
        else "no difference seen"
    )
    if len(found.values) < AT_LEAST:
        verdict = "too few pairs"
    interval = f"[{ms(difference.low)}, {ms(difference.high)}]"
    result.add(
        (name, n, ms(a.p50), ms(b.p50), ms(difference.value), interval, verdict),
        n=len(found.values), failures=found.failures, a_s=a, b_s=b, difference_p50_s=difference,
    )  # fmt: skip
