"""The input of a custom tool as it comes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airouter.dialects.openai_responses_custom import Input

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n\t/'))


def read(*pieces: str) -> tuple[list[str], str]:
    """What each piece gives, and all of it."""
    reader = Input()
    said = [*map(reader.feed, pieces), reader.flush()]
    assert "".join(said) == reader.text
    return said, reader.text


@given(TEXTS, st.booleans(), st.booleans(), st.randoms())
@settings(max_examples=200, deadline=None)
def test_however_it_is_cut(text: str, ascii_only: bool, spaced: bool, random: Any) -> None:
    separators = (", ", " : ") if spaced else (",", ":")
    whole = json.dumps({"input": text}, ensure_ascii=ascii_only, separators=separators)
    ends = sorted(random.randrange(len(whole) + 1) for _ in range(random.randrange(9)))
    pieces = [whole[a:b] for a, b in pairwise([0, *ends, len(whole)])]
    assert read(*pieces)[1] == text


def test_it_comes_before_the_end() -> None:
    assert read('{"input": "a', "b\\", 'n"', "}") == (["a", "b", "\n", "", ""], "ab\n")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("ls -l", "ls -l"),
        ('"ls"', "ls"),
        ('{"command": "ls"}', '{"command": "ls"}'),
        ('{"input": 5}', '{"input": 5}'),
        ('{"input": "cut', "cut"),
        ('{"input": "cut\\u00', "cut"),
        ('{"input": "a\nb"}', "a\nb"),
        ('{"input": "a\\ud83d b"}', "a\ufffd b"),
        ('{"other": 1, "input": "a"}', "a"),
        ("", ""),
    ],
)
def test_arguments_that_are_not_as_asked(arguments: str, meant: str) -> None:
    assert read(arguments)[1] == meant
    assert read(*arguments)[1] == meant
