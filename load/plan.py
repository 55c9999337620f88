"""The shapes of load as plain data: phases one after the other, each with its multiple of the rated load."""

from dataclasses import dataclass

# What `--shape` takes: (default seconds, what it is for).
SHAPES: dict[str, tuple[float, str]] = {
    "standard": (80, "the rated load, then steps up to the knee: what `make load` runs"),
    "baseline": (30, "a quarter of the rated load"),
    "1x": (40, "the rated load: all in its service levels"),
    "2x": (60, "twice the rated load: slower, nobody is refused"),
    "5x": (60, "five times: some are refused, and told when to come back; it recovers by itself"),
    "10x": (60, "ten times: most are refused soon, nobody hangs; it recovers by itself"),
    "spike": (60, "the rated load, ten times as much for a few seconds, and back"),
    "ramp": (90, "steps up to the knee"),
    "soak": (3600, "the rated load for long: does anything drift?"),
}
STEPS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
_SETTLE = 0.35  # of a step: until the queue is what this load makes it


@dataclass(frozen=True, slots=True)
class Phase:
    """`load` at its end, reached in a line over the whole phase if `ramp`, else at once. Only `counted` ones are judged."""

    name: str
    load: float
    seconds: float
    counted: bool = False
    ramp: bool = False


def plan(shape: str, seconds: float | None = None) -> list[Phase]:
    """The phases of a shape; `seconds` for all of them together.

    Raises:
        KeyError: there is no such shape.
    """
    whole = seconds or SHAPES[shape][0]
    if shape == "standard":
        held = 0.4 * whole
        return [*_held(1.0, held, "hold"), *_steps(whole - held, STEPS[2:])]
    if shape == "baseline":
        return _held(0.25, whole, "hold")
    if shape in ("1x", "soak"):
        return _held(1.0, whole, "hold")
    if shape == "ramp":
        return _steps(whole, STEPS)
    if shape == "spike":
        return _overload(10.0, whole, level=0.12)
    if shape in SHAPES:
        return _overload(float(shape.removesuffix("x")), whole)
    raise KeyError(shape)


def _held(load: float, seconds: float, name: str) -> list[Phase]:
    rising = min(6.0, 0.25 * seconds)
    settling = min(3.0, 0.1 * seconds)
    return [
        Phase("ramp", load, rising, ramp=True),
        Phase("settle", load, settling),
        Phase(name, load, seconds - rising - settling, True),
    ]


def _steps(seconds: float, steps: tuple[float, ...]) -> list[Phase]:
    each = seconds / len(steps)
    found = []
    for load in steps:
        found += [
            Phase("settle", load, _SETTLE * each),
            Phase("step", load, (1 - _SETTLE) * each, True),
        ]
    return found


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
