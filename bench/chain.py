"""A chain of simulated tiers with a router before it, which a benchmark may break: each tier is a
process of its own."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.client import Answer, Endpoint, Failure, ask
from bench.prompts import body
from bench.router_process import RouterProcess, merged
from bench.stand import scratch_folder
from simulator.testing import Simulator

KIND = {"primary": "vllm", "ollama": "ollama", "xai": "xai"}
_RECOVERY_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Tier:
    """A backend's name, the simulator's role that plays it, its model, its own settings in the
    router's configuration, and
    the simulator's settings for it."""

    name: str
    role: str
    model: str
    config: Mapping[str, Any] = field(default_factory=dict)
    manners: Mapping[str, Any] = field(default_factory=dict)


class Chain:
    """The tiers in their order, all under the route `primary`, and the router."""

    def __init__(
        self, stack: ExitStack, folder: Path, tiers: Sequence[Tier], config: Mapping[str, Any]
    ) -> None:
        self.tiers = {tier.name: tier for tier in tiers}
        self.simulators: dict[str, Simulator] = {}
        self._ports: dict[str, int] = {}
        stack.callback(lambda: [simulator.stop() for simulator in self.simulators.values()])
        for name in self.tiers:
            self.revive(name)
        backends = {
            name: {
                "kind": KIND[tier.role],
                "url": self.simulators[name].url(tier.role),
                "model": tier.model,
                "slots": 64,
                **({"local": False, "api_key": "test-key"} if tier.role == "xai" else {}),
                **tier.config,
            }
            for name, tier in self.tiers.items()
        }
        routes = {route: {"backends": list(self.tiers)} for route in ("primary", "meta", "enrich")}
        usual = {"backends": backends, "routes": routes, "cascade": {"tiers": ["rules"]}}
        self.router = RouterProcess(folder, backends={}, config=merged(usual, config))
        stack.callback(self.router.stop, quick=True)
        self.router.start()
        self.endpoint = Endpoint.of(self.router.url)
        for _ in range(3):  # connections, code paths, the models' names
            self.ask("Hello.")

    # Breaking and mending -------------------------------------------------------------------------

    def fault(self, name: str, fault: str, **params: Any) -> None:
        self.simulators[name].fault(self.tiers[name].role, fault, **params)

    def kill(self, name: str) -> None:
        """End a tier as a crash would."""
        self.simulators[name].kill()

    def revive(self, name: str) -> None:
        """Start a tier, on the port that it had before."""
        role, model = self.tiers[name].role, self.tiers[name].model
        ports = {role: self._ports[name]} if name in self._ports else None
        self.simulators[name] = Simulator(roles=(role,), ports=ports, models={role: model}).start()
        self._ports[name] = self.simulators[name].port(role)
        self.configure(name, **self.tiers[name].manners)

    def configure(self, name: str, **manners: Any) -> None:
        if manners:
            self.simulators[name].configure(self.tiers[name].role, **manners)

    def reset(self) -> None:
        """Every tier as at the start: no faults, its manners, counters at zero."""
        for name, tier in self.tiers.items():
            self.simulators[name].reset(tier.role)
            self.configure(name, **tier.manners)

    def recovered(self) -> None:
        """Wait until every tier is used again; then all is as at the start.

        Raises:
            Failure: that does not happen.
        """
        self.reset()
        until = time.monotonic() + _RECOVERY_LIMIT_S
        while time.monotonic() < until:
            told = self.router.stats()["backends"]
            cooling = [
                name
                for name in self.tiers
                if told[name]["breaker"] != "closed" or told[name]["pause"]
            ]
            if not cooling and self.ask("Hello.").headers.get("x-router-backend") == next(
                iter(self.tiers)
            ):
                return self.reset()
            for name in cooling:
                self.ask("Hello.", model=self.tiers[name].model)
            time.sleep(0.02)
        raise Failure(f"a tier does not come back: {self.router.stats()['backends']}")

    # Asking ---------------------------------------------------------------------------------------

    def direct(self, name: str) -> Endpoint:
        return Endpoint.of(self.simulators[name].url(self.tiers[name].role))

    def ask(
        self, text: str, *, limit: float = 30.0, model: str = "ai-router/primary", **fields: Any
    ) -> Answer:
        """One request to the router, on a connection of its own."""
        return ask(self.endpoint, body(text, model, **fields), limit)

    def seen(self, name: str) -> int:
        """Generation requests that a tier has received; 0 when it is dead."""
        with suppress(OSError, ValueError, KeyError):
            return int(self.simulators[name].stats(self.tiers[name].role)["started"])
        return 0

    def slots_in_use(self) -> int:
        return sum(self.router.in_use().values())


@contextmanager
def chain(tiers: Sequence[Tier], config: Mapping[str, Any]) -> Iterator[Chain]:
    """The chain, up and warm; whatever was started for it is stopped at the end.

    Args:
        config: laid over what the tiers say and `config/router.yaml`.
    """
    with ExitStack() as stack:
        yield Chain(stack, scratch_folder(stack, "chain"), tiers, config)
