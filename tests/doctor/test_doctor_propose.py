"""The configuration that is proposed for a server: valid, minimal, and with what it can do."""

from __future__ import annotations

import pytest
import yaml

from airouter.doctor.propose import is_local, propose
from airouter.doctor.subject import Found
from airouter.settings.schema import Settings
from tests.doctor.test_doctor_advise import report

URL = "http://127.0.0.1:8000"


def proposed(*, local=True, **found):
    text = propose(URL, report(**found), local=local)
    data = yaml.safe_load(text)
    Settings.model_validate(data)
    return data


def test_a_local_server_serves_the_default_route():
    data = proposed()
    assert data["backends"] == {
        "primary": {"kind": "vllm", "url": URL, "local": True, "model": "m", "vision": True}
    }
    assert data["routes"] == {"primary": {"backends": ["primary"]}}
    assert "embeddings" not in data


def test_what_it_can_do_is_set():
    data = proposed(
        kind=Found("yes", "Ollama", "ollama"),
        window=Found("yes", "8,192 tokens, says /api/ps", 8192),
        vision="no",
        embeddings="yes",
        thinking="yes",
        thinking_switch="no",
    )
    assert data["backends"]["primary"] == {
        "kind": "ollama", "url": URL, "local": True, "model": "m", "context_window": 8192,
        "vision": False, "reasoning": True, "continues": "prefill",
    }  # fmt: skip
    assert data["embeddings"] == "primary"


def test_a_vllm_server_that_does_not_continue():
    assert proposed(continuation="no")["backends"]["primary"]["continues"] == "none"


def test_a_cloud_is_called_as_its_key_wants_it():
    found = report(kind=Found("yes", "xAI", "xai"))
    text = propose("https://api.x.ai", found, local=False, ca_file=None)
    assert text.startswith("# Environment: XAI_API_KEY")
    data = yaml.safe_load(text)
    data["backends"]["xai"]["api_key"] = "k"
    settings = Settings.model_validate(data)
    assert settings.serving("primary") == settings.serving("xai") == ("xai",)
    assert settings.enrichment.backend == "xai"
    assert not settings.backends["xai"].local


def test_without_chat_there_is_nothing_to_propose():
    assert propose(URL, report(chat="no"), local=True) == ""


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("http://192.168.1.20", True),
        ("http://gpu:8000", True),
        ("http://gpu.lan", True),
        ("https://8.8.8.8", False),
        ("https://name.invalid", False),
    ],
)
def test_where_a_server_is(url, local):
    assert is_local(url) is local
