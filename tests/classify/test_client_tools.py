"""The names of a client's tools, also from malformed lists."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.classify.client_tools import tools_of

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Of a town."}}


def test_tools_and_functions_are_named() -> None:
    assert len(tools_of({"tools": [WEATHER], "functions": [{"name": "search_web"}]})) == 2
    assert tools_of({"tools": [WEATHER], "tool_choice": "none"}) == ()


@pytest.mark.parametrize("odd", [True, 7, "x", {"name": "x"}, None, [None, 1, "x", []]], ids=repr)
@pytest.mark.parametrize("name", ["tools", "functions"])
def test_what_is_no_list_of_tools_names_none(name: str, odd: Any) -> None:
    """These fields are not validated for embeddings and completions."""
    assert tools_of({name: odd}) == ()
