"""config/examples/onex.yaml and omninode.yaml: a server per task, each from its own variable."""

from __future__ import annotations

import pytest
import yaml
from loading import NOTHING

from airouter.settings.load import ROOT, load_settings
from airouter.settings.schema import Settings

URL = "http://127.0.0.1:9"
VARIABLES = {
    "onex": {
        "LLM_CODER_URL": "coder",
        "LLM_CODER_FAST_URL": "coder_fast",
        "LLM_EMBEDDING_URL": "embedding",
        "LLM_DEEPSEEK_R1_URL": "r1",
        "LLM_SMALL_URL": "small",
    },
    "omninode": {
        "LLM_CODER_URL": "coder",
        "LLM_EMBEDDING_URL": "embedding",
        "LLM_QWEN_72B_URL": "qwen_72b",
        "LLM_VISION_URL": "vision",
        "LLM_QWEN_14B_URL": "qwen_14b",
    },
}
EACH = [(example, name) for example, names in VARIABLES.items() for name in names]
PROFILES = {"onex": "001", "omninode": "000"}


def load(example: str, *variables: str) -> Settings:
    file = ROOT / "config" / "examples" / f"{example}.yaml"
    return load_settings(dict.fromkeys(variables, URL), file=file, secrets_dir=NOTHING)


@pytest.mark.parametrize(("example", "variable"), EACH)
def test_one_variable_is_enough(example: str, variable: str) -> None:
    """The backend of that variable is there, the others are absent."""
    settings, name = load(example, variable), VARIABLES[example][variable]
    assert [one for one in settings.backends if settings.usable(one)] == [name]
    assert settings.serving("primary") == settings.serving("meta") == (name,)
    assert settings.backends[name].url == URL


def test_onex_has_the_windows_and_the_matrix_of_its_reference() -> None:
    settings = load("onex", *VARIABLES["onex"])
    windows = {name: one.context_window for name, one in settings.backends.items()}
    assert windows == {
        "coder": 65536,
        "coder_fast": 40960,
        "r1": 32768,
        "embedding": None,
        "small": None,
    }
    rows = {
        task: [(row.over, row.backends[0]) for row in rows]
        for task, rows in settings.matrix.items()
    }
    assert rows == {
        "code": [(40_000, "coder"), (None, "coder_fast")],
        "reasoning": [(None, "r1")],
        "embedding": [(None, "embedding")],
        "lightweight": [(None, "small")],
        "routing": [(None, "coder_fast")],
        "general": [(None, "coder_fast")],
    }
    without = load("onex", "LLM_CODER_FAST_URL", "LLM_CODER_URL")
    assert [names for _, names in without.task_rows("lightweight")] == [("coder_fast",)]


def test_omninode_has_the_limits_of_its_reference() -> None:
    settings = load("omninode", *VARIABLES["omninode"])
    profile = yaml.safe_load((ROOT / "config" / "slo" / "endpoints-000.yaml").read_text("utf-8"))
    limits = {one["env"]: one["max_concurrency"] for one in profile["endpoints"].values()}
    assert limits == {
        variable: settings.backends[name].slots for variable, name in VARIABLES["omninode"].items()
    }
    (share,) = settings.shares.values()
    assert (share.backends, share.slots, share.exclusive) == (("qwen_72b", "vision"), 2, True)


@pytest.mark.parametrize("example", PROFILES)
def test_service_levels_are_those_of_the_same_variables(example: str) -> None:
    (name,) = load(example, *VARIABLES[example]).slo.profiles
    assert name == PROFILES[example]
    file = ROOT / "config" / "slo" / f"endpoints-{name}.yaml"
    endpoints = yaml.safe_load(file.read_text("utf-8"))["endpoints"]
    assert {one["env"] for one in endpoints.values()} == set(VARIABLES[example])
