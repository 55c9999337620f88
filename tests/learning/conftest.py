"""A learned model that decides nothing, and a folder in which the first week has been learned."""

import shutil
from pathlib import Path

import pytest
from router_weeks import World
from simulated import START, Teacher, now_after, undecided

from airouter.classify.learned.text_model import load_model, save_model
from airouter.settings.load import ROOT


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model."""
    folder = tmp_path_factory.mktemp("base")
    save_model(undecided(load_model(ROOT / "data" / "model")), folder)
    return folder


@pytest.fixture(scope="session")
def _first_week(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    world = World(tmp_path_factory.mktemp("world"), base)
    world.live(1, Teacher())
    trained = world.train()
    assert trained.refused == [], trained
    return world.folder


@pytest.fixture
def learned_world(_first_week: Path, base: Path, tmp_path: Path) -> World:
    """After the first week: one model passed the gate and is in shadow."""
    shutil.copytree(_first_week / "tuned", tmp_path / "tuned")
    world = World(tmp_path, base)
    world.clock.elapsed = now_after(1) - START.timestamp()
    return world
