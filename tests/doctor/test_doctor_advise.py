"""Capabilities beside settings: which findings, of which level, with which lines of YAML."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from airouter.doctor.advise import advise, lines
from airouter.doctor.examine import Report
from airouter.doctor.measure import Measured
from airouter.doctor.probe import CAPABILITIES
from airouter.doctor.subject import Found
from airouter.settings.schema import Settings

WINDOW = Found("yes", "32,768 tokens, says /v1/models", 32768)

OLLAMA = Found("yes", "Ollama", "ollama")
NO_SIGN = Found("unknown", "no sign", "openai")


def report(**changes: Any) -> Report:
    """A vLLM server that can do everything but embeddings."""
    found = {capability.name: Found("yes", "as asked") for capability in CAPABILITIES}
    found |= {
        "models": Found("yes", "m", ["m"]),
        "kind": Found("yes", "its models are vLLM's", "vllm"),
        "window": WINDOW,
        "thinking": Found("no", ""),
        "embeddings": Found("no", "status 404"),
    }
    measured = changes.pop("measured", Measured(1, 100, 50))
    for name, value in changes.items():
        found[name] = value if isinstance(value, Found) else Found(value, "status 400")
    return Report("", found, measured)


def settings(more: dict[str, Any] | None = None, **backend: Any) -> Settings:
    spec = {"kind": "vllm", "url": "http://a.test", "vision": True, **backend}
    return Settings.model_validate(
        {
            "backends": {"one": spec},
            "routes": {"primary": {"backends": ["one"]}},
            **(more or {}),
        }
    )


def told(configured: Settings, found: Report) -> list[tuple[str, Any]]:
    return [
        (finding.level, yaml.safe_load(finding.yaml) if finding.yaml else None)
        for finding in advise(configured, {"one": found})
    ]


def of_one(**values: Any) -> dict[str, Any]:
    return {"backends": {"one": values}}


def test_what_fits_has_no_findings():
    assert told(settings(), report()) == []


def test_what_was_not_asked_has_no_findings():
    assert told(settings(), Report("it has no url")) == []


BACKEND = [  # of a backend's own settings: (its settings, what was found, level, the lines)
    ({"model": "x"}, {"chat": "no"}, "error", of_one(model="m")),
    ({"model": "x"}, {}, "hint", of_one(model="m")),
    ({}, {"chat": "no"}, "error", None),
    ({}, {"chat": "unknown"}, "error", None),
    ({}, {"chat": Found("unknown", "the key is refused", "key")}, "error", None),
    ({}, {"kind": OLLAMA, "health": "no"}, "error", of_one(kind="ollama")),
    ({}, {"kind": NO_SIGN}, "warning", of_one(kind="openai")),
    ({}, {"kind": NO_SIGN, "health": "no"}, "error", of_one(kind="openai")),
    ({"kind": "ollama"}, {"prefill": "no"}, "warning", of_one(kind="vllm")),
    ({"context_window": 99999}, {}, "error", of_one(context_window=32768)),
    ({"context_window": 1024}, {}, "hint", of_one(context_window=32768)),
    ({}, {"window": "unknown"}, "hint", of_one(context_window="TOKENS")),
    ({}, {"window": Found("yes", "8 tokens, says /props", 8)}, "warning", of_one(context_window=8)),
    ({}, {"models": Found("yes", "m, n", ["m", "n"])}, "hint", of_one(model="m")),
    ({"vision": True}, {"vision": "no"}, "error", of_one(vision=False)),
    ({"vision": None}, {"vision": "no"}, "warning", of_one(vision=False)),
    ({"vision": None}, {}, "hint", of_one(vision=True)),
    ({"continues": "prefill"}, {"prefill": "no"}, "error", of_one(continues="auto")),
    (
        {"kind": "openai", "continues": "prefill"},
        {"kind": NO_SIGN, "prefill": "no"},
        "error",
        of_one(continues="none"),
    ),
    ({}, {"continuation": "no"}, "warning", of_one(continues="none")),
    ({"continues": "none"}, {}, "hint", of_one(continues="prefill")),
    ({}, {"tools": "no"}, "warning", None),
    ({}, {"structured_output": "no"}, "warning", None),
    ({}, {"thinking": "yes", "thinking_switch": "no"}, "warning", of_one(reasoning=True)),
    ({}, {"measured": Measured(1, 9000)}, "warning", of_one(first_byte_failover=36)),
    ({}, {"embeddings": "yes"}, "hint", {"embeddings": "one"}),
]


@pytest.mark.parametrize(("spec", "found", "level", "change"), BACKEND)
def test_a_backends_own_settings(spec, found, level, change):
    assert told(settings(**spec), report(**found)) == [(level, change)]


USED = [  # by the rest of the configuration
    ({"embeddings": "one"}, {}, "error", {"embeddings": None}),
    ({"embeddings": "one"}, {"embeddings": "unknown"}, "warning", None),
    (
        {"cascade": {"tiers": ["rules", "one_token"], "one_token": {"backend": "one"}}},
        {"choice": "no"},
        "error",
        {"cascade": {"tiers": ["rules"]}},
    ),
    (
        {
            "cascade": {"tiers": ["rules", "one_token"], "one_token": {"backend": "one"}},
            "backends": {"one": {"kind": "openai", "url": "http://a.test", "vision": True}},
        },
        {"kind": NO_SIGN, "prefill": "no"},
        "error",
        {"cascade": {"tiers": ["rules"]}},
    ),
    ({"enrichment": {"backend": "one"}}, {}, "warning", None),
    (
        {
            "enrichment": {"backend": "one"},
            "backends": {"one": {"kind": "xai", "url": "http://a.test", "vision": True}},
        },
        {"kind": Found("yes", "", "xai"), "responses": "no", "prefill": "no"},
        "error",
        None,
    ),
    (
        {"cascade": {"tiers": ["reasoning"], "reasoning": {"backend": "one", "timeout": 2}}},
        {"measured": Measured(1, 3000)},
        "warning",
        {"cascade": {"reasoning": {"timeout": 6}}},
    ),
]


@pytest.mark.parametrize(("more", "found", "level", "change"), USED)
def test_what_the_configuration_uses_it_for(more, found, level, change):
    assert told(settings(more), report(**found)) == [(level, change)]


def test_a_tier_that_only_a_wrong_kind_keeps_from_its_backend():
    tier = {"cascade": {"tiers": ["one_token"], "one_token": {"backend": "one"}}}
    found = told(settings(tier, kind="openai"), report(prefill="no"))
    assert found == [("error", of_one(kind="vllm")), ("warning", of_one(kind="vllm"))]


def test_a_default_that_a_backend_lacks_is_a_warning():
    configured = Settings.model_validate(
        {
            "backends": {"router": {"kind": "vllm", "url": "http://a.test", "vision": True}},
            "routes": {"primary": {"backends": ["router"]}},
        }
    )
    findings = advise(configured, {"router": report(choice="no")})
    assert [finding.level for finding in findings] == ["warning"]


def test_a_server_of_embeddings_alone_need_not_chat():
    url = {"kind": "vllm", "url": "http://a.test"}
    configured = settings({"embeddings": "two", "backends": {"one": url, "two": url}})
    assert advise(configured, {"two": report(chat="no", embeddings="yes")}) == []
    assert [f.level for f in advise(configured, {"two": report(chat="no")})] == ["error"]


def test_errors_come_first():
    found = report(tools="no", window="unknown", kind=OLLAMA, health="no")
    assert [level for level, _ in told(settings(), found)] == ["error", "warning", "hint"]


def test_lines_are_yaml():
    assert lines("backends.one.model", "a: b") == "backends:\n  one:\n    model: 'a: b'"


@pytest.mark.parametrize(("api", "chosen"), [("messages", "native"), ("responses", "pass")])
def test_an_api_that_it_does_not_have(api: str, chosen: str) -> None:
    wrong = ("error", of_one(**{api: "translate"}))
    assert wrong in told(settings(**{api: chosen}), report(**{api: "no"}))
    assert wrong not in told(settings(**{api: chosen}), report(**{api: "unknown"}))
    assert wrong not in told(settings(), report(**{api: "no"}))
