"""What clients send beside the documented types: read where it has one plain meaning, else
refused with its name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airouter.dialects.openai_request import parse_json, parse_request, text_of
from airouter.domain.errors import BadRequest

USER = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("field", "given", "meant", "note"),
    [
        ("max_tokens", "512", 512, "max_tokens='512' read as 512"),
        ("max_tokens", " 512.0 ", 512, "max_tokens=' 512.0 ' read as 512"),
        ("max_tokens", 512.0, 512, None),
        ("max_tokens", -1, -1, None),
        ("max_tokens", "-1", -1, "max_tokens='-1' read as -1"),
        ("max_tokens", -2, -1, "max_tokens=-2 read as -1"),
        ("max_completion_tokens", -1.0, -1, None),
        ("n", "2", 2, "n='2' read as 2"),
        ("n", 1.0, 1, None),
        ("stream", "true", True, "stream='true' read as true"),
        ("stream", "False", False, "stream='False' read as false"),
        ("stream", 1, True, None),
        ("stream", 0.0, False, None),
    ],
)
def test_one_plain_meaning(field: str, given: Any, meant: Any, note: str | None) -> None:
    payload = {"messages": [USER], field: given}
    request = parse_request("chat", payload)
    assert request.payload[field] == meant
    assert type(request.payload[field]) is type(meant)
    assert request.adjusted == ((note,) if note else ())
    assert payload == {"messages": [USER], field: given}
    if field == "stream":
        assert request.stream is meant


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("max_tokens", "many"),
        ("max_tokens", ""),
        ("max_tokens", 1.5),
        ("max_tokens", "1.5"),
        ("max_tokens", True),
        ("max_tokens", 0),
        ("max_tokens", -3),
        ("max_tokens", 1e300),
        ("max_tokens", "nan"),
        ("max_tokens", "inf"),
        ("max_tokens", [1]),
        ("max_completion_tokens", "1e400"),
        ("n", "many"),
        ("n", "0"),
        ("n", 129.0),
        ("n", True),
        ("stream", "maybe"),
        ("stream", 2),
        ("stream", []),
    ],
)
def test_no_plain_meaning(field: str, given: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request("chat", {"messages": [USER], field: given})
    assert caught.value.param == field


def test_an_echo_writes_nothing() -> None:
    request = parse_request("completions", {"prompt": "Once", "max_tokens": 0, "echo": True})
    assert request.payload["max_tokens"] == 0


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (["hi", "there"], [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}]),
        ({"type": "text", "text": "hi"}, [{"type": "text", "text": "hi"}]),
        ([{"text": "hi"}], [{"type": "text", "text": "hi"}]),
        (
            [{"image_url": "https://x/y.png"}, "what?"],
            [
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "text", "text": "what?"},
            ],
        ),
    ],
)
def test_parts_of_a_content_get_their_documented_form(content: Any, sent: list[Any]) -> None:
    other = {"role": "assistant", "content": [{"type": "text", "text": "ok"}]}
    payload = {"messages": [other, {"role": "user", "content": content}]}
    request = parse_request("chat", payload)
    assert request.messages[1]["content"] == sent
    assert request.messages[0] is other
    assert len(request.adjusted) == 1
    assert payload["messages"][1]["content"] is content


@pytest.mark.parametrize("content", [5, True, [5], [None], [[]], [{"type": 1}], [{}], {}])
def test_other_contents_are_refused(content: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request("chat", {"messages": [{"role": "user", "content": content}]})
    assert str(caught.value.param).startswith("messages[0].content")


def test_documented_payloads_are_not_copied() -> None:
    payload = {
        "messages": [USER, {"role": "user", "content": [{"type": "text", "text": "x"}]}],
        "max_tokens": 5,
        "stream": True,
        "n": 1,
    }
    request = parse_request("chat", payload)
    assert request.payload is payload
    assert request.messages is payload["messages"]
    assert request.adjusted == ()


def test_text_parts_of_the_responses_api_are_text() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]
    assert text_of({"role": "user", "content": parts}) == "a\nb"


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: text.encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
    ],
)
def test_encodings_of_json(encoded: Any) -> None:
    adjusted: list[str] = []
    assert parse_json(encoded('{"a": "Grüß 😀"}'), "", adjusted) == {"a": "Grüß 😀"}
    assert adjusted == []


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"earlier \ud83d"', "earlier \ufffd"),
        (rb'"\ude00 later"', "\ufffd later"),
        (rb'"\uD83D\uD83D\uDE00"', "\ufffd😀"),
        (b'"half \xed\xa0\xbd"', "half \ufffd"),
        (rb'"\ud83d\n\"quoted\""', '\ufffd\n"quoted"'),
    ],
)
def test_half_a_character_is_replaced_and_said(raw: bytes, text: str) -> None:
    """It can be written again, for a backend and for a session file."""
    adjusted: list[str] = []
    payload = parse_json(
        b'{"k": [' + raw + b', 1e2, 18446744073709551616, {"n": 3}]}', "", adjusted
    )
    assert payload["k"][0] == text
    assert payload["k"][1:] == [100.0, 18446744073709551616.0, {"n": 3}]
    assert orjson.loads(orjson.dumps(payload)) == payload
    assert len(adjusted) == 1


def test_half_a_character_in_a_name() -> None:
    assert parse_json(rb'{"\ud83d": 1}', "") == {"\ufffd": 1}


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"a": "\ud83d", "b": NaN}',
        rb'{"a": "\ud83d", "b": 1e999}',
        rb'{"a": "\ud83d"',
        rb'{"a": "\ud83d", "n": ' + b"9" * 5000 + b"}",
        rb'{"a": "\ud83d", "b": ' + b"[" * 100_000,
        rb'{"a": "\ud83d", "b": ' + b"[" * 900 + b"]" * 900 + b"}",
        b"\xff\xfe{",
        b"\xef\xbb\xbf",
        '{"a": "Grüß"}'.encode("latin-1"),
    ],
)
def test_what_is_not_json_stays_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_json(raw, "")
    assert caught.value.code in ("invalid_json", "nested_too_deeply")


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_refused(raw: bytes) -> None:
    for body in (raw, rb'{"a": "\ud83d' + raw, b'\xef\xbb\xbf{"a": ' + raw + b"}"):
        try:
            payload = parse_json(body, "")
        except BadRequest:
            continue
        orjson.dumps(payload)
