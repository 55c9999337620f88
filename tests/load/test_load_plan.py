"""The shapes of load: what is counted, how long it lasts, which load is wanted when."""

from itertools import pairwise
from pathlib import Path

import pytest

from load.__main__ import parser
from load.plan import SHAPES, Phase, Setup, load_at, plan


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seconds", [6.0, 60.0, None])
def test_a_shape_lasts_as_long_as_asked_and_counts_something(
    shape: str, seconds: float | None
) -> None:
    phases = plan(shape, seconds)
    assert sum(phase.seconds for phase in phases) == pytest.approx(seconds or SHAPES[shape][0])
    assert any(phase.counted for phase in phases)
    assert not any(phase.counted and phase.ramp for phase in phases)


def test_what_rises_and_settles_is_not_counted() -> None:
    for shape in SHAPES:
        phases = plan(shape)
        assert not phases[0].counted
        for before, after in pairwise(phases):
            assert after.load == before.load or not after.counted, shape


def test_an_overload_is_between_calm_and_recovery() -> None:
    counted = [(phase.name, phase.load) for phase in plan("10x") if phase.counted]
    assert counted == [("hold", 1.0), ("level", 10.0), ("recovery", 1.0)]


def test_the_load_rises_in_a_line_and_then_stays() -> None:
    phases = [Phase("ramp", 2.0, 4, ramp=True), Phase("hold", 2.0, 6, True)]
    assert load_at(phases, 0) == (0, 0.0)
    assert load_at(phases, 1) == (0, 0.5)
    assert load_at(phases, 4) == (1, 2.0)
    assert load_at(phases, 9.9) == (1, 2.0)
    assert load_at(phases, 10) is None


def test_an_unknown_shape() -> None:
    with pytest.raises(KeyError):
        plan("zigzag")


@pytest.mark.parametrize(
    ("words", "name"), [((), "load"), (("--test", "storm-1"), "storm-1")], ids=["default", "named"]
)
def test_requests_carry_the_name_of_the_test(words: tuple[str, ...], name: str) -> None:
    setup = Setup("http://127.0.0.1:1", Path("x"), test=parser().parse_args(words).test)
    endpoint = Setup.from_environ(setup.environ(None)).endpoint({})
    for body in (None, {"model": "ai-router"}):
        assert f"\r\nX-Router-Test: {name}\r\n".encode() in endpoint.wire("/v1/models", body)


def test_a_setup_made_by_hand_marks_requests_too() -> None:
    assert b"\r\nX-Router-Test: load\r\n" in Setup.from_environ({}).endpoint({}).wire("/", None)


@pytest.mark.parametrize("name", ["", "a b", "x" * 41])
def test_a_name_that_the_router_would_ignore_is_refused(name: str) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--test", name])
