"""From the configured names to tiers."""

import pytest
from doubles import LogLines

from airouter.classify.assemble import BUILDERS, build_tiers, prompt_names
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.settings.schema import CascadeSettings, Settings

LOCAL = {
    "backends": {"primary": {"kind": "vllm", "url": "http://127.0.0.1:9"}},
    "routes": {"primary": {"backends": ["primary"]}},
}


def settings(*tiers: str) -> CascadeSettings:
    return CascadeSettings(tiers=tiers)


def test_every_shipped_tier_can_be_built() -> None:
    assert set(CascadeSettings().tiers) == set(BUILDERS)


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
    assert needed("reasoning") - enrichment == {"classifier/system"}
