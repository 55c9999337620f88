"""A classifier with several replicas: each has a tier, the least loaded one is asked."""

from __future__ import annotations

from doubles import FakeClock
from replica_fleet import URLS, fleet

from airouter.classify.tiers.one_token import OneTokenTier
from airouter.classify.tiers.spread import SpreadTier
from airouter.flow.exchange import Exchange
from airouter.runtime.canaries import _with_canaries


def test_each_replica_has_its_tier_and_its_canary() -> None:
    clock = FakeClock()
    router = {"kind": "vllm", "urls": URLS, "model": "r"}
    primary = {"url": "http://p.test", "model": "m"}
    state = fleet(
        clock=clock,
        sections={
            "backends": {"fleet": primary, "router": router},
            "cascade": {"tiers": ["one_token", "reasoning"]},
        },
    )
    one_token, reasoning = state.pipeline.cascade.tiers
    assert isinstance(one_token, SpreadTier)
    assert isinstance(reasoning, SpreadTier)
    assert (one_token.name, reasoning.name) == ("one_token", "reasoning")
    canaries = [*_with_canaries(state.pipeline.cascade.tiers)]
    assert canaries == one_token.tiers
    assert all(isinstance(tier, OneTokenTier) for tier in canaries)
    asked = []
    for tier in reasoning.tiers:
        tier.ask = lambda _exchange, _features, tier=tier: asked.append(tier) or iter(())  # type: ignore[method-assign]
    state.backends["router-1"].traffic.begin()
    state.backends["router-2"].out = True
    exchange = Exchange(clock, client=None, client_ip="", total=9)
    assert [*reasoning.ask(exchange, None)] == []  # type: ignore[arg-type]
    assert asked == [reasoning.tiers[2]]
