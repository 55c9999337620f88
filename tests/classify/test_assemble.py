"""From the configured names to tiers."""

from typing import Any

import pytest
from doubles import LogLines
from making import make_backend

from airouter.classify.assemble import BUILDERS, build_tiers, prompt_names
from airouter.classify.tiers.spread import SpreadTier
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.settings.schema import CascadeSettings, Settings

LOCAL: dict[str, Any] = {
    "backends": {"primary": {"kind": "vllm", "url": "http://127.0.0.1:9"}},
    "routes": {"primary": {"backends": ["primary"]}},
}


def settings(*tiers: str) -> CascadeSettings:
    return CascadeSettings(tiers=tiers)


def test_every_shipped_tier_can_be_built() -> None:
    """There is one more, for a decision model, which not everyone has."""
    assert {*CascadeSettings().tiers, "decision_model"} == set(BUILDERS)


def test_a_decision_model_is_asked_at_each_replica() -> None:
    spec = {"kind": "openai", "urls": ["http://127.0.0.1:9", "http://127.0.0.1:10"], "model": "m"}
    chosen = {"tiers": ["decision_model"], "decision_model": {"backend": "decider"}}
    settings = Settings.model_validate(
        {**LOCAL, "backends": {**LOCAL["backends"], "decider": spec}, "cascade": chosen}
    )
    clock = Clock()
    backends = {
        name: make_backend(name, settings.backends[name], clock)
        for name in settings.members(("decider",))
    }
    prompts = {"classifier/one_token": "SIMPLE: greetings"}
    (tier,) = build_tiers(settings.cascade, backends, prompts, LogLines(), clock)
    assert isinstance(tier, SpreadTier)
    assert [one.name for one in tier.tiers] == ["decision_model"] * 2


def test_tiers_are_built_in_the_configured_order() -> None:
    log = LogLines()
    tiers = build_tiers(settings("learned", "rules", "cache"), {}, {}, log, Clock())
    assert [tier.name for tier in tiers] == ["learned", "rules", "cache"]
    assert log.lines == []


def test_a_tier_without_its_backend_is_left_out() -> None:
    """Of the last one, which decides what all others leave open, a warning tells."""
    log = LogLines()
    tiers = build_tiers(settings("rules", "one_token", "reasoning"), {}, {}, log, Clock())
    assert [tier.name for tier in tiers] == ["rules"]
    assert log.levels == ["WARNING"]
    assert "No classifier: backend router is not configured" in log.lines[0]


def test_a_name_that_is_no_tier_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no tier 'oracle'; the tiers are rules, cache"):
        build_tiers(settings("rules", "oracle"), {}, {}, LogLines(), Clock())


def test_only_the_prompts_that_are_used_are_needed() -> None:
    def needed(*tiers: str) -> set[str]:
        return prompt_names(Settings.model_validate({**LOCAL, "cascade": {"tiers": tiers}}))

    enrichment = {"enrich/context", "enrich/query"}
    assert needed("rules") == enrichment
    assert needed("rules", "one_token") - enrichment == {"classifier/one_token"}
    assert needed("rules", "decision_model") - enrichment == {"classifier/one_token"}
    assert needed("reasoning") - enrichment == {"classifier/system"}
