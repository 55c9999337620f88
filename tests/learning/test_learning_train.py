"""Training: the split by time, too few examples, the card."""

import pytest
from router_weeks import World
from simulated import Teacher, now_after, week, write_sessions

from airouter.domain.errors import ConfigError
from airouter.learning.collect import collect
from airouter.learning.gate import LEAST
from airouter.learning.train import _in_service, split
from airouter.sessions.files import Files


def test_the_newest_third_is_the_gate(learned_world: World) -> None:
    examples = list(learned_world.store.examples())
    fitting, tuning, newest = split(examples)
    assert [*fitting, *tuning, *newest] == examples
    assert abs(len(newest) - len(examples) / 3) < 1
    assert abs(len(fitting) - len(examples) / 3) < 2
    assert max(one.at for one in fitting) <= min(one.at for one in tuning)
    assert max(one.at for one in tuning) <= min(one.at for one in newest)


def test_the_card_says_what_was_measured(learned_world: World) -> None:
    registry = learned_world.registry
    card = registry.card(str(registry.state().shadow))
    assert card["refused"] == []
    assert card["gate"]["n"] == card["examples"]["gate"]["n"]
    assert card["examples"]["fitting"]["to"] < card["examples"]["gate"]["from"]
    assert card["made_at"].startswith("2026-03-09T08:00:00")
    assert set(card) >= {"name", "sha256", "base", "thresholds"}


def test_with_too_few_examples_it_says_how_many_are_missing(
    base, tmp_path, learned_world: World
) -> None:
    world = World(tmp_path / "few", base)
    write_sessions(tmp_path / "few" / "logs" / "sessions", week(1)[:100], Teacher(), 1)
    collect(Files(tmp_path / "few" / "logs"), world.store, now_after(1), 90, 1000)
    with pytest.raises(ConfigError, match=f"{3 * LEAST - 100} are missing"):
        world.train()
    assert world.registry.names() == []


def test_it_is_compared_with_the_model_in_service(learned_world: World) -> None:
    world = learned_world
    assert _in_service(world.registry, world.base, world.clock) is None
    world.promote()
    tier = _in_service(world.registry, world.base, world.clock)
    assert tier is not None
    assert sum(tier.vote(ask.features).label is not None for ask in week(1)[:300]) > 150
    name = str(world.registry.state().service)
    (world.registry.folder / f"{name}.json").write_bytes(b"{}")
    assert _in_service(world.registry, world.base, world.clock) is None
