"""Ollama's view of the models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airouter.api.ollama_models import check, details, resolved, running, tags
from airouter.domain.errors import BadRequest, NotFound
from airouter.runtime.state import State
from airouter.settings.schema import Settings
from app import create_app

DOWN = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    backends = {
        "primary": {"url": DOWN, "model": "small", "context_window": 8192},
        "big": {"url": DOWN, "model": "org/big:70b", "context_window": 32768, "vision": True},
        "tagged": {"url": DOWN, "model": "llama:latest"},
        "embedding": {"url": DOWN, "model": "vectors"},
    }
    settings = Settings.model_validate(
        {
            "backends": backends,
            "routes": {"primary": {"backends": ["primary", "big"]}, "xai": {"backends": ["big"]}},
            "embeddings": "embedding",
            "cascade": {"tiers": ["rules"]},
            "logging": {"dir": tmp_path_factory.mktemp("logs")},
            "probes": {"enabled": False},
        }
    )
    app = create_app(settings)
    yield app.extensions["airouter"].state
    app.extensions["airouter"].close()


def test_all_models_are_listed_with_a_tag(state: State) -> None:
    models = tags(state)["models"]
    names = [model["name"] for model in models]
    assert names[:2] == ["ai-router:latest", "ai-router/primary:latest"]
    assert names[-4:] == ["small:latest", "org/big:70b", "llama:latest", "vectors:latest"]
    assert len({model["digest"] for model in models}) == len(names)
    for name in names:
        check(resolved(name, state), state)


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("ai-router:latest", "ai-router"),
        ("ai-router/xai:latest", "ai-router/xai"),
        ("ai-router:low", "ai-router:low"),
        ("small:latest", "small"),
        ("llama:latest", "llama:latest"),
        ("org/big:70b", "org/big:70b"),
    ],
)
def test_a_tag_is_taken_off_unless_it_is_part_of_the_name(
    state: State, named: str, meant: str
) -> None:
    assert resolved(named, state) == meant


def test_details_are_what_is_known(state: State) -> None:
    """The largest window of those that may answer, images where they are configured."""
    for name, window, able in (
        ("ai-router", 32768, ["completion", "tools", "vision"]),
        ("small:latest", 8192, ["completion", "tools"]),
        ("llama:latest", None, ["completion", "tools"]),
        ("vectors", None, ["embedding"]),
    ):
        found = details(name, state)
        architecture = found["model_info"]["general.architecture"]
        assert found["model_info"].get(f"{architecture}.context_length") == window
        assert (found["capabilities"], found["details"]["family"]) == (able, "")
    with pytest.raises(NotFound):
        details("gpt-17", state)
    with pytest.raises(BadRequest):
        details(None, state)


def test_a_name_may_say_how_much_to_reason(state: State) -> None:
    known = details("ai-router:low", state)["capabilities"]
    assert known == details("ai-router", state)["capabilities"]
    with pytest.raises(NotFound):
        check("ai-router:loud", state)


def test_what_is_out_of_service_is_not_running(state: State) -> None:
    state.backends["primary"].out = True
    try:
        models = {model["name"]: model for model in running(state)["models"]}
    finally:
        state.backends["primary"].out = False
    assert "small:latest" not in models
    assert models["ai-router:latest"]["context_length"] == 32768
