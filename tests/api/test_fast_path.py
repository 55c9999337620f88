"""POST /v1/chat/completions does not go through Flask, and may be served with or without a thread;
what a client sees must not depend on that."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import REFUSED
from werkzeug.test import EnvironBuilder, run_wsgi_app

from airouter.domain.errors import BadRequest
from airouter.flow.reply import INCOMING
from airouter.settings.schema import Settings
from app import create_app

PATH = "/v1/chat/completions"
KEY = "a-key-of-the-router"
GOOD = {"model": "ai-router/primary", "messages": [{"role": "user", "content": "Hello"}]}
CASES: dict[str, dict[str, Any]] = {
    "no key": {"keyless": True},
    "wrong key": {"headers": {"Authorization": "Bearer wrong"}},
    "not JSON": {"data": b"{"},
    "empty": {"data": b""},
    "another type": {"content_type": "text/plain"},
    "no messages": {"data": b"{}"},
    "unknown route": {"headers": {"X-Router-Route": "moon"}},
    "unknown model": {"data": orjson.dumps({**GOOD, "model": "nobody"})},
    "bad timeout": {"headers": {"X-Router-Timeout": "soon"}},
    "bad priority": {"headers": {"X-Router-Priority": "first"}},
    "backend down": {},
    "backend down, streaming": {"data": orjson.dumps({**GOOD, "stream": True})},
    "shorter than declared": {"content_length": 4000},
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("express")
    settings = Settings.model_validate(
        {
            "server": {"api_key": KEY},
            "backends": {
                "primary": {
                    "url": REFUSED,
                    "model": "m",
                    "breaker_fails": 1_000_000,
                    "cooldown": 0.01,
                    "allowed_fails": 1_000_000,
                }
            },
            "routes": {"primary": {"backends": ["primary"]}},
            "cascade": {"tiers": ["rules"]},
            "queue": {"hold_wait": 0.1},
            "logging": {"dir": folder},
            "probes": {"enabled": False},
        }
    )
    made = create_app(settings)
    yield made
    made.extensions["airouter"].close()


class Arrived:
    """A body that a server has read without a thread, or all of it that will come."""

    def __init__(self, data: bytes, length: int) -> None:
        self.size, self.most, self._data = len(data), 0, data
        self.complete = len(data) == length
        self.problem = None if self.complete else BadRequest("Short.", code="incomplete_body")

    def take(self) -> bytes:
        return self._data


def asked(
    app: Any, case: dict[str, Any], *, loop: bool = False
) -> tuple[str, dict[str, str], bytes]:
    """Status, headers (but the session's id) and body; `loop`: as by a server that knows flows."""
    data = case.get("data", orjson.dumps(GOOD))
    environ = EnvironBuilder(
        path=PATH,
        method="POST",
        headers=case.get("headers", {}),
        input_stream=io.BytesIO(data),
        content_type=case.get("content_type", "application/json"),
    ).get_environ()
    length = case.get("content_length", len(data))
    environ["CONTENT_LENGTH"] = str(length)
    if loop:
        del environ["wsgi.input"]
        environ[INCOMING] = Arrived(data, length)
    if "keyless" not in case:
        environ.setdefault("HTTP_AUTHORIZATION", f"Bearer {KEY}")
    body, status, headers = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    return status, {k: v for k, v in headers.items() if k != "X-Router-Session"}, b"".join(body)


@pytest.mark.parametrize("name", CASES)
def test_the_same_under_any_server(app: Any, name: str) -> None:
    """Status, headers and body do not depend on how the server reads requests."""
    status, headers, body = asked(app, CASES[name])
    assert status[0] in "45"
    assert orjson.loads(body)["error"]["message"]
    if "incomplete" in body.decode():
        assert asked(app, CASES[name], loop=True)[0] == status
    else:
        assert (status, headers, body) == asked(app, CASES[name], loop=True)


def test_a_bug_is_a_500_without_its_text(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("something secret")

    monkeypatch.setattr("airouter.api.inference.parse_request", broken)
    status, _, text = asked(app, {})
    assert status.startswith("500")
    assert b"secret" not in text
    assert orjson.loads(text)["error"]["code"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_are_refused_by_flask(app: Any, method: str) -> None:
    with app.test_client() as client:
        answer = client.open(PATH, method=method, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
