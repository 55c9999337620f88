"""A check on what is sent to third parties is one entry in `upstream/egress.py`: every request to a
backend passes it, whoever sends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import asked, steer
from settings_for_tests import CLOUD_MODEL

from airouter.domain.types import HttpRequest
from airouter.settings.schema import Settings
from airouter.upstream import egress
from airouter.upstream.egress import EgressRefused
from app import create_app
from simulator.testing import Simulator

SECRET = b"project-aurora"


class Filter:
    """Withholds a word from third parties, and a prompt that is marked from all of them."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []

    def __call__(self, name: str, spec: Any, request: HttpRequest) -> HttpRequest:
        self.seen.append((name, request.path, request.body))
        if spec.local:
            return request
        if b"confidential" in request.body:
            raise EgressRefused("This prompt is not sent to a third party.")
        body = request.body.replace(SECRET, b"[withheld]")
        return HttpRequest(request.method, request.path, request.headers, body)


@pytest.fixture
def filtered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sim: Simulator
) -> Iterator[tuple[Any, Filter]]:
    check = Filter()
    monkeypatch.setattr(egress, "CHECKS", (check,))
    local = {"kind": "vllm"}
    settings = Settings.model_validate(
        {
            "backends": {
                "router": {"url": sim.url("router"), **local},
                "primary": {"url": sim.url("primary"), **local},
                "xai": {
                    "url": sim.url("xai"),
                    "model": CLOUD_MODEL,
                    "kind": "xai",
                    "local": False,
                    "api_key": "key-of-the-cloud",
                },
            },
            "routes": {
                "primary": {"backends": ["primary"]},
                "xai": {"backends": ["xai", "primary"]},
                "enrich": {"backends": ["primary"]},
            },
            "cascade": {"tiers": ["rules", "reasoning"]},
            "logging": {"dir": tmp_path},
        }
    )
    app = create_app(settings)
    yield app.test_client(), check
    app.extensions["airouter"].close()


def ask(client: Any, label: str, text: str) -> Any:
    prompt = steer(text, router={"label": label})
    answer = client.post(
        "/v1/chat/completions", json={"messages": [{"role": "user", "content": prompt}]}
    )
    assert answer.status_code == 200, answer.text
    return answer


def test_every_request_passes_it(filtered: tuple[Any, Filter]) -> None:
    """Classification, speculation, search, answer, probe and forwarded request."""
    client, check = filtered
    ask(client, "ENRICH", "News?")
    client.get("/health")
    client.get("/primary/v1/models")
    paths = {(name, path) for name, path, _ in check.seen}
    assert {
        ("router", "/v1/chat/completions"),
        ("primary", "/v1/chat/completions"),
        ("xai", "/v1/responses"),
        ("xai", "/v1/models"),
        ("primary", "/health"),
        ("primary", "/v1/models"),
    } <= paths


def test_what_is_withheld_reaches_local_backends_only(
    filtered: tuple[Any, Filter], sim: Simulator
) -> None:
    """What is sent is what the check makes of it."""
    client, _ = filtered
    answer = ask(client, "COMPLEX", f"Prove {SECRET.decode()}.")
    assert answer.headers["X-Router-Backend"] == "xai"
    word = SECRET.decode()
    assert word in str(asked(sim, "router"))
    assert word not in str(asked(sim, "xai"))
    assert "[withheld]" in str(asked(sim, "xai"))


def test_a_refused_prompt_is_answered_by_the_next_backend(filtered: tuple[Any, Filter]) -> None:
    client, _ = filtered
    answer = ask(client, "COMPLEX", "Prove this confidential theorem.")
    assert answer.headers["X-Router-Backend"] == "primary"
    assert answer.headers["X-Router-Attempts"] == "xai: egress_refused, primary: ok"
