"""What a response repeats of its request has the API's types, whatever the request says."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from openai.types.responses import Response

from airouter.dialects.openai_responses import opening
from airouter.dialects.openai_responses_request import chat
from airouter.dialects.openai_responses_tools import Names
from airouter.domain.errors import BadRequest

Json = dict[str, Any]
ODD = (5, 1.5, True, "x", [], ["x"], {"type": "x"}, [5], [{"type": "x"}])
FUNCTION = {"type": "function", "name": "a", "parameters": {}}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "x"}
CUSTOM = {"type": "custom", "name": "b", "format": GRAMMAR}
SCHEMA = {"type": "json_schema", "schema": {}}
FULL: Json = {
    "model": "m", "input": "Hi", "instructions": "Be.", "max_output_tokens": 5, "metadata": {},
    "max_tool_calls": 5, "parallel_tool_calls": False, "previous_response_id": "resp_1",
    "prompt_cache_key": "k", "safety_identifier": "s", "temperature": 0, "top_p": 1, "user": "u",
    "top_logprobs": 0, "truncation": "auto", "tool_choice": {"type": "function", "name": "a"},
    "reasoning": {"effort": "xhigh", "summary": "auto", "other": 5},
    "text": {"format": SCHEMA, "verbosity": "low"},
    "tools": [
        FUNCTION | {"description": None, "strict": True, "defer_loading": "x"}, CUSTOM,
        {"type": "namespace", "name": "n", "tools": [FUNCTION, {"type": "web_search"}]},
        {"type": "web_search", "filters": 5},
    ],
}  # fmt: skip


def repeated(payload: Json) -> Json:
    """The response to a request, valid by the types of OpenAI's library.

    Raises:
        BadRequest: the request is not valid.
    """
    chat(payload, Names(), [])
    response = opening("1f", 7, payload, "m", store=False)
    Response.model_validate(response, strict=True)
    return response


def test_a_request_is_repeated_as_far_as_backends_get_it() -> None:
    response = repeated(FULL)
    assert response["reasoning"] == {"effort": "xhigh", "summary": "auto"}
    assert response["text"] == {"format": SCHEMA | {"name": "answer"}, "verbosity": "low"}
    function, custom, namespace = response["tools"]
    assert function == FUNCTION | {"description": None, "strict": True}
    assert custom == CUSTOM
    assert namespace["tools"] == [FUNCTION]
    for name in ("temperature", "user", "metadata", "truncation", "tool_choice"):
        assert response[name] == FULL[name]


def test_a_request_that_says_nothing() -> None:
    response = repeated({"model": "m", "input": "Hi"})
    assert (response["tools"], response["tool_choice"]) == ([], "auto")
    assert (response["text"], response["metadata"]) == ({"format": {"type": "text"}}, {})
    assert (response["parallel_tool_calls"], response["truncation"]) == (True, "disabled")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [path, *(found for key in keys for found in places(value[key], (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    if not path:
        return to
    copy: Any = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], to)
    return copy


@pytest.mark.parametrize("path", places(FULL)[1:], ids=lambda path: ".".join(map(str, path)))
def test_a_value_of_another_type_is_refused_or_harmless(path: tuple[Any, ...]) -> None:
    for odd in ODD:
        with suppress(BadRequest):
            repeated(changed(FULL, path, odd))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"top_p": "0.9"}, "top_p"),
        ({"temperature": True}, "temperature"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
        ({"metadata": {"a": 5}}, "metadata"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
        ({"reasoning": {"effort": ["low"]}}, "reasoning.effort"),
        ({"text": {"format": SCHEMA | {"strict": "yes"}}}, "text.format.strict"),
        ({"tools": [FUNCTION | {"description": 5}]}, "tools.0.description"),
        ({"tools": [CUSTOM | {"format": "lark"}]}, "tools.0.format"),
        (
            {"tools": [CUSTOM | {"format": GRAMMAR | {"definition": 5}}]},
            "tools.0.format.definition",
        ),
    ],
)
def test_a_refusal_names_the_place(fields: Json, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        repeated({"model": "m", "input": "Hi"} | fields)
    assert refused.value.param == param
