"""Three weeks with a classifier that errs in 5 % and drifts after the first: the gate refuses the
bad model; shadow, promotion and roll-back work; no request is decided by an ungated model."""

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from router_weeks import World
from simulated import Ask, Teacher, week

from airouter.domain.errors import ConfigError


def decided(world: World, number: int = 3) -> list[tuple[str, str]]:
    """(true label, label) of what the tuned tier decides in a week."""
    tier = world.tier()
    votes = ((ask.label, tier.vote(ask.features)) for ask in week(number))
    return [(label, vote.label) for label, vote in votes if vote.label is not None]


def test_three_weeks(learned_world: World) -> None:
    world = learned_world
    first = world.registry.state().shadow
    gate = world.registry.card(str(first))["gate"]
    assert gate["agreement"] >= 0.97
    assert gate["harmful"] <= 0.01
    assert gate["covered"] >= 300
    assert decided(world) == [], "in shadow it decides nothing"

    assert world.promote() == first
    found = decided(world)
    assert len(found) >= 0.4 * len(week(3))
    wrong = [1 for true, said in found if {true, said} not in ({true}, {"SIMPLE", "MODERATE"})]
    assert len(wrong) <= 0.03 * len(found)

    # The classifier drifts: what is learned from both kinds of labels disagrees with the newest.
    world.live(2, Teacher(drifted=True))
    second = world.train()
    assert second.refused
    assert world.registry.state().shadow is None
    assert world.registry.state().service == first
    with pytest.raises(ConfigError, match="has not passed the gate"):
        world.promote(second.name)
    assert decided(world) == found, "the refused one changes nothing"

    assert world.registry.rollback() is None
    assert decided(world) == []


def test_a_model_of_labels_that_have_changed_is_refused(base: Path, tmp_path: Path) -> None:
    """The classifier drifts when two thirds of the week are over: the newest labels disagree."""

    class Changing(Teacher):
        asked = 0

        def label(self, ask: Ask) -> str:
            self.asked += 1
            self._drifted = self.asked > len(week(1)) * 2 // 3
            return super().label(ask)

    world = World(tmp_path, base)
    world.live(1, Changing())
    trained = world.train()
    assert trained.figures.covered >= 300
    assert [reason for reason in trained.refused if "agrees with the classifier in" in reason]
    assert world.registry.state().gated == {}
    assert decided(world) == []


def test_a_classifier_that_errs_evenly_is_refused(base: Path, tmp_path: Path) -> None:
    """No model can agree in 97 % with labels of which 5 % are wrong everywhere."""
    world = World(tmp_path, base)
    world.live(1, Teacher(even=True))
    trained = world.train()
    assert trained.refused
    assert world.registry.state().shadow is None
    assert decided(world) == []


@pytest.mark.parametrize("what", ["model", "card", "gone", "ungated", "other base"])
def test_nothing_is_decided_by_a_model_other_than_gated(learned_world: World, what: str) -> None:
    """Neither before nor after a promotion."""
    world, registry = learned_world, learned_world.registry
    name = world.promote()
    assert decided(world)
    file = registry.folder / f"{name}.json"
    if what == "model":
        file.write_bytes(file.read_bytes().replace(b'"temperature":', b'"temperature": '))
    elif what == "card":
        card = registry.folder / f"{name}.card.json"
        card.write_bytes(card.read_bytes() + b"\n")
    elif what == "gone":
        file.unlink()
    elif what == "ungated":
        state = orjson.loads((registry.folder / "state.json").read_bytes())
        (registry.folder / "state.json").write_bytes(orjson.dumps(state | {"gated": {}}))
    else:
        tier = world.tier()
        tier._digest, tier._stamp = "0" * 64, None
        tier.refresh()
        assert all(tier.vote(ask.features).label is None for ask in week(3)[:200])
        return
    assert decided(world) == []
    assert any("is not used" in line for line in world.log.lines)
    registry.rollback()
    with pytest.raises(ConfigError):
        world.promote(name)
    assert registry.state().service is None


def test_a_refused_model_that_is_named_by_hand_is_not_used(learned_world: World) -> None:
    """As the model in service, or as the one to promote."""
    world, registry = learned_world, learned_world.registry
    good = str(registry.state().shadow)
    card = registry.card(good) | {"refused": ["it is bad"]}
    head = registry.open(good)
    bad = registry.new_name("2026-03-09")
    registry.add(replace(head, name=bad), card)
    assert registry.state().shadow == good
    with pytest.raises(ConfigError, match="has not passed the gate"):
        world.promote(bad)
    state = orjson.loads((registry.folder / "state.json").read_bytes())
    (registry.folder / "state.json").write_bytes(orjson.dumps(state | {"service": bad}))
    assert decided(world) == []


def test_a_rollback_restores_the_one_before(learned_world: World) -> None:
    world = learned_world
    first = world.promote()
    world.live(2, Teacher())
    second = world.train()
    assert second.refused == [], second
    assert world.promote() == second.name
    assert world.registry.rollback() == first
    tier = world.tier()
    assert tier.service is not None
    assert tier.service[0] == first
