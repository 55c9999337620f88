"""What is measured: the embedded simulator with a router of our own before it, or a router that
already runs."""

import os
import secrets
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.client import Connection, Endpoint, Failure
from bench.router_process import RouterProcess, merged
from simulator.processes import family
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
    that is not known."""

    router: Endpoint
    direct: Endpoint | None
    profile: str
    virtual_model: str
    primary_model: str
    log_dir: Path | None
    router_pid: int | None = None
    simulator_pid: int | None = None

    @property
    def embedded(self) -> bool:
        return self.router_pid is not None

    @property
    def explicit_model(self) -> str:
        """The name that asks for the primary itself."""
        return f"{self.virtual_model}/primary"

    def targets(self) -> dict[str, tuple[Endpoint, str]]:
        """Where the same request goes, with the model's name there: directly first where that says
        something."""
        direct = {"direct": (self.direct, self.primary_model)} if self.direct else {}
        return {**(direct if self.embedded else {}), "routed": (self.router, self.explicit_model)}

    @property
    def router_pids(self) -> list[int]:
        return [] if self.router_pid is None else family(self.router_pid)

    def need_direct(self) -> Endpoint:
        if self.direct is None:
            raise Unavailable(
                "This compares with the primary itself: name it by --direct http://host:port "
                "(or PRIMARY_URL)."
            )
        return self.direct

    def session(self, id8: str) -> Mapping[str, Any] | None:
        return None if self.log_dir is None else session(self.log_dir, id8)


def session(log_dir: Path, id8: str) -> Mapping[str, Any] | None:
    """The session file of a request, which is written shortly after its answer; None when it cannot
    be read."""
    until = time.monotonic() + _SESSION_WAIT_S
    while id8.isalnum() and time.monotonic() < until:
        for path in (log_dir / "sessions").glob(f"*_{id8}.json"):
            found: Mapping[str, Any] = orjson.loads(path.read_bytes())
            return found
        time.sleep(0.005)
    return None


def router_before(
    simulator: Simulator,
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
