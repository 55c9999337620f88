"""What a backend's error says, whatever its shape, and that "too long" is told by one code."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airouter.dialects.openai_errors import context_exceeded, openai_shaped
from airouter.domain.errors import UpstreamStatus
from airouter.domain.redaction import protect


def shaped(body: bytes | str | dict[str, Any] | list[Any], status: int = 400) -> dict[str, Any]:
    raw = (
        body
        if isinstance(body, bytes)
        else body.encode()
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
    error = UpstreamStatus("The backend answered.", upstream_status=status, body=raw, headers={})
    inner = openai_shaped(error)["error"]
    assert isinstance(inner, dict)
    assert {"message", "type", "param", "code"} <= set(inner)
    assert isinstance(inner["message"], str)
    assert inner["message"]
    assert isinstance(inner["type"], str)
    return inner


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "bad", "type": "t", "param": "p", "code": "c"}}, "bad"),
        ({"error": "model 'x' not found"}, "model 'x' not found"),
        ({"code": "Client error", "error": "no such model"}, "no such model"),
        ({"object": "error", "message": "too large", "code": 400}, "too large"),
        ({"detail": "Unsupported media"}, "Unsupported media"),
        ({"detail": {"reason": "asleep"}}, "asleep"),
        (
            {"detail": [{"loc": ["body", "n"], "msg": "no integer"}, {"msg": "and more"}]},
            "body.n: no integer; and more",
        ),
        ({"errors": [], "message": {"text": "deep"}}, "deep"),
        ({"error": {"message": json.dumps({"error": {"message": "inner"}})}}, "inner"),
        ({"error": {"message": "{not JSON"}}, "{not JSON"),
        ({"error": {"error": {"message": "twice"}}}, "twice"),
        ({"error": ["first", "second"]}, "first; second"),
        ([{"error": {"code": 400, "message": "listed", "status": "INVALID"}}], "listed"),
        ("the request was bad", "the request was bad"),
        ("\n  two\n lines ", "two lines"),
        (b"caf\xe9 not found", "caf\ufffd not found"),
        (
            "<html><head><title>400</title></head><body><h1>Bad  Request</h1>\n"
            "<hr>nginx</body></html>",
            "Bad Request nginx",
        ),
        (rb'{"error": {"message": "half \ud83d"}}', "half \ufffd"),
        ("", "The backend answered."),
        ("null", "The backend answered."),
        ([1], "The backend answered."),
        ({}, "The backend answered."),
        ({"error": {}}, "The backend answered."),
        ({"error": {"message": None, "type": ["x"], "param": 7}}, "The backend answered."),
    ],
)
def test_the_reason_is_kept(body: Any, message: str) -> None:
    assert shaped(body)["message"] == message


def test_a_reason_is_bounded() -> None:
    assert len(shaped("x" * 100_000)["message"]) == 2000
    deep: Any = "end"
    for _ in range(100):
        deep = {"error": deep}
    assert shaped(deep)["message"] == "The backend answered."


@pytest.mark.parametrize("code", [400, "400", "bad_thing", None, 4.5, {"a": 1}, True])
def test_a_code_keeps_its_type(code: Any) -> None:
    found = shaped({"error": {"message": "bad", "code": code}})["code"]
    assert found == code
    assert type(found) is type(code)


def test_what_else_a_backend_says_is_kept() -> None:
    error = shaped({"error": {"message": "bad", "status": "INVALID", "n_ctx": 4096}}, 503)
    assert (error["status"], error["n_ctx"], error["type"]) == ("INVALID", 4096, "upstream_error")


TOO_LONG = [
    {"error": {"message": "x", "code": "context_length_exceeded"}},
    {"error": {"message": "This model's maximum context length is 2048 tokens.", "code": 400}},
    {"error": {"message": "The decoder prompt (length 9) is longer than the maximum model "
                          "length of 8."}},
    {"message": "The input (9 tokens) is longer than the model's context length (8 tokens)."},
    {"error": {"code": 400, "type": "exceed_context_size_error", "message": "x", "n_ctx": 4096}},
    {"error": {"message": "the request exceeds the available context size. try increasing it"}},
    {"error": "This model's maximum prompt length is 131072 but the request contains 537812 "
              "tokens."},
    {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}},
    {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", "error_type": "v"},
    {"error": "Trying to keep the first 9 tokens when context the overflows. However, the model is"
              " loaded with context length of only 8 tokens, which is not enough."},
    {"error": {"message": "The input token count (9) exceeds the maximum number of tokens "
                          "allowed (8)."}},
    {"error": {"message": "Your input exceeds the context window of this model."}},
    {"error": {"message": "Please reduce the length of the messages or completion."}},
    {"error": {"message": "the input length exceeds the context length"}},
    {"error": {"message": "Prompt length 9000 is greater than max_seq_len 8192"}},
]  # fmt: skip


@pytest.mark.parametrize("body", TOO_LONG, ids=lambda body: json.dumps(body)[:60])
@pytest.mark.parametrize("status", [400, 422])
def test_too_long_has_one_code(body: dict[str, Any], status: int) -> None:
    assert shaped(body, status)["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "temperature must be at most 2", "code": 400}}),
        (400, {"error": {"message": "The image is too large", "code": "image_too_large"}}),
        (429, TOO_LONG[0]),
        (404, {"error": {"message": "The model does not exist", "code": 404}}),
        (400, {"detail": "Field required", "input": "x" * 3000 + " context length "}),
    ],
)
def test_other_refusals_keep_their_code(status: int, body: dict[str, Any]) -> None:
    assert not context_exceeded(status, json.dumps(body).encode())


def test_numbers_that_cannot_be_written_do_no_harm() -> None:
    body = b'{"error": {"message": "bad", "n": NaN, "big": ' + b"9" * 30 + b"}}"
    assert "bad" in shaped(body)["message"]


def test_the_routers_key_is_masked_wherever_it_is_quoted() -> None:
    protect(["sk-very-secret-123"])
    for body in (
        {"error": {"message": "bad key sk-very-secret-123"}},
        {"error": json.dumps({"message": "bad key sk-very-secret-123"})},
        "bad key sk-very-secret-123",
        "x" * 1995 + " sk-very-secret-123",
    ):
        assert "sk-v" not in json.dumps(shaped(body))


def _page(body: str) -> str:
    error = UpstreamStatus("No reason.", upstream_status=502, body=body.encode(), headers={})
    return str(openai_shaped(error)["error"]["message"])  # type: ignore[index]


def test_a_page_says_what_is_visible_of_it() -> None:
    assert _page("<head><title>x</title></head><h1>502<!-- a > b --> Bad</h1>") == "502 Bad"
    assert _page("unexpected <script in line 1: expected <head> first") == (
        "unexpected <script in line 1: expected first"
    )


@pytest.mark.parametrize("part", ["<!--", "<script>", "<head><style>", "</head", "<", "<style></"])
def test_a_page_of_beginnings_without_ends_costs_little(part: str) -> None:
    started = time.monotonic()
    for _ in range(5):
        _page(part * 20_000)
    assert time.monotonic() - started < 5  # it took as many seconds for one
