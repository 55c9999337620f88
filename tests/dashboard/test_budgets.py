"""Error budgets over time."""

from __future__ import annotations

import pytest

from airouter.dashboard.budgets import burn_down
from airouter.slo.counts import Counts
from airouter.slo.objectives import Objective

NOW = 60.0 * 60 * 24 * 20_000


def objective(target: float = 0.99) -> Objective:
    return Objective("fast", "002", "Answers are fast.", None, target)  # type: ignore[arg-type]


def test_a_budget_burns_down_to_what_is_left():
    counts = Counts()
    minute = int(NOW // 60)
    for ago, bad in ((2000, 0), (1000, 3), (10, 2)):
        counts.add("fast", minute - ago, 400 - bad, bad)
    found = burn_down(objective(), counts, NOW)
    assert found["t"][-1] == NOW
    assert found["t"][0] < NOW - 2000 * 60 + 61
    assert found["left"][0] == 1.0
    # 1,200 events allow 12 bad ones.
    assert found["left"][-1] == pytest.approx(1 - 5 / 12, abs=1e-4)
    assert pytest.approx(1 - 3 / 12, abs=1e-4) in found["left"]
    assert found["left"] == sorted(found["left"], reverse=True)


def test_without_events_there_is_nothing_to_draw():
    assert burn_down(objective(), Counts(), NOW) == {"t": [], "left": []}
