"""Which tuned model is used: only one that passed the gate, as it was then."""

import json
from pathlib import Path

import numpy as np
import pytest

from airouter.classify.tuned.head import Head
from airouter.classify.tuned.registry import Registry, State
from airouter.domain.errors import ConfigError
from airouter.domain.labels import CLASSES

BASE = "b" * 64


def add(registry: Registry, *refused: str, day: str = "2026-03-09", base: str = BASE) -> str:
    name = registry.new_name(day)
    zeros = np.zeros((2, 4), np.float32)
    head = Head(name, base, zeros, zeros[0], 1.0, dict.fromkeys(CLASSES, 0.9))
    registry.add(head, {"refused": list(refused)})
    return name


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "tuned")


def test_one_that_passed_is_in_shadow_and_is_promoted(registry: Registry) -> None:
    assert registry.state() == State()
    assert registry.stamp() == (0, 0)
    first = add(registry)
    assert first == "2026-03-09-1"
    assert registry.state().shadow == first
    stamp = registry.stamp()
    assert registry.promote(None, BASE) == first
    assert registry.stamp() != stamp
    assert (registry.state().service, registry.state().shadow) == (first, None)
    assert registry.open(first).name == first
    with pytest.raises(ConfigError, match="in service already"):
        registry.promote(first, BASE)
    with pytest.raises(ConfigError, match="no tuned model is in shadow"):
        registry.promote(None, BASE)


def test_one_that_was_refused_is_nowhere(registry: Registry) -> None:
    name = add(registry, "it is bad")
    assert registry.state() == State()
    assert registry.card(name)["refused"] == ["it is bad"]
    with pytest.raises(ConfigError, match="has not passed the gate"):
        registry.open(name)
    with pytest.raises(ConfigError, match="has not passed the gate"):
        registry.promote(name, BASE)


@pytest.mark.parametrize("name", ["../../etc/passwd", "state", "", "2026-03-09-1/../x"])
def test_a_name_is_no_path(registry: Registry, name: str) -> None:
    add(registry)
    path = registry.folder / "state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"gated": {name: ["", ""]}}))
    with pytest.raises(ConfigError, match="is not the name of a tuned model"):
        registry.open(name)


@pytest.mark.parametrize("ending", ["json", "card.json"])
def test_a_changed_file_is_refused(registry: Registry, ending: str) -> None:
    name = add(registry)
    path = registry.folder / f"{name}.{ending}"
    path.write_bytes(path.read_bytes() + b" ")
    for use in (registry.open, lambda one: registry.promote(one, BASE)):
        with pytest.raises(ConfigError, match="changed after the gate"):
            use(name)
    path.unlink()
    with pytest.raises(ConfigError, match="is gone"):
        registry.promote(name, BASE)
    assert registry.state().service is None


def test_one_for_another_learned_model_is_not_promoted(registry: Registry) -> None:
    add(registry, base="c" * 64)
    with pytest.raises(ConfigError, match="belongs to another learned model"):
        registry.promote(None, BASE)


def test_rollback(registry: Registry) -> None:
    """To the one before; to none if there was none, or if it was changed."""
    with pytest.raises(ConfigError, match="no tuned model is in service"):
        registry.rollback()
    first = add(registry)
    registry.promote(None, BASE)
    add(registry)
    registry.promote(None, BASE)
    assert registry.rollback() == first
    assert registry.rollback() is None
    registry.promote(first, BASE)
    second = add(registry)
    registry.promote(None, BASE)
    (registry.folder / f"{first}.json").write_bytes(b"{}")
    assert registry.state().service == second
    assert registry.rollback() is None


def test_drift_puts_it_back_into_shadow_for_good(registry: Registry) -> None:
    name = add(registry)
    assert not registry.drift(name), "it is not in service"
    registry.promote(None, BASE)
    assert registry.drift(name)
    assert (registry.state().service, registry.state().shadow) == (None, name)
    with pytest.raises(ConfigError, match="train a new one"):
        registry.promote(None, BASE)


def test_old_models_are_deleted_but_not_one_in_use(registry: Registry) -> None:
    first = add(registry)
    registry.promote(None, BASE)
    names = [add(registry) for _ in range(12)]
    assert registry.names() == [first, *names[-6:]], "by number: 10 after 9"
    assert set(registry.state().gated) == set(registry.names())
    registry.open(first)


def test_a_damaged_state_is_a_sentence(registry: Registry) -> None:
    add(registry)
    for damage in (b"{", b"[]", b'{"what": 1}'):
        (registry.folder / "state.json").write_bytes(damage)
        with pytest.raises(ConfigError, match="cannot be read"):
            registry.state()


def test_what_is_written_is_private(registry: Registry) -> None:
    add(registry)
    assert registry.folder.stat().st_mode & 0o777 == 0o700
    for path in registry.folder.glob("*.json"):
        assert path.stat().st_mode & 0o777 == 0o600
