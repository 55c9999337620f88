"""Replicas over real sockets, with the figures of `./Benchmark replicas` and small counts."""

from __future__ import annotations

import pytest

from bench.client import CHAT, Connection
from bench.replicas import Fleet, Talk, embed, fleet

pytestmark = pytest.mark.tools


def test_conversations_stay_and_only_those_of_the_dead_replica_move() -> None:
    """No request fails, by the model's own name neither; embeddings come in order from two."""
    with fleet() as where:
        talk = Talk(where, 18)
        talk.round()
        talk.round()
        before = [one.replicas[-1] for one in talk.conversations]
        dead = before[0]
        talk.round(kill=dead)
        talk.round()
        assert talk.failures == []
        after = [one.replicas[-1] for one in talk.conversations]
        assert [b != a for b, a in zip(before, after, strict=True)] == [b == dead for b in before]
        misses = [one.hits.count(False) for one in talk.conversations]
        assert sum(misses) <= before.count(dead)
        assert named(where) != dead
        texts = [f"text {i}" for i in range(200)]
        assert len(embed(where.endpoint, texts)[1]) == 200
        if dead == "fleet-3":  # whose process has no embeddings to answer
            asked = [one.stats("embedding")["started"] for one in where.simulators[:2]]
            assert min(asked) >= 2


def named(where: Fleet) -> str:
    """The replica that answers a request for the model of the group."""
    body = {"model": "primary-model", "messages": [{"role": "user", "content": "Hello"}]}
    with Connection(where.endpoint, timeout=30) as connection:
        return connection.checked(where.endpoint.wire(CHAT, body)).headers["x-router-backend"]
