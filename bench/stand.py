"""What is measured: the embedded simulator with a router before it, a router that already runs,
or a chain of simulated tiers, each a process of its own, which a benchmark may break."""

import os
import secrets
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from bench.apis import APIS, Api
from bench.client import Answer, Connection, Endpoint, Failure
from bench.router_process import RouterProcess, merged
from simulator.processes import family, free_port
from simulator.testing import Simulator

ROLES = ("router", "primary", "xai")
XAI_MODEL = "grok-4"  # as the simulator calls it
SLOTS = {"fast": 4096, "homelab": 32}
_SESSION_WAIT_S = 5.0


class Unavailable(Exception):
    """A benchmark that cannot be run here; the message is one sentence that says what is
    missing."""


@dataclass(slots=True)
class Stand:
    """A router to measure. `direct` is the primary itself, reached without the router; None where
    that is not known. `named` asks for the primary by another name than its route's."""

    router: Endpoint
    direct: Endpoint | None
    profile: str
    virtual_model: str
    primary_model: str
    log_dir: Path | None
    router_pid: int | None = None
    simulator_pid: int | None = None
    named: str = ""

    @property
    def embedded(self) -> bool:
        return self.router_pid is not None

    @property
    def explicit_model(self) -> str:
        """The name that asks for the primary itself."""
        return self.named or f"{self.virtual_model}/primary"

    def targets(self) -> dict[str, tuple[Endpoint, str]]:
        """Where the same request goes, with the model's name there: directly first where that says
        something."""
        direct = {"direct": (self.direct, self.primary_model)} if self.direct else {}
        return {**(direct if self.embedded else {}), "routed": (self.router, self.explicit_model)}

    @property
    def router_pids(self) -> list[int]:
        return [] if self.router_pid is None else family(self.router_pid)


def session(log_dir: Path | None, id8: str) -> Mapping[str, Any] | None:
    """The session file of a request, which is written shortly after its answer; None when it cannot
    be read."""
    until = time.monotonic() + _SESSION_WAIT_S
    while log_dir and id8.isalnum() and time.monotonic() < until:
        for path in (log_dir / "sessions").glob(f"*_{id8}.json"):
            found: Mapping[str, Any] = orjson.loads(path.read_bytes())
            return found
        time.sleep(0.005)
    return None


class Backends(Protocol):
    """A process that plays the router's backends: the simulator, or `bench.stub`."""

    @property
    def roles(self) -> tuple[str, ...]: ...

    def url(self, role: str) -> str: ...


def router_before(
    simulator: Backends,
    folder: Path,
    config: Mapping[str, Any],
    *,
    key: str = "",
    env: Mapping[str, str] | None = None,
    slots: int | None = None,
    **more: Any,
) -> RouterProcess:
    """A router before all the simulator's roles, not started yet.

    Args:
        slots: of every backend; None: as shipped.
        more: arguments of `RouterProcess`.
    """
    urls = {role: simulator.url(role) for role in simulator.roles}
    wide = {"backends": {role: {"slots": slots} for role in urls}} if slots else {}
    environ = {"XAI_MODEL": XAI_MODEL, **({"API_KEY": key} if key else {}), **(env or {})}
    return RouterProcess(folder, backends=urls, config=merged(wide, config), env=environ, **more)


@contextmanager
def stand(
    args: Namespace,
    default_profile: str,
    *,
    roles: tuple[str, ...] = ROLES,
    manners: Mapping[str, Mapping[str, Any]] | None = None,
    config: Mapping[str, Any] | None = None,
    app: str = "",
    env: Mapping[str, str] | None = None,
) -> Iterator[Stand]:
    """The stand for one benchmark; whatever was started for it is stopped at the end.

    Args:
        args: from the command line; a router that runs already if `url` is set.
        manners: the simulator's settings by role.
        config: the router's, instead of room for any number of requests at once.
        app: as of `RouterProcess`.

    Raises:
        Unavailable: the router that was named does not answer.
    """
    if args.url:
        yield running(args)
        return
    profile = args.profile or ("fast" if args.quick else default_profile)
    with ExitStack() as stack:
        folder = scratch_folder(stack, "bench")
        simulator = stack.enter_context(Simulator(profile=profile, roles=roles))
        for role, settings in (manners or {}).items():
            simulator.configure(role, **settings)
        key = args.api_key or secrets.token_hex(16)
        workers = {"server": {"workers": args.workers}}
        wide = {"queue": {"length": 4096, "wait": 30}} if config is None else config
        router = stack.enter_context(
            router_before(
                simulator, folder, merged(workers, wide), key=key, env=env, app=app,
                slots=SLOTS[profile] if config is None else None,
            )
        )  # fmt: skip
        direct = Endpoint.of(simulator.url("primary"))
        yield Stand(
            Endpoint.of(router.url, key), direct, profile, "ai-router", first_model(direct),
            router.log_dir, router.pid, simulator.pid
        )  # fmt: skip


