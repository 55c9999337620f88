"""Where in an answer's text calls are looked for."""

from __future__ import annotations

import time

import pytest

from airouter.dialects.call_watch import Prose, Watch
from airouter.dialects.text_calls import WrittenCall, tools_of
from tests.dialects.written_calls import CALL, TOOLS

KNOWN = tools_of({"tools": TOOLS})
PARIS = [WrittenCall("get_weather", {"city": "Paris"})]


def watch(*pieces: str, bare: bool = True) -> Watch:
    made = Watch(KNOWN, bare=bare)
    for piece in pieces:
        if not made.passes(piece):
            made.feed(piece)
    return made


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("", False),
        ("Text. ", False),
        ("`code` then ", False),
        ("`code ", True),
        ("```\nx\n", True),
        ("```\nx\n```\n", False),
        ("~~~\nx\n```\n", True),
        ("````\n```\n", True),
        ("- ```\n  x\n  ```\n", False),
        ("```json", True),
        ("> said ", True),
        ('He wrote "', True),
        ("x=", True),
        ("    ", True),
        ("<think>well ", True),
        ("<think>well\nyes\n", True),
        ("<think>well\n</think>\n", False),
        ("a <think>b</think> c", False),
    ],
)
def test_what_is_code_a_quotation_or_a_thought(text: str, quotes: bool) -> None:
    for cut in range(len(text) + 1):
        prose = Prose()
        prose.feed(text[:cut])
        prose.feed(text[cut:])
        assert prose.quotes is quotes


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("", True),
        (" \n\n", True),
        ("<think>a</think>\n", True),
        ("<think>a", False),
        ("a\n", False),
        ("```\n", False),
    ],
)
def test_where_an_answer_begins(text: str, begins: bool) -> None:
    prose = Prose()
    prose.feed(text)
    assert prose.begins is begins


def test_text_and_marks() -> None:
    assert not watch("Just text, ", "a < b and c[0].").holds
    held = watch("Well. ", "So: <tool", "_call>")
    assert (held.text, held.mark) == ("So: <tool_call>", 4)
    held.feed(CALL)
    assert held.end(whole=True) == PARIS
    assert not watch("<tool", "kit>").holds


def test_the_next_mark_is_looked_for_behind_one_that_is_none() -> None:
    made = watch("Use <tool_call> like this: <tool_call>", CALL)
    assert made.text[made.mark :] == f"<tool_call>{CALL}"
    made.drop(4)
    assert made.text.startswith("<tool_call> like")
    assert made.end(whole=False) == PARIS
    assert watch("<tool_call> is", " one", " token").end(whole=False) == []


def test_bare_json_is_looked_for_at_the_beginning_only() -> None:
    assert watch(CALL).end(whole=True) == PARIS
    assert watch(" \n", CALL).end(whole=True) == PARIS
    assert watch("Hm", "<think>").end(whole=True) == []
    assert not watch("So: ", CALL).holds
    assert not watch(CALL, bare=False).holds


def test_within_code_nothing_is_held() -> None:
    made = watch("```xml\n")
    for piece in ("<tool_call>", CALL, "[", "<", "</tool_call>\n"):
        assert made.passes(piece)
        assert not made.holds
    made.passes("```\n")
    assert not made.passes("<tool_call>")


def test_a_long_call_is_not_read_again_and_again() -> None:
    """100,000 pieces of arguments full of brackets: less than a second of work."""
    made = watch('<tool_call>{"name": "write_file", "arguments": {"path": "a", "content": "')
    began = time.process_time()
    for _ in range(100_000):
        made.feed("{x[0]}</b> ")
    made.feed('"}}</tool_call>')
    (call,) = made.end(whole=True)
    assert len(call.arguments["content"]) == 1_100_000
    assert time.process_time() - began < 5  # the machine may be slow; quadratic takes minutes
