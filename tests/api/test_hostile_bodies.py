"""Hostile bodies: never a server error, always an error that client libraries understand."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from harness import all_free, error_in, eventually
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from settings_for_tests import backend_urls

from bench.router_process import RouterProcess
from simulator.testing import Simulator

BODIES = {
    "/v1/chat/completions": 900,
    "/v1/completions": 450,
    "/v1/embeddings": 450,
    "/api/route": 450,
}
SETTINGS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "print_blob": True,
    "suppress_health_check": list(HealthCheck),
}

# Values that have broken parsers: huge, tiny, deep, long, almost right, of another type.
_DEEP = json.loads("[" * 260 + "]" * 260)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            "",
            " ",
            "\x00",
            "\u202e",
            "ä" * 300,
            "null",
            "NaN",
            "__class__",
            "${jndi}",
            "{{7*7}}",
            "%s%n",
            "🔑",
        ]
    ),
)
_ANY = st.one_of(
    _SCALARS,
    st.recursive(
        _SCALARS,
        lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=8), x, max_size=4),
        max_leaves=8,
    ),
    st.sampled_from([_DEEP, [], {}, [[]], [{}], {"": {}}]),
)
_ROLE = (
    st.sampled_from(["user", "assistant", "system", "developer", "tool", "function", "", "root"])
    | _ANY
)
_PART = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "image_url", "input_audio", "file", "refusal"]) | _ANY,
        "text": st.text(max_size=30) | _ANY,
        "image_url": st.fixed_dictionaries({"url": st.text(max_size=30) | _ANY}) | _ANY,
    },
)
_CONTENT = st.text(max_size=40) | st.lists(_PART | _ANY, max_size=3) | _ANY
_CALL = st.fixed_dictionaries({}, optional={"id": _ANY, "type": _ANY, "function": _ANY})
_MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": _ROLE,
        "content": _CONTENT,
        "tool_calls": st.lists(_CALL, max_size=2) | _ANY,
        "tool_call_id": _ANY,
        "name": _ANY,
    },
)
_GOOD_MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool"]),
        "content": st.text(max_size=30),
    }
)
_NAME = st.sampled_from(
    [
        "ai-router",
        "ai-router/primary",
        "ai-router/xai",
        "ai-router/enrich",
        "primary-model",
        "ai-router/",
    ]
)
_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "model": _NAME | _ANY,
    "stream": st.booleans() | _ANY,
    "stream_options": st.fixed_dictionaries({"include_usage": _ANY}) | _ANY,
    "max_tokens": st.integers(1, 50) | _ANY,
    "max_completion_tokens": st.integers(1, 50) | _ANY,
    "n": st.integers(1, 3) | _ANY,
    "temperature": _ANY,
    "tools": st.lists(_ANY, max_size=2) | _ANY,
    "functions": _ANY,
    "tool_choice": _ANY,
    "metadata": st.dictionaries(st.sampled_from(["task", "user"]), _ANY, max_size=2) | _ANY,
    "logprobs": _ANY,
    "response_format": _ANY,
    "stop": _ANY,
    "user": _ANY,
}
_ALMOST = {
    "/v1/chat/completions": {
        "messages": st.lists(_GOOD_MESSAGE, min_size=1, max_size=4)
        | st.lists(_MESSAGE | _ANY, max_size=4)
        | _ANY
    },
    "/v1/completions": {"prompt": st.text(max_size=40) | _ANY},
    "/v1/embeddings": {
        "input": st.text(max_size=40) | st.lists(st.text(max_size=5), max_size=4) | _ANY,
        "dimensions": _ANY,
        "encoding_format": _ANY,
    },
    "/api/route": {
        "messages": st.lists(_GOOD_MESSAGE, min_size=1, max_size=3)
        | st.lists(_MESSAGE | _ANY, max_size=3)
        | _ANY,
        "route": st.sampled_from(["auto", "primary", "xai", "enrich", "meta", ""]) | _ANY,
        "execute": st.booleans() | _ANY,
    },
}


def raw_bodies(path: str) -> st.SearchStrategy[bytes]:
    """Requests that are almost right, JSON that is not, text that is almost JSON, and bytes."""
    required = dict(list(_ALMOST[path].items())[:1])
    optional = {**dict(list(_ALMOST[path].items())[1:]), **_OPTIONS}
    almost = st.fixed_dictionaries(required, optional=optional).map(_dump)
    damaged = st.tuples(almost, st.integers(0, 200), st.binary(max_size=3)).map(
        lambda x: x[0][: x[1]] + x[2] + x[0][x[1] + 1 :]
    )
    return st.one_of(almost, almost, almost, damaged, _ANY.map(_dump), st.binary(max_size=60))


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


class Connection:
    """One keep-alive connection; made anew where the router closed it."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.sent = 0

    def post(self, path: str, raw: bytes) -> tuple[int, bytes, str]:
        self.sent += 1
        try:
            self._http.request("POST", path, raw, {"Content-Type": "application/json"})
            response = self._http.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
            self._http.close()
            self._http.request("POST", path, raw, {"Content-Type": "application/json"})
            response = self._http.getresponse()
        data = response.read()
        return response.status, data, response.headers.get("Content-Type", "")

    def close(self) -> None:
        self._http.close()


@pytest.fixture(scope="module")
def own_router(
    shared_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RouterProcess]:
    config = {"backends": {"embedding": {"kind": "vllm"}}, "embeddings": "embedding"}
    with RouterProcess(
        tmp_path_factory.mktemp("hostile"), backends=backend_urls(shared_simulator), config=config
    ) as router:
        yield router


@pytest.mark.tools
@pytest.mark.parametrize(("path", "count"), BODIES.items(), ids=BODIES)
def test_no_body_is_an_error_of_the_server(
    own_router: RouterProcess, sim: Simulator, path: str, count: int
) -> None:
    """Whatever is sent, the status is below 500, an error is OpenAI-shaped, and afterwards nothing
    is left in use."""
    connection = Connection(own_router.port)

    @settings(max_examples=count, **SETTINGS)
    @given(raw_bodies(path))
    def send(raw: bytes) -> None:
        status, data, kind = connection.post(path, raw)
        assert status < 500, (status, raw[:300], data[:300])
        if kind.startswith("text/event-stream"):
            assert data.rstrip().endswith(b"data: [DONE]")
            return
        assert kind == "application/json"
        payload = json.loads(data)
        if status >= 400:
            error_in(payload, data.decode()[:500])
        else:
            assert "error" not in payload

    send()
    connection.close()
    assert connection.sent >= count
    all_free(own_router)
    printed = own_router.printed()
    assert "Traceback" not in printed, printed[-3000:]


def test_the_records_say_so_too(own_router: RouterProcess, sim: Simulator) -> None:
    """Among the records of all those requests none blames the router, and it still answers."""
    assert own_router.metric("airouter_requests_total", outcome="router_error") == 0
    answer = own_router.post(
        "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}
    )
    assert answer.status_code == 200
    eventually(lambda: own_router.metric("airouter_in_flight") == 0)
