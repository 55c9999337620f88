"""Matching by whole tokens."""

from __future__ import annotations

import time

from airouter.mapper.matching import Match, Matcher, tokens


def partial(maps: dict[str, str], part: str) -> str | None:
    match = Matcher(maps).partial(part)
    assert match is None or match[1:] == (0.8, 0.5)
    return match and match.label


def test_tokens_are_split_at_spaces_and_three_signs() -> None:
    assert tokens("A_b-c/d e\tf\n--g") == ["a", "b", "c", "d", "e", "f", "g"]
    assert tokens("a.b:c,d") == ["a.b:c,d"]


def test_a_whole_value_is_exact_or_differs_in_case() -> None:
    matcher = Matcher({"Hate": "H", "hate speech": "S"})
    assert matcher.known("Hate") == Match("H", 1.0, 0.8)
    assert matcher.known("HATE SPEECH") == Match("S", 1.0, 0.7)
    assert matcher.known("hate_speech") is None


def test_the_longest_run_wins_wherever_it_is() -> None:
    maps = {"toxic": "T", "insult": "I", "severe toxic": "S"}
    assert partial(maps, "an insult, very severe toxic") == "S"


def test_of_equal_runs_the_first_in_the_file_wins() -> None:
    assert partial({"toxic": "T", "insult": "I"}, "insult and toxic") == "T"
    assert partial({"insult": "I", "toxic": "T"}, "insult and toxic") == "I"
    assert partial({"a_b": "1", "a-b": "2"}, "a b") == "1"


def test_a_run_has_no_gaps() -> None:
    assert partial({"severe toxic": "S"}, "severe but toxic") is None


def test_a_part_may_be_within_values_of_one_label() -> None:
    maps = {"card number": "C", "card code": "C", "phone number": "P"}
    assert partial(maps, "card") == "C"
    assert partial(maps, "number") is None
    assert partial({"us number": "N"}, "us") is None  # too short to say anything


def test_a_negation_that_is_left_over_prevents_a_match() -> None:
    maps = {"violent crime": "V", "non-violent crime": "N", "toxic": "T"}
    assert partial(maps, "non violent crime found") == "N"
    assert partial(maps, "non violent") == "N"
    assert partial(maps, "no violent crime") is None
    assert partial({"non-violent crime": "N"}, "violent crime") is None
    assert partial(maps, "toxic not found") is None


def test_prose_is_not_matched() -> None:
    assert partial({"toxic": "T"}, "toxic " + "word " * 31) == "T"
    assert partial({"toxic": "T"}, "toxic " + "word " * 32) is None


def test_the_worst_output_takes_no_second() -> None:
    """64 KB of parts that share all their words with the values."""
    matcher = Matcher({f"id number {n}": str(n % 7) for n in range(100)})
    started = time.perf_counter()
    for n in range(65536 // 20):
        matcher.partial(f"id number id number {n}")
    assert time.perf_counter() - started < 1
