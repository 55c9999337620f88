"""Tools of the Responses API as functions, and back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airouter.dialects.openai_responses_tools import Called, Names, choose, functions
from airouter.domain.errors import BadRequest

Json = dict[str, Any]
PLAIN: Json = {"type": "function", "name": "a", "description": "d", "strict": True,
               "parameters": {"type": "object"}}  # fmt: skip
CUSTOM: Json = {"type": "custom", "name": "run", "description": "Runs."}
SPACE: Json = {"type": "namespace", "name": "n", "description": "Of n.", "tools": [PLAIN, CUSTOM]}
HOSTED: Json = {"type": "web_search"}


def translated(*tools: Any) -> tuple[list[Json], Names, list[str]]:
    names, notes = Names(), []
    made = functions([*tools], names, notes)
    assert {tool["type"] for tool in made} <= {"function"}
    return [tool["function"] for tool in made], names, notes


def test_a_function() -> None:
    made, names, notes = translated(PLAIN, {"type": "function", "name": "b", "parameters": None})
    assert made == [
        {"name": "a", "description": "d", "strict": True, "parameters": {"type": "object"}},
        {"name": "b", "parameters": {"type": "object", "properties": {}}},
    ]
    assert (names.of("a"), notes) == (Called("a"), [])
    assert names.of("unheard") == Called("unheard")


def test_a_custom_tool_has_a_single_text() -> None:
    """Its grammar is told in words."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
    made, names, _ = translated({**CUSTOM, "format": grammar})
    assert list(made[0]["parameters"]["properties"]) == ["input"]
    assert made[0]["description"] == (
        "Runs.\n\nThe input must match this Lark grammar:\nstart: X"
    )  # fmt: skip
    assert names.of("run") == Called("run", None, True)


def test_a_namespace() -> None:
    """What is said of it stands at its first tool."""
    made, names, _ = translated(SPACE, PLAIN)
    assert [tool["name"] for tool in made] == ["n__a", "n__run", "a"]
    assert [tool["description"] for tool in made] == ["n: Of n.\n\nd", "Runs.", "d"]
    assert names.of("n__run") == Called("run", "n", True)
    assert names.flat("n", "a") == "n__a"


def test_what_is_left_out_is_noted() -> None:
    nested = {**SPACE, "tools": [{"type": "tool_search"}]}
    made, _, notes = translated(HOSTED, PLAIN, PLAIN, nested, {"type": "mcp", "server_label": "x"})
    assert len(made) == 1
    assert notes == [
        "tool web_search left out", "second tool a left out", "tool tool_search left out",
        "tool mcp left out",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tool", "where"),
    [
        (5, "tools.0"),
        ({"name": "a"}, "tools.0"),
        ({"type": "function"}, "tools.0.name"),
        ({**PLAIN, "parameters": 5}, "tools.0.parameters"),
        ({**SPACE, "name": None}, "tools.0.name"),
        ({**SPACE, "tools": None}, "tools.0.tools"),
        ({**SPACE, "tools": [5]}, "tools.0.tools.0"),
        ({**SPACE, "tools": [{"type": "custom"}]}, "tools.0.tools.0.name"),
    ],
)
def test_what_is_refused(tool: Any, where: str) -> None:
    with pytest.raises(BadRequest) as refused:
        translated(tool)
    assert refused.value.param == where


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=90)
SPACES = st.sampled_from(["a", "a__b", "mcp__files", "n" * 70, "ü"]) | st.none()
NAMES = st.sampled_from(["b", "b__c", "c", "x" * 64, "y" * 65, "é", "a.b"]) | TEXTS


@given(st.lists(st.tuples(SPACES, NAMES, st.booleans()), max_size=9))
@settings(max_examples=100, deadline=None)
def test_names_lead_back(tools: list[tuple[str | None, str, bool]]) -> None:
    """Each is short, plain, like no other, and the same each time."""
    known = {(space, name): Called(name, space, custom) for space, name, custom in tools}
    names, again = Names(), Names()
    flat = [names.add(called) for called in known.values()]
    assert flat == [again.add(called) for called in known.values()]
    assert len(set(flat)) == len(known)
    for one, called in zip(flat, known.values(), strict=True):
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", one)
        assert names.of(one) == called
        assert names.flat(called.namespace, called.name) == one


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "a"}, "a"),
        ({"type": "custom", "name": "run"}, "n__run"),
        ({"type": "function", "name": "a", "namespace": "n"}, "n__a"),
    ],
)
def test_choices(choice: Any, expected: Any) -> None:
    """By the tool's own name, where it is the only one of that name."""
    names, notes = Names(), []
    tools = functions([PLAIN, SPACE], names, notes)
    kept, chosen = choose(choice, tools, names, notes)
    if isinstance(choice, dict):
        chosen = chosen["function"]["name"]
    assert (kept, chosen, notes) == (tools, expected, [])


def test_the_allowed_ones() -> None:
    names, notes = Names(), []
    tools = functions([PLAIN, CUSTOM], names, notes)
    allowed: Json = {"type": "allowed_tools", "mode": "required",
                     "tools": [{"type": "custom", "name": "run"}, HOSTED]}  # fmt: skip
    assert choose(allowed, tools, names, notes) == (tools[1:], "required")
    assert notes == ["1 tools that are not allowed left out"]
    assert choose({**allowed, "mode": "auto", "tools": []}, tools, names, notes) == ([], None)


@pytest.mark.parametrize(
    "choice",
    [
        "any", 5, {"type": "web_search_preview"}, {"type": "mcp", "server_label": "x"},
        {"type": "function", "name": "lost"}, {"type": "function"},
        {"type": "allowed_tools", "mode": "auto"}, {"type": "allowed_tools", "tools": []},
        {"type": "allowed_tools", "mode": "required", "tools": [HOSTED]},
    ],
)  # fmt: skip
def test_choices_that_are_refused(choice: Any) -> None:
    names: Names = Names()
    tools = functions([PLAIN], names, [])
    with pytest.raises(BadRequest, match="tool_choice"):
        choose(choice, tools, names, [])


def test_a_choice_without_tools() -> None:
    assert choose("auto", [], Names(), []) == ([], None)
    with pytest.raises(BadRequest, match="demands a tool"):
        choose("required", [], Names(), [])
