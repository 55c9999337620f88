"""A router with a tuned model: which tier decides, and that a changed model decides nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import ask, eventually
from tuned_models import BASE, add

from bench.router_process import RouterProcess
from simulator.testing import Simulator

TEXT = "Write a haiku about rain on a tin roof"


def tier_of(router: RouterProcess) -> str:
    return str(ask(router, TEXT).headers["X-Router-Tier"])


def test_promotion_and_rollback_take_effect_without_a_restart(
    sim: Simulator, make_router: Any, tmp_path: Path
) -> None:
    tuned = tmp_path / "tuned"
    registry = add(tuned)
    name = str(registry.state().shadow)
    cascade = {
        "tiers": ["rules", "tuned", "reasoning"],
        "tuned": {"enabled": True, "dir": str(tuned)},
    }
    router = make_router(config={"cascade": cascade})
    assert tier_of(router) == "reasoning", "the model in shadow decides nothing"
    registry.promote(name, BASE)
    eventually(lambda: tier_of(router) == "tuned", 10)
    assert ask(router, TEXT).headers["X-Router-Label"] == "COMPLEX"
    registry.rollback()
    eventually(lambda: tier_of(router) == "reasoning", 10)
    registry.promote(name, BASE)
    eventually(lambda: tier_of(router) == "tuned", 10)
    file = tuned / f"{name}.json"
    file.write_bytes(file.read_bytes() + b" ")
    router.post("/admin/reload", {})
    assert tier_of(router) == "reasoning", "the file is not the gated one any more"
    eventually(lambda: "tuned_comparisons_total" in router.get("/metrics").text, 10)
