"""What the translators of requests share."""

from __future__ import annotations

import pytest

from airouter.dialects.translating import SERVER_FIELDS, note, refuse
from airouter.domain.errors import BadRequest


def test_a_note_is_made_once() -> None:
    notes: list[str] = []
    for text in ("a left out", "b left out", "a left out"):
        note(notes, text)
    assert notes == ["a left out", "b left out"]


def test_a_refusal_names_the_parameter() -> None:
    with pytest.raises(BadRequest, match="tools\\[0\\]: must be an object") as caught:
        refuse("tools[0]", "must be an object")
    assert caught.value.param == "tools[0]"


def test_both_apis_pass_on_what_only_inference_servers_know() -> None:
    from airouter.dialects import messages_request, openai_responses_request

    fields = dict.fromkeys(("top_k", "seed"), 3) | {"min_p": 0.1}
    assert set(fields) <= set(SERVER_FIELDS)
    ask = {"messages": [{"role": "user", "content": "Hi"}], "model": "m", "max_tokens": 9}
    chat = messages_request.chat({**ask, **fields}, [])
    assert {name: chat[name] for name in fields} == fields
    from airouter.dialects.openai_responses_tools import Names

    chat = openai_responses_request.chat({"model": "m", "input": "Hi", **fields}, Names(), [])
    assert {name: chat[name] for name in fields} == fields
