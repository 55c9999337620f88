"""The tier of the tuned model: abstains unless one is in service, and follows the registry."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from doubles import LogLines
from tuned_models import BASE, add

from airouter.classify.assemble import build_tiers
from airouter.classify.tiers.tuned import TunedTier
from airouter.domain.clock import Clock
from airouter.settings.cascade import TunedTierSettings
from airouter.settings.schema import CascadeSettings
from tests.classify.make import features

HAIKU = features("Write a haiku about rain on a tin roof")


def settings(folder: Path, *, enabled: bool = True) -> CascadeSettings:
    return CascadeSettings(
        tiers=("learned", "tuned"), tuned=TunedTierSettings(enabled=enabled, dir=folder)
    )


def built(folder: Path, log: LogLines | None = None) -> TunedTier:
    tier = build_tiers(settings(folder), {}, {}, log or LogLines(), Clock())[1]
    assert isinstance(tier, TunedTier)
    return tier


def test_it_is_left_out_unless_enabled(tmp_path: Path) -> None:
    tiers = build_tiers(settings(tmp_path, enabled=False), {}, {}, LogLines(), Clock())
    assert [tier.name for tier in tiers] == ["learned"]


def test_without_a_model_in_service_it_abstains(tmp_path: Path) -> None:
    tier = built(tmp_path)
    assert tier.vote(HAIKU).label is None
    add(tmp_path)
    tier.refresh()
    assert tier.shadow is not None
    verdict = tier.vote(HAIKU)
    assert (verdict.label, verdict.guess, verdict.p_primary) == (None, None, None)
    assert verdict.reason == "no tuned model is in service"


def test_it_follows_the_registry(tmp_path: Path) -> None:
    log = LogLines()
    tier, registry = built(tmp_path, log), add(tmp_path)
    name = registry.promote(None, BASE)
    assert tier.vote(HAIKU).label is None, "not before the refresh"
    tier.refresh()
    verdict = tier.vote(HAIKU)
    assert (verdict.tier, verdict.label) == ("tuned", "COMPLEX")
    assert verdict.reason == f"model {name}"
    assert f"Tuned models: service={name} shadow=none" in log.lines
    written = len(log.lines)
    tier.refresh()
    assert len(log.lines) == written
    registry.rollback()
    tier.refresh()
    assert tier.vote(HAIKU).label is None


def test_the_learned_tiers_doubts_are_its_own(tmp_path: Path) -> None:
    add(tmp_path).promote(None, BASE)
    tier = built(tmp_path)
    followed = features("weather in Oslo", ("assistant", "Rain."), "and tomorrow?")
    assert tier.vote(followed).label is None
    assert tier.vote(features("word " * 2000)).label is None


def test_a_guess_is_no_fallback(tmp_path: Path) -> None:
    """Below its threshold the gate has not measured it."""
    add(tmp_path, threshold=1.01).promote(None, BASE)
    verdict = built(tmp_path).vote(HAIKU)
    assert (verdict.label, verdict.guess) == (None, None)
    assert verdict.p is not None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"base": "c" * 64}, "belongs to another learned model"),
        ({"out": np.zeros((3, 4), np.float32)}, "belongs to another learned model"),
    ],
)
def test_one_of_another_base_is_not_used(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    registry = add(tmp_path)
    head = registry.open("2026-03-09-1")
    registry.add(replace(head, name="2026-03-09-2", **change), {"refused": []})  # type: ignore
    registry.promote("2026-03-09-2", str(change.get("base", BASE)))
    log = LogLines()
    assert built(tmp_path, log).service is None
    assert why in log.lines[0]


def test_a_damaged_state_uses_none(tmp_path: Path) -> None:
    add(tmp_path).promote(None, BASE)
    tier = built(tmp_path)
    assert tier.service is not None
    (tmp_path / "state.json").write_bytes(b"{")
    tier.refresh()
    assert tier.vote(HAIKU).label is None
