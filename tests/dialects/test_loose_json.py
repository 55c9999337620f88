"""JSON as models write it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airouter.dialects.loose_json import Loose, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 'it's', 'b': True, 'c': None,}", {"a": "it's", "b": True, "c": None}),
        ('{"a": "x\ny", "b": [1, 2.5,],}', {"a": "x\ny", "b": [1, 2.5]}),
        ("{a: false, b_c: -1}", {"a": False, "b_c": -1}),
        ('{"a": "C:\\dir\\u00e9 \\"q\\" \\d",}', {"a": 'C:\\diré "q" \\d'}),
        ("{\"a\": \"\\uzz\", 'b': '\\n'}", {"a": "\\uzz", "b": "\n"}),
        ("[{'a': 1},, {'b': 2}]", [{"a": 1}, {"b": 2}]),
    ],
)
def test_what_is_not_quite_json(text: str, value: Any) -> None:
    assert read(text) == Loose(value, len(text))
    assert read(f"so: {text} and on", 4) == Loose(value, 4 + len(text))


@pytest.mark.parametrize(
    ("text", "value", "cut"),
    [
        ('{"a": {"b": "c"', {"a": {"b": "c"}}, False),
        ('{"a": 1,', {"a": 1}, True),
        ("[1, ", [1], True),
        ('{"a": {"b": "c', {"a": {"b": "c"}}, True),
        ('{"a": [1, 2', {"a": [1, 2]}, True),
        ('{"a": [1, "x"', {"a": [1, "x"]}, False),
        ('{"a"', {"a": None}, True),
        ('{"a": ', {"a": None}, True),
        ('{"a": tr', {"a": None}, True),
        ('{"a": "x\\', {"a": "x"}, True),
        ("{ab", {}, True),
        ("{", {}, True),
        ('{"a": [ ', {"a": []}, True),
        ('{"a": []', {"a": []}, False),
    ],
)
def test_what_ends_early(text: str, value: Any, cut: bool) -> None:
    assert read(text) == Loose(value, len(text), False, cut)


@pytest.mark.parametrize("behind", ["</tool_call>", "```", " <x"])
def test_a_mark_closes_what_is_open(behind: str) -> None:
    found = read(f'{{"a": {{"b": "</c>"}}{behind}')
    assert found is not None
    assert (found.value, found.closed, found.cut) == ({"a": {"b": "</c>"}}, False, False)


@pytest.mark.parametrize(
    "text",
    ["", "x", '"a"', '{"a" 1}', '{"a": 1 "b": 2}', '{"a": word}', '{"a": "x" y}', "{(}", "[" * 999],
)
def test_what_is_none(text: str) -> None:
    assert read(text) is None


@given(VALUES)
def test_json_is_read_as_json(value: Any) -> None:
    text = orjson.dumps([value]).decode()
    assert read(text) == Loose([value], len(text))


@given(st.text(alphabet="{}[]\"'\\:,<`ab1 \nut", max_size=60))
def test_anything_is_read_or_not(text: str) -> None:
    for first in "{[":
        found = read(first + text)
        assert found is None or 0 < found.end <= len(text) + 1
