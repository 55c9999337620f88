"""The shapes of load as plain data: phases one after the other, each with its multiple of the rated
load; and what the processes that send need to know."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import orjson

from bench.client import Endpoint

STEPS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
_SETTLE = 0.35  # of a step: until the queue is what this load makes it
_VARIABLE, _KEY = "AI_ROUTER_LOAD", "AI_ROUTER_LOAD_KEY"
PHASES_FILE = "phases.jsonl"  # when each phase began
TEST = "load"


def marked(endpoint: Endpoint, test: str) -> Endpoint:
    """The same, with requests that objectives do not count.

    Args:
        test: the test's name, at most 40 letters, digits and `_.-`.
    """
    marks = [("X-Router-Test", test)]
    if key := os.environ.get("ADMIN_KEY"):  # with which a router elsewhere accepts the mark
        marks.append(("X-Router-Admin-Key", key))
    return replace(endpoint, headers=(*endpoint.headers, *marks))


@dataclass(frozen=True, slots=True)
class Phase:
    """`load` at its end, reached in a line over the whole phase if `ramp`, else at once. Only
    `counted` ones are judged."""

    name: str
    load: float
    seconds: float
    counted: bool = False
    ramp: bool = False


def _held(load: float, seconds: float) -> list[Phase]:
    rising = min(6.0, 0.25 * seconds)
    settling = min(3.0, 0.1 * seconds)
    return [
        Phase("ramp", load, rising, ramp=True),
        Phase("settle", load, settling),
        Phase("hold", load, seconds - rising - settling, True),
    ]


def _steps(seconds: float, steps: tuple[float, ...]) -> list[Phase]:
    each = seconds / len(steps)
    pairs = (
        (Phase("settle", load, _SETTLE * each), Phase("step", load, (1 - _SETTLE) * each, True))
        for load in steps
    )
    return list(chain.from_iterable(pairs))


def _overload(factor: float, seconds: float, level: float = 0.26) -> list[Phase]:
    """At the rated load, far above it, and back: what is compared with what is in one run."""
    return [
        Phase("ramp", 1.0, 0.08 * seconds, ramp=True),
        Phase("settle", 1.0, 0.04 * seconds),
        Phase("hold", 1.0, 0.26 * seconds, True),
        Phase("settle", factor, 0.06 * seconds),
        Phase("level", factor, level * seconds, True),
        Phase("rest", 1.0, 0.14 * seconds),
        Phase("recovery", 1.0, (0.42 - level) * seconds, True),
    ]


# What `--shape` takes: (default seconds, what it is for, its phases in so many seconds).
SHAPES: dict[str, tuple[float, str, Callable[[float], list[Phase]]]] = {
    "standard": (
        80,
        "the rated load, then steps up to the knee: what `make load` runs",
        lambda s: [*_held(1.0, 0.4 * s), *_steps(0.6 * s, STEPS[2:])],
    ),
    "baseline": (30, "a quarter of the rated load", lambda s: _held(0.25, s)),
    "1x": (40, "the rated load: all in its service levels", lambda s: _held(1.0, s)),
    "2x": (60, "twice the rated load: slower, no request is rejected", lambda s: _overload(2.0, s)),
    "5x": (
        60,
        "five times: some are refused, and told when to come back; it recovers by itself",
        lambda s: _overload(5.0, s),
    ),
    "10x": (
        60,
        "ten times the rated load: most are rejected soon, none hangs; recovers by itself",
        lambda s: _overload(10.0, s),
    ),
    "spike": (
        60,
        "the rated load, ten times as much for a few seconds, and back",
        lambda s: _overload(10.0, s, level=0.12),
    ),
    "ramp": (90, "steps up to the knee", lambda s: _steps(s, STEPS)),
    "soak": (3600, "the rated load for long: does anything drift?", lambda s: _held(1.0, s)),
}


def plan(shape: str, seconds: float | None = None) -> list[Phase]:
    """The phases of a shape; `seconds` for all of them together.

    Raises:
        KeyError: there is no such shape.
    """
    usual, _, phases = SHAPES[shape]
    return phases(seconds or usual)


def load_at(phases: list[Phase], elapsed: float) -> tuple[int, float] | None:
    """Which phase it is and the load it wants; None: all are over."""
    before = 0.0
    for i, phase in enumerate(phases):
        if elapsed < phase.seconds:
            share = elapsed / phase.seconds if phase.ramp else 1.0
            return i, before + (phase.load - before) * share
        elapsed -= phase.seconds
        before = phase.load
    return None


@dataclass(frozen=True, slots=True)
class Setup:
    """What the processes that send need to know; it reaches them through their environment.

    `users`: how many of them are the rated load (1×); `period`: seconds from one turn of a user to
    its next; `test`: the name that its requests carry in `X-Router-Test`.
    Without `phases` the web interface says how many there are."""

    url: str
    folder: Path
    virtual_model: str = "ai-router"
    embedding_model: str | None = None
    users: float = 20.0
    period: float = 6.0
    phases: tuple[Phase, ...] = ()
    test: str = TEST

    def environ(self, api_key: str | None) -> dict[str, str]:
        """The variables that carry it; the key is in one of its own, and in no command line."""
        found = {_VARIABLE: orjson.dumps(asdict(self), default=str).decode()}
        return found | ({_KEY: api_key} if api_key else {})

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> "Setup":
        """As `environ` wrote it; started by hand, with the usual local address."""
        by_hand = '{"url": "http://127.0.0.1:8002", "folder": "logs/load/by-hand"}'
        row = orjson.loads(environ.get(_VARIABLE) or by_hand)
        phases = tuple(Phase(**phase) for phase in row.pop("phases", ()))
        return cls(**{**row, "folder": Path(row["folder"])}, phases=phases)

    def endpoint(self, environ: Mapping[str, str] = os.environ) -> Endpoint:
        found = Endpoint.of(self.url, environ.get(_KEY) or environ.get("API_KEY") or None)
        return marked(found, self.test)