def scratch() -> str | None:
    """Where logs and sessions of the router under test go: TMPDIR, else memory. Making and deleting
    thousands of files slows a disk's file system down for minutes, and the next run would measure
    that."""
    return None if os.environ.get("TMPDIR") or not os.access("/dev/shm", os.W_OK) else "/dev/shm"


def scratch_folder(stack: ExitStack, name: str) -> Path:
    """A folder there for as long as `stack` is open."""
    made = tempfile.TemporaryDirectory(
        prefix=f"ai-router-{name}-", dir=scratch(), ignore_cleanup_errors=True
    )
    return Path(stack.enter_context(made))


def running(args: Namespace, what: str = "measured", passing: bool = True) -> Stand:
    """A router that runs already.

    Args:
        passing: the primary's model may be asked for through the router where no direct address is
        known.

    Raises:
        Unavailable: it does not answer.
    """
    url = args.direct or os.environ.get("PRIMARY_URL")
    try:
        router = Endpoint.of(args.url or "", args.api_key)
        direct = Endpoint.of(url) if url else None
        backend = direct or (router.below("/primary") if passing else None)
        primary = first_model(backend) if backend else ""
        virtual = first_model(router)
    except (Failure, ValueError) as error:
        raise Unavailable(f"The router at {args.url} cannot be {what}: {error}.") from None
    return Stand(router, direct, "configured", virtual, primary, args.log_dir)


def first_model(endpoint: Endpoint, timeout: float = 10.0) -> str:
    """The name of the first model at /v1/models.

    Raises:
        Failure: there is none.
    """
    with Connection(endpoint, timeout) as connection:
        data = connection.checked(endpoint.wire("/v1/models", None)).json().get("data")
    if not data:
        raise Failure("no model at /v1/models")
    return str(data[0]["id"])


KIND = {"primary": "vllm", "ollama": "ollama", "xai": "xai"}
_RECOVERY_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Tier:
    """A backend's name, the simulator's role that plays it, its model, its own settings in the
    router's configuration, and the simulator's settings for it."""

    name: str
    role: str
    model: str
    config: Mapping[str, Any] = field(default_factory=dict)
    manners: Mapping[str, Any] = field(default_factory=dict)


class Chain:
    """The tiers in their order, all under the route `primary`, and the router."""

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        tiers: Sequence[Tier],
        config: Mapping[str, Any],
        api: Api = APIS["chat"],
    ) -> None:
        self.api = api
        self.tiers = {tier.name: tier for tier in tiers}
        self.simulators: dict[str, Simulator] = {}
        self._ports = {name: free_port() for name in self.tiers}
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
        self.simulators[name].kill()

    def revive(self, name: str) -> None:
        """Start a tier, on the port that it had before."""
        role, models = self.tiers[name].role, {self.tiers[name].role: self.tiers[name].model}
        ports = {role: self._ports[name]}
        self.simulators[name] = Simulator(roles=(role,), ports=ports, models=models).start()
        self.configure(name, **self.tiers[name].manners)

    def configure(self, name: str, **manners: Any) -> None:
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
            used = {
                name: told[name]["breaker"] == "closed" and not told[name]["pause"]
                for name in self.tiers
            }
            asked = [tier.model for name, tier in self.tiers.items() if not used[name]]
            backends = [
                self.ask("Hello.", model=model).headers.get("x-router-backend")
                for model in asked or ["ai-router/primary"]
            ]
            if not asked and backends == [next(iter(self.tiers))]:
                return self.reset()
            time.sleep(0.02)
        raise Failure(f"a tier does not come back: {self.router.stats()['backends']}")

    # Asking ---------------------------------------------------------------------------------------

    def direct(self, name: str) -> Endpoint:
        return Endpoint.of(self.simulators[name].url(self.tiers[name].role))

    def ask(
        self, text: str, *, limit: float = 30.0, model: str = "ai-router/primary", **fields: Any
    ) -> Answer:
        """One request to the router, on a connection of its own."""
        with Connection(self.endpoint, timeout=limit) as connection:
            sent = self.api.body(text, model, **fields)
            return self.api.read(
                connection.ask(self.endpoint.wire(self.api.path, sent, close=True))
            )

    def seen(self, name: str) -> int:
        """Generation requests that a tier has received; 0 when it is dead."""
        with suppress(OSError, ValueError, KeyError):
            return int(self.simulators[name].stats(self.tiers[name].role)["started"])
        return 0

    def slots_in_use(self) -> int:
        return sum(self.router.in_use().values())


@contextmanager
def chain(
    tiers: Sequence[Tier], config: Mapping[str, Any], api: Api = APIS["chat"]
) -> Iterator[Chain]:
    """The chain, up and warm; whatever was started for it is stopped at the end.

    Args:
        config: laid over what the tiers say and `config/router.yaml`.
    """
    with ExitStack() as stack:
        yield Chain(stack, scratch_folder(stack, "chain"), tiers, config, api)
