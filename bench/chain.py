"""A chain of simulated tiers with a router before it, which a benchmark may break: each tier is a process of its own."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.ask import Answer, ask
from bench.client import Endpoint, Failure
from bench.prompts import body
from bench.router_process import RouterProcess, merged
from bench.stand import scratch
from simulator.testing import Simulator

KIND = {"primary": "vllm", "ollama": "ollama", "xai": "xai"}
_RECOVERY_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Tier:
    """A backend's name, the simulator's role that plays it, its model, its own settings in the router's configuration, and
    the simulator's settings for it."""

    name: str
    role: str
    model: str
    config: Mapping[str, Any] = field(default_factory=dict)
    manners: Mapping[str, Any] = field(default_factory=dict)


class Chain:
    """The tiers in their order, all under the route `primary`, and the router."""

    def __init__(self, folder: Path, tiers: Sequence[Tier], config: Mapping[str, Any]) -> None:
        self.tiers = {tier.name: tier for tier in tiers}
        self._simulators: dict[str, Simulator] = {}
        self._ports: dict[str, int] = {}
        self._folder = folder
        self._config = config
        self.router: RouterProcess | None = None

    def start(self, stack: ExitStack) -> "Chain":
        stack.callback(self._stop_simulators)
        for name in self.tiers:
            self.revive(name)
        backends = {
            name: {
                "kind": KIND[tier.role],
                "url": self._simulators[name].url(tier.role),
                "model": tier.model,
                "slots": 64,
                **({"local": False, "api_key": "test-key"} if tier.role == "xai" else {}),
                **tier.config,
            }
            for name, tier in self.tiers.items()
        }
        routes = {route: {"backends": list(self.tiers)} for route in ("primary", "meta", "enrich")}
        config = merged(
            {"backends": backends, "routes": routes, "cascade": {"tiers": ["rules"]}}, self._config
        )
        self.router = RouterProcess(self._folder, backends={}, config=config)
        stack.callback(self.router.stop, quick=True)
        self.router.start()
        for _ in range(3):  # connections, code paths, the models' names
            self.ask("Hello.")
        return self

    def _stop_simulators(self) -> None:
        for simulator in self._simulators.values():
            simulator.stop()

    # Breaking and mending -------------------------------------------------------------------------------------------

    def simulator(self, name: str) -> Simulator:
        return self._simulators[name]

    def fault(self, name: str, fault: str, **params: Any) -> None:
        self._simulators[name].fault(self.tiers[name].role, fault, **params)

    def kill(self, name: str) -> None:
        """End a tier as a crash would."""
        self._simulators[name].kill()

    def revive(self, name: str) -> None:
        """Start a tier, on the port that it had before."""
        tier = self.tiers[name]
        ports = {tier.role: self._ports[name]} if name in self._ports else None
        simulator = Simulator(
            roles=(tier.role,), ports=ports, models={tier.role: tier.model}
        ).start()
        self._simulators[name] = simulator
        self._ports[name] = simulator.port(tier.role)
        if tier.manners:
            simulator.configure(tier.role, **tier.manners)

    def reset(self) -> None:
        """Every tier as at the start: no faults, its manners, counters at zero."""
        for name, tier in self.tiers.items():
            self._simulators[name].reset(tier.role)
            if tier.manners:
                self._simulators[name].configure(tier.role, **tier.manners)

    def recovered(self) -> None:
        """Wait until every tier is used again.

        Raises:
            Failure: that does not happen.
        """
        assert self.router is not None
        until = time.monotonic() + _RECOVERY_LIMIT_S
        first = next(iter(self.tiers))
        while time.monotonic() < until:
            backends = self.router.stats()["backends"]
            cooling = [
                name
                for name in self.tiers
                if backends[name]["breaker"] != "closed" or backends[name]["pause"]
            ]
            if not cooling and self.ask("Hello.").headers.get("x-router-backend") == first:
                return
            for name in cooling:
                self.ask("Hello.", model=self.tiers[name].model)
            time.sleep(0.02)
        raise Failure(f"a tier does not come back: {self.router.stats()['backends']}")

    # Asking ---------------------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> Endpoint:
        assert self.router is not None
        return Endpoint.of(self.router.url)

    def direct(self, name: str) -> Endpoint:
        return Endpoint.of(self._simulators[name].url(self.tiers[name].role))

    def ask(
        self, text: str, *, limit: float = 30.0, model: str = "ai-router/primary", **fields: Any
    ) -> Answer:
        """One request to the router, on a connection of its own."""
        return ask(self.endpoint, body(text, model, **fields), limit)

    def seen(self, name: str) -> int:
        """Generation requests that a tier has received; 0 when it is dead."""
        with suppress(OSError, ValueError):
            return int(self._simulators[name].stats(self.tiers[name].role)["started"])
        return 0

    def slots_in_use(self) -> int:
        assert self.router is not None
        return sum(self.router.in_use().values())


@contextmanager
def chain(tiers: Sequence[Tier], config: Mapping[str, Any]) -> Iterator[Chain]:
    """The chain, up and warm; whatever was started for it is stopped at the end.

    Args:
        config: laid over what the tiers say and `config/router.yaml`.
    """
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="ai-router-chain-", dir=scratch())
            )
        )
        yield Chain(folder, tiers, config).start(stack)
