"""Requests in Ollama's format, and what a backend is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airouter.dialects import ollama_request
from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import BadRequest

HI = [{"role": "user", "content": "Hi"}]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}}


def test_a_plain_chat_is_a_stream_with_usage() -> None:
    asked = ollama_request.chat({"model": "m", "messages": HI, "keep_alive": "5m"})
    usage = {"include_usage": True}
    assert asked == {"model": "m", "messages": HI, "stream": True, "stream_options": usage}
    whole = ollama_request.chat({"model": "m", "messages": HI, "stream": False, "tools": []})
    assert whole == {"model": "m", "messages": HI, "stream": False}
    assert parse_request("chat", asked).wants_usage


def test_options_become_parameters() -> None:
    """Those about how a model is run are left out, and so is a limit that is none."""
    options = {
        "temperature": 0, "top_k": 5, "seed": 0, "stop": ["x"], "repeat_penalty": 1.1,
        "num_predict": 7, "num_ctx": 4096, "top_p": None, "mirostat": 1,
    }  # fmt: skip
    asked = ollama_request.chat({"messages": HI, "stream": False, "options": options})
    sampling = {"temperature": 0, "top_k": 5, "seed": 0, "stop": ["x"], "repetition_penalty": 1.1}
    expected = {"model": None, "messages": HI, "stream": False, "max_tokens": 7, **sampling}
    assert asked == expected
    unlimited = ollama_request.chat({"messages": HI, "options": {"num_predict": -2, "stop": []}})
    assert not {"max_tokens", "stop"} & set(unlimited)


@pytest.mark.parametrize(
    ("field", "value", "meant"),
    [
        ("format", "json", {"response_format": {"type": "json_object"}}),
        ("format", {"type": "object"}, {"response_format": {
            "type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}
        }}),
        ("think", False, {"think": False}),
        ("think", "low", {"think": "low"}),
        ("think", True, {"think": True}),
        ("format", "", {}),
        ("tools", [{"function": {"name": "f"}}],
         {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("logprobs", True, {"logprobs": True}),
    ],
)  # fmt: skip
def test_fields_of_a_chat(field: str, value: Any, meant: dict[str, Any]) -> None:
    plain = ollama_request.chat({"messages": HI})
    assert ollama_request.chat({"messages": HI, field: value}) == {**plain, **meant}


def test_images_become_parts_of_the_content() -> None:
    """With the type that their first bytes say; a question may be images alone."""
    given = [
        {"role": "user", "content": "What?", "images": ["/9j/4AAQ", "iVBORw0K"]},
        {"role": "user", "content": "", "images": ["data:image/gif;base64,R0lGOD"]},
    ]
    first, second = ollama_request.chat({"messages": given})["messages"]
    urls = [part["image_url"]["url"] for part in first["content"][1:]]
    assert first["content"][0] == {"type": "text", "text": "What?"}
    assert urls == ["data:image/jpeg;base64,/9j/4AAQ", "data:image/png;base64,iVBORw0K"]
    assert [part["image_url"]["url"] for part in second["content"]] == given[1]["images"]
    assert given[0]["images"] == ["/9j/4AAQ", "iVBORw0K"]


def test_results_of_tools_find_their_calls() -> None:
    """By id, else by name, else in order; the same again when the conversation goes on."""
    turn = {"role": "assistant", "content": "", "thinking": "Two.", "tool_calls": [
        call("a", x=1), call("b"), call("a"), {"id": "own", **call("b")},
    ]}  # fmt: skip
    results = [
        {"role": "tool", "content": "1", "tool_name": "b"},
        {"role": "tool", "content": "2", "tool_call_id": "own"},
        {"role": "tool", "content": "3"},
        {"role": "tool", "content": "4", "tool_name": "a"},
        {"role": "tool", "content": "5", "tool_name": "a"},
    ]
    said = ollama_request.chat({"messages": [*HI, turn, *results]})["messages"]
    calls = said[1]["tool_calls"]
    assert [c["id"] for c in calls] == ["call_1_0", "call_1_1", "call_1_2", "own"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"x": 1}
    ids = [message["tool_call_id"] for message in said[2:]]
    assert ids == ["call_1_1", "own", "call_1_0", "call_1_2", "call_6"]
    assert said[1]["reasoning_content"] == "Two."
    later = ollama_request.chat({"messages": [*HI, turn, *results, *HI]})["messages"]
    assert later[1]["tool_calls"] == calls
    assert "reasoning_content" not in later[1]


def test_generating() -> None:
    """A question with its system text; with `raw` or `suffix` a text without a limit."""
    payload = {"model": "m", "prompt": "Once", "system": "Be brief.", "images": ["iVBOR"]}
    asked = ollama_request.generate({**payload, "context": [], "template": ""})
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    assert asked["messages"][1]["content"][0] == {"type": "text", "text": "Once"}
    chats = {"logprobs": True, "think": False}
    raw = ollama_request.raw({"prompt": "a", "suffix": "b", "stream": False, **chats})
    plain = {"model": None, "prompt": "a", "suffix": "b", "stream": False, "max_tokens": -1}
    assert raw == plain


def test_embedding() -> None:
    given = {"model": "m", "input": ["a", "b"], "truncate": True, "dimensions": 8}
    fixed = {"model": "m", "encoding_format": "float"}
    assert ollama_request.embed(given) == {**fixed, "input": ["a", "b"], "dimensions": 8}
    assert ollama_request.embeddings({"model": "m", "prompt": "a"}) == {**fixed, "input": "a"}


@pytest.mark.parametrize(
    ("parse", "payload", "param"),
    [
        ("chat", {"messages": "Hi"}, "messages"),
        ("chat", {"messages": ["Hi"]}, "messages[0]"),
        ("chat", {"messages": [{"role": "user", "images": "x"}]}, "messages[0].images"),
        ("chat", {"messages": [{"role": "assistant", "tool_calls": [1]}]},
         "messages[0].tool_calls[0]"),
        ("chat", {"messages": HI, "stream": "no"}, "stream"),
        ("chat", {"messages": HI, "options": []}, "options"),
        ("chat", {"messages": HI, "options": {"num_predict": "7"}}, "options.num_predict"),
        ("chat", {"messages": HI, "format": "xml"}, "format"),
        ("chat", {"messages": HI, "think": 3}, "think"),
        ("chat", {"messages": HI, "tools": {"f": 1}}, "tools"),
        ("generate", {"prompt": ["Hi"]}, "prompt"),
        ("generate", {"prompt": "Hi", "context": [1]}, "context"),
        ("generate", {"prompt": "Hi", "template": "{{ .Prompt }}"}, "template"),
        ("raw", {"prompt": "Hi", "images": ["x"]}, "images"),
        ("embed", {"input": [1]}, "input"),
        ("embeddings", {"prompt": 1}, "prompt"),
    ],
)  # fmt: skip
def test_what_is_refused(parse: str, payload: dict[str, Any], param: str) -> None:
    """With a sentence that names the parameter."""
    with pytest.raises(BadRequest) as refused:
        getattr(ollama_request, parse)(payload)
    assert refused.value.param == param
    assert f"'{param}'" in refused.value.message
