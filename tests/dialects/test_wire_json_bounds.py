"""How many elements a text of JSON has is known before it is parsed."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import orjson
import pytest

from airouter.dialects import wire_json
from airouter.dialects.openai_request import parse_json
from airouter.dialects.wire_json import _SLICE, too_many
from airouter.domain.errors import TooLarge
from airouter.settings.load import ROOT
from airouter.settings.schema import Server

LIMIT = 2_000_000  # the default of server.max_json_elements


def elements(value: object) -> int:
    """Commas, colons, lists and objects of a value as JSON."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    assert '"' not in text
    return sum(text.count(mark) for mark in ",:[{")


@pytest.mark.parametrize("most", range(9))
def test_elements_are_counted(most: int) -> None:
    """Each comma, colon and beginning counts one, whatever is written inside strings."""
    assert too_many(b'{"a":[1,{},2]}', most) == (most < 6)
    assert too_many(b'{"[{,:":["a,b","\\",:",{},"\\\\"]}', most) == (most < 7)


def test_strings_do_not_count_wherever_a_slice_ends() -> None:
    """Quotes, escapes and backslashes may fall on either side of the border between two slices."""
    for shift in range(12):
        for text in ('",,,,"', '\\",,,,', "\\\\", '\\\\\\",,', "a\\"):
            value = ["x" * (_SLICE - 12 + shift), text * 3, [1, 2]]
            raw = orjson.dumps(value)
            assert (too_many(raw, 4), too_many(raw, 5)) == (True, False), (shift, text)


def test_random_values_are_counted_exactly() -> None:
    """The same number as counting a text without strings."""
    draw = random.Random(1)

    def value(depth: int) -> object:
        if depth == 0:
            return draw.choice([0, 1.5, True, None])
        return [value(depth - 1) for _ in range(draw.randrange(4))]

    for _ in range(200):
        plain = value(4)
        count = elements(plain)
        raw = orjson.dumps([plain, draw.choice(['"', "\\", ',"[', "\\,{:"]) * 50])
        assert too_many(raw, count + 1)
        assert not too_many(raw, count + 2)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "A word, another, and so on: " * 700_000}]},
        {"messages": [{"role": "user", "content": "1,2,3,4,5,6,7,8\n" * 1_500_000}]},
        {"messages": [{"role": "user", "content": 'He said: "[{,:\\' * 1_500_000}]},
        {"messages": [{"role": "user", "content": f"turn {i}, in short"} for i in range(50_000)]},
        {"messages": [], "image": "data:image/png;base64," + "QUJD" * 10_000_000},
        {"input": [[i % 50_000 for i in range(8191)] for _ in range(200)]},
    ],
    ids=["prose", "a table as text", "escapes", "50,000 turns", "an image", "token ids"],
)
def test_real_bodies_are_within_the_limit(body: dict[str, object]) -> None:
    """What clients send, at its largest."""
    assert Server().max_json_elements == LIMIT
    assert parse_json(orjson.dumps(body), "application/json", most_elements=LIMIT) == body


@pytest.mark.parametrize("filler", [b"{},", b"[],", b"0,", b'"",', b'{"":0},', b"[[[]]],", b",,,"])
def test_a_bomb_is_refused(filler: bytes) -> None:
    raw = b'{"a":[' + filler * (12_000_000 // len(filler)) + b"{}]}"
    with pytest.raises(TooLarge) as caught:
        parse_json(raw, "application/json", most_elements=LIMIT)
    assert (caught.value.status, caught.value.code) == (413, "too_many_elements")
    assert "server.max_json_elements" in caught.value.message
    with pytest.raises(orjson.JSONDecodeError):
        wire_json.strict(raw)


def test_the_memory_of_a_parse_is_bounded() -> None:
    """60 MB of small elements: what is accepted at most, and what is refused, stay far below what
    they would take."""
    program = f"""
import resource
from airouter.dialects.wire_json import strict
import orjson
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
for filler in (b'{{}},', b'{{"":0}},', b'"ab",', b'1.5,'):
    raw = b'[' + filler * (60_000_000 // len(filler)) + b'0]'
    try:
        strict(raw, {LIMIT})
        raise SystemExit('parsed')
    except orjson.JSONDecodeError:
        pass
    marks = sum(filler.count(m) for m in (b',', b':', b'[', b'{{'))
    strict(b'[' + filler * ({LIMIT} // marks - 3) + b'0]', {LIMIT})
print(peak() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 500  # MB
