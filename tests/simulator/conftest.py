"""One simulator process for all tests here; each test finds it as if just started."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulator import ROLES
from simulator.testing import Simulator


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[Simulator]:
    with Simulator(profile="fast", roles=ROLES) as simulator:
        yield simulator


@pytest.fixture
def sim(running_simulator: Simulator) -> Simulator:
    running_simulator.reset()
    return running_simulator
