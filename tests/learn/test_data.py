"""Lines of labelled prompts: what the tools of a line become."""

import json

import pytest

from learn.data import parse_line


def line(**more: object) -> str:
    messages = [{"role": "user", "content": "Will it rain?"}]
    known = {"messages": messages, "label": "ENRICH", "lang": "en", "origin": "a"}
    return json.dumps({**known, **more})


def test_the_features_see_the_tools_by_name_or_definition() -> None:
    definition = {"type": "function", "function": {"name": "bash", "description": "Run it."}}
    prompt = parse_line(line(tools=["web_search", definition]), "a.jsonl:1")
    assert prompt.features.has_tools
    assert prompt.features.tools == ("web search", "bash: run it.")


def test_a_line_without_tools_is_a_request_without_tools() -> None:
    prompt = parse_line(line(), "a.jsonl:1")
    assert not prompt.features.has_tools
    assert prompt.features.tools == ()


@pytest.mark.parametrize("tools", ["web_search", [3], {"name": "bash"}])
def test_tools_that_are_no_list_of_names_or_definitions_are_refused(tools: object) -> None:
    with pytest.raises(ValueError, match="tools is a list"):
        parse_line(line(tools=tools), "a.jsonl:1")
