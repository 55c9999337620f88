"""What the tests of the one-token tier share: a tier by itself, a router with it, and what the
classifier has received."""

from __future__ import annotations

from typing import Any

from doubles import LogLines
from harness import ask, asked, eventually
from making import make_backend

from airouter.classify.tiers.one_token import OneTokenTier
from airouter.domain.clock import Clock
from airouter.settings.cascade import OneTokenTierSettings
from airouter.settings.schema import BackendSettings
from airouter.upstream.backend import Backend
from bench.router_process import RouterProcess
from simulator.testing import Simulator

ONE_TOKEN: dict[str, Any] = {"cascade": {"tiers": ["rules", "one_token"]}}


def constrained(sim: Simulator) -> list[dict[str, Any]]:
    """The one-token requests that the classifier has received."""
    return [sent for sent in asked(sim, "router") if "structured_outputs" in sent]


def canaries(sim: Simulator) -> int:
    return sum(sent["messages"][-1]["content"] == "Query: Hello" for sent in constrained(sim))


def tier_of(router: RouterProcess, text: str = "What is it?") -> str:
    answer = ask(router, text)
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Router-Tier"]


def decides(router: RouterProcess, limit: float = 10.0) -> None:
    """Wait until the tier decides."""
    eventually(lambda: tier_of(router) == "one_token", limit, "the tier does not decide")


def make_tier(
    sim: Simulator, clock: Clock, tier: dict[str, Any] | None = None, **settings: Any
) -> tuple[OneTokenTier, Backend]:
    """A tier that asks the simulator's classifier, and its backend with these settings."""
    spec = BackendSettings(kind="vllm", url=sim.url("router"), **settings)
    server = make_backend("router", spec, clock)
    return OneTokenTier(
        server, OneTokenTierSettings(**(tier or {})), "Label it.", clock, LogLines()
    ), server
