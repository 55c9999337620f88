"""Two configurations of the router side by side: the same request to both in random order, and the
differences within the pairs, which disturbances of the machine affect less than two runs."""

from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from bench.client import Connection
from bench.prompts import ROUTES, body
from bench.result import Pair, Result, Sampler, Samples, counted, ms, spread
from bench.routing import TIERS
from bench.stand import Unavailable, stand
from bench.stats import bootstrap, summarise

PROFILE = "homelab"
SAMPLES, AT_LEAST, BUDGET_S = 20, 5, 40.0
COLUMNS = ("", "pairs", "{a} p50 ms", "{b} p50 ms", "{b} − {a}, p50 ms", "95 % interval", "verdict")


_SWITCHES = {"speculation": "SPECULATION", "index": "INDEX"}  # to their variables


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared: a variable of the router's environment, and its value on either side."""

    what: str
    names: tuple[str, str]
    variable: str
    values: tuple[str, str]


def sides(text: str) -> Sides:
    """From the command line: `speculation=on,off`, `index=on,off`, or `tier=learned,one_token`
    (rules, then that tier alone).

    Raises:
        Unavailable: it is neither.
    """
    what, _, rest = text.partition("=")
    names = tuple(part.strip() for part in rest.split(","))
    if what not in (*_SWITCHES, "tier") or len(names) != 2 or not all(names):
        raise Unavailable(
            "--ab is speculation=on,off or index=on,off or tier=A,B, with two of the cascade's "
            "tiers."
        )
    a, b = names
    if what in _SWITCHES:
        return Sides(what, (a, b), _SWITCHES[what], (a, b))
    return Sides(what, (a, b), "CASCADE_TIERS", (f"rules,{a}", f"rules,{b}"))


def run(compared: Sides, sampler: Sampler, args: Namespace) -> list[Result]:
    """A row per route, and one for the first token of a stream. `--samples`: pairs per row."""
    wanted = args.samples or (2 if args.quick else SAMPLES)
    at_least = min(wanted, AT_LEAST)
    a, b = compared.names
    columns = tuple(column.format(a=a, b=b) for column in COLUMNS)
    result = Result("ab", f"{compared.what}: {a} (A) or {b} (B)", columns)
    rows = [(route.name, route.prompt, False) for route in ROUTES]
    rows.append((f"{ROUTES[0].name}, first token", ROUTES[0].prompt, True))
    with ExitStack() as stack:
        routers = []
        for value in compared.values:
            env = {"CASCADE_TIERS": args.tiers or TIERS, compared.variable: value}
            try:
                where = stack.enter_context(stand(args, PROFILE, env=env))
            except RuntimeError as error:  # the configuration's own sentence about what is wrong
                said = str(error)[-300:].strip()
                raise Unavailable(f"The router does not start with {env}: {said}") from None
            routers.append(stack.enter_context(Connection(where.router)))
        model = where.virtual_model
        for router in routers:
            warm_up = partial(_timed, router, model, lambda i: ROUTES[0].prompt(i + 50), False)
            sampler.collect(warm_up, 2, budget=10, at_least=1, name="warm-up")
        for name, prompt, stream in rows:
            pair = Pair(*(partial(_timed, router, model, prompt, stream) for router in routers))
            found = sampler.collect(
                pair.take, wanted, budget=BUDGET_S, at_least=at_least, name=name
            )
            _add(result, name, found)
    result.notes += [
        "each pair: the same request to both, in random order, one at a time; "
        "interval: bootstrap of the median",
        "a route that depends on the answer may differ between the sides: "
        "that is part of what is compared",
    ]
    return [result]


def _timed(
    router: Connection, model: str, prompt: Callable[[int], str], stream: bool, i: int
) -> float:
    fields = {"stream": True, "max_tokens": 16} if stream else {}
    return router.timed(router.endpoint.chat(body(prompt(i), model, **fields)), stream)


def _add(result: Result, name: str, found: Samples[tuple[float, float]]) -> None:
    if result.failed(name, found):
        return
    a, b = (summarise(values) for values in zip(*found.values, strict=True))
    difference = bootstrap([b - a for a, b in found.values], (0.5,))[0]
    verdict = "A is faster" if difference.low > 0 else "no difference seen"
    verdict = "B is faster" if difference.high < 0 else verdict
    if len(found.values) < AT_LEAST:
        verdict = "too few pairs"
    times = (*spread(a, "p50"), *spread(b, "p50"), ms(difference.value))
    between = f"[{ms(difference.low)}, {ms(difference.high)}]"
    result.add(
        (name, counted(found), *times, between, verdict),
        n=len(found.values), failures=found.failures, a_s=a, b_s=b, difference_p50_s=difference,
    )  # fmt: skip
