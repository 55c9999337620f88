"""What tests of the worker's loop share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loop_rig import Rig


@pytest.fixture
def rigs() -> Iterator[list[Rig]]:
    made: list[Rig] = []
    yield made
    for rig in made:
        rig.close()
