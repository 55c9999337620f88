"""Bodies that are refused: 400 in OpenAI's shape, naming the field, before any backend is asked."""

from __future__ import annotations

import json

import pytest
import requests
from harness import (
    all_free,
    ask,
    body,
    content,
    error_of,
)

from bench.router_process import RouterProcess
from simulator.testing import Simulator

USER = {"role": "user", "content": "Hello"}
DEEP = "[" * 300 + "]" * 300

REFUSED_BODIES = [
    (b"", "empty_body", None),
    (b"   \n", "empty_body", None),
    (b"{", "invalid_json", None),
    (b'{"messages": [}', "invalid_json", None),
    (b"\xff\xfe{}", "invalid_json", None),
    (b'{"messages": "\xc3\x28"}', "invalid_json", None),
    (b'{"x": "\\ud800"}', "invalid_type", "messages"),
    (b'{"x": NaN}', "invalid_json", None),
    (b"[" * 5000, "invalid_json", None),
    (b"[]", "invalid_request", None),
    (b'"text"', "invalid_request", None),
    (b"null", "invalid_request", None),
    (b"{}", "invalid_type", "messages"),
    (b'{"messages": "Hello"}', "invalid_type", "messages"),
    (b'{"messages": []}', "invalid_type", "messages"),
    (b'{"messages": {"role": "user"}}', "invalid_type", "messages"),
    (b'{"messages": ["Hello"]}', "invalid_type", "messages[0]"),
    (b'{"messages": [{"content": "Hello"}]}', "invalid_type", "messages[0].role"),
    (b'{"messages": [{"role": 5, "content": "Hello"}]}', "invalid_type", "messages[0].role"),
    (b'{"messages": [{"role": "user", "content": 5}]}', "invalid_type", "messages[0].content"),
    (
        b'{"messages": [{"role": "user", "content": {"text": "x"}}]}',
        "invalid_type",
        "messages[0].content",
    ),
    (
        b'{"messages": [{"role": "user", "content": [5]}]}',
        "invalid_type",
        "messages[0].content[0]",
    ),
    (
        b'{"messages": [{"role": "user", "content": [{"type": "text", "text": null}]}]}',
        "invalid_type",
        "messages[0].content[0].text",
    ),
]
REFUSED_FIELDS = [
    ("max_tokens", "many"),
    ("max_tokens", 0),
    ("max_tokens", -5),
    ("max_tokens", 1.5),
    ("max_tokens", True),
    ("max_completion_tokens", "many"),
    ("n", 0),
    ("n", "two"),
    ("n", 129),
    ("stream", "yes"),
    ("stream", []),
    ("stream_options", "usage"),
    ("stream_options", []),
    ("tools", {}),
    ("tools", "weather"),
    ("metadata", "x"),
    ("metadata", ["task"]),
    ("model", 5),
    ("model", ["ai-router"]),
    ("model", "x" * 300),
]


@pytest.mark.parametrize(
    ("raw", "code", "param"), REFUSED_BODIES, ids=lambda value: repr(value)[:40]
)
def test_a_body_that_makes_no_sense_is_400(
    router: RouterProcess, sim: Simulator, raw: bytes, code: str, param: str | None
) -> None:
    """Malformed JSON and misshapen messages are the client's error, named by parameter, and reach
    no backend."""
    answer = requests.post(
        router.url + "/v1/chat/completions",
        data=raw,
        headers={"Content-Type": "application/json"},
        timeout=10,
    )
    error = error_of(answer)
    assert (answer.status_code, error["code"], error["param"], error["type"]) == (
        400,
        code,
        param,
        "invalid_request_error",
    )
    assert sum(sim.stats(role)["started"] for role in ("router", "primary", "xai")) == 0


@pytest.mark.parametrize(("name", "value"), REFUSED_FIELDS, ids=lambda value: repr(value)[:20])
def test_a_field_of_the_wrong_type_is_400(
    router: RouterProcess, sim: Simulator, name: str, value: object
) -> None:
    """A field that the router relies on is checked, and the error names it."""
    answer = ask(router, "Hello", **{name: value})
    assert (answer.status_code, error_of(answer)["param"]) == (400, name)


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/api/route"]
)
@pytest.mark.parametrize("where", ["content", "extra", "tools", "metadata"])
def test_a_body_nested_too_deeply_is_400(
    router: RouterProcess, sim: Simulator, path: str, where: str
) -> None:
    """Nesting that could not be written again for a backend is refused on every endpoint, and
    leaves no slot behind."""
    deep = json.loads(DEEP)
    payload = {
        "messages": [{**USER, "x": deep} if where == "content" else USER],
        "prompt": "x",
        "input": "x",
    }
    payload |= {
        "extra": {"x": deep},
        "tools": {"tools": [deep]},
        "metadata": {"metadata": {"x": deep}},
    }.get(where, {})
    answer = router.post(path, payload)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "nested_too_deeply")
    all_free(router)


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain;x=json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "ä/ö",
    ],
)
def test_another_content_type_is_400(router: RouterProcess, sim: Simulator, kind: str) -> None:
    """Only JSON is taken for JSON."""
    answer = router.post(
        "/v1/chat/completions", body("Hello"), headers={"Content-Type": kind.encode()}
    )
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_content_type")


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"]
)
def test_json_by_any_name_is_taken(router: RouterProcess, sim: Simulator, kind: str) -> None:
    """Content types that say JSON are."""
    assert content(
        router.post("/v1/chat/completions", body("Hello"), headers={"Content-Type": kind})
    )
