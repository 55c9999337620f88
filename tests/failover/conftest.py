"""A simulator with two vLLMs, an Ollama and a cloud; a chain of three that most tests share,
`make_chain` for one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from resilience_harness import MODEL_OF, TIERS, chain, heal, urls_of

from bench.router_process import RouterProcess
from simulator.testing import Simulator

MakeChain = Callable[..., RouterProcess]


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[Simulator]:
    with Simulator(
        roles=("primary", "embedding", "ollama", "xai"), models={"xai": MODEL_OF["xai"]}
    ) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def forgiving_chain(
    shared_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RouterProcess]:
    """primary → second → xai; what one test breaks is well again for the next."""
    config = chain(
        *TIERS,
        each={"breaker_fails": 1_000_000, "allowed_fails": 1_000_000, "cooldown": 0.05},
        queue={"hold_wait": 0.4},
        timeouts={"keepalive_after": 20},
    )
    with RouterProcess(
        tmp_path_factory.mktemp("chain"), backends=urls_of(shared_simulator, TIERS), config=config
    ) as router:
        yield router
    assert "Traceback" not in router.printed(), router.printed()


@pytest.fixture
def chained(forgiving_chain: RouterProcess, sim: Simulator) -> Iterator[RouterProcess]:
    heal(forgiving_chain, sim)
    sim.reset()
    yield forgiving_chain
    heal(forgiving_chain, sim)


@pytest.fixture
def make_chain(make_router: Callable[..., RouterProcess], sim: Simulator) -> MakeChain:
    """`make_chain("primary", "xai", queue={...}, each={...})`: a router of one's own with this
    chain."""

    def make(*tiers: str, env: dict[str, str] | None = None, **config: Any) -> RouterProcess:
        key = {"XAI_API_KEY": "test-key"} if "xai" in tiers else {}
        return make_router(
            config=chain(*tiers, **config),
            env={**key, **(env or {})},
            backends=(),
            urls=urls_of(sim, tiers),
            warm=False,
        )

    return make
