"""What is measured: the embedded simulator with a router of our own before it, or a router that already runs."""

import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bench.client import Connection, Endpoint, Failure
from bench.environment import children
from bench.router_process import RouterProcess
from simulator.testing import Simulator

ROLES = ("router", "primary", "xai")
XAI_MODEL = "grok-4"  # as the simulator calls it
SLOTS = {"fast": 4096, "homelab": 32}
_SESSION_WAIT_S = 3.0


class Unavailable(Exception):
    """A benchmark that cannot be run here; the message is one sentence that says what is missing."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for, as far as it concerns the stand."""

    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    direct: str | None = None
    profile: str | None = None
    workers: int = 1
    log_dir: Path | None = None


@dataclass(slots=True)
class Stand:
    """A router to measure. `direct` is the primary itself, reached without the router; None where that is not known."""

    router: Endpoint
    direct: Endpoint | None
    profile: str
    virtual_model: str
    primary_model: str
    log_dir: Path | None
    router_pid: int | None = None
    simulator_pid: int | None = None
    folder: Path | None = None

    @property
    def embedded(self) -> bool:
        return self.router_pid is not None

    @property
    def router_pids(self) -> list[int]:
        return [] if self.router_pid is None else [self.router_pid, *children(self.router_pid)]

    def need_direct(self) -> Endpoint:
        if self.direct is None:
            raise Unavailable(
                "This compares with the primary itself: name it by --direct http://host:port (or PRIMARY_URL)."
            )
        return self.direct

    def session(self, id8: str) -> Mapping[str, Any] | None:
        """The session file of a request, which is written shortly after its answer; None when it cannot be read."""
        if self.log_dir is None or not id8.isalnum():
            return None
        until = time.monotonic() + _SESSION_WAIT_S
        while time.monotonic() < until:
            for path in (self.log_dir / "sessions").glob(f"*_{id8}.json"):
                found: Mapping[str, Any] = orjson.loads(path.read_bytes())
                return found
            time.sleep(0.005)
        return None


@contextmanager
def stand(
    options: Options,
    default_profile: str,
    *,
    gunicorn_conf: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Stand]:
    """The stand for one benchmark; whatever was started for it is stopped at the end.

    Raises:
        Unavailable: the router that was named does not answer.
    """
    if options.url:
        yield _running(options)
        return
    profile = options.profile or default_profile
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="ai-router-bench-", dir=scratch())
            )
        )
        simulator = stack.enter_context(Simulator(profile=profile, roles=ROLES))
        key = options.api_key or secrets.token_hex(16)
        slots = SLOTS[profile]
        config = {
            "backends": {name: {"slots": slots} for name in ROLES},
            "queue": {"length": 4096, "wait": 30},
            "server": {"workers": options.workers},
        }
        process = RouterProcess(
            folder,
            backends={role: simulator.url(role) for role in ROLES},
            config=config,
            env={"API_KEY": key, "XAI_MODEL": XAI_MODEL, **(env or {})},
        )
        if gunicorn_conf is not None:
            process.gunicorn_conf = gunicorn_conf
        router = stack.enter_context(process)
        endpoint = Endpoint.of(router.url, key)
        direct = Endpoint.of(simulator.url("primary"))
        yield Stand(
            endpoint, direct, profile, "ai-router", _first_model(direct), router.log_dir, router.pid, simulator.pid, folder
        )  # fmt: skip


def scratch() -> str | None:
    """Where logs and sessions of the router under test go: TMPDIR, else memory. Making thousands of files and deleting them
    again slows a disk's file system down for minutes, and the next run would measure that."""
    return None if os.environ.get("TMPDIR") or not os.access("/dev/shm", os.W_OK) else "/dev/shm"


def _running(options: Options) -> Stand:
    assert options.url is not None
    url = options.direct or os.environ.get("PRIMARY_URL")
    try:
        router = Endpoint.of(options.url, options.api_key)
        direct = Endpoint.of(url) if url else None
        primary = _first_model(direct or router.below("/primary"))
        virtual = _first_model(router)
    except (Failure, ValueError) as error:
        raise Unavailable(f"The router at {options.url} cannot be measured: {error}.") from None
    return Stand(router, direct, "configured", virtual, primary, options.log_dir)


def _first_model(endpoint: Endpoint) -> str:
    with Connection(endpoint, timeout=10) as connection:
        reply = connection.checked(endpoint.wire("/v1/models", None))
    data = reply.json().get("data")
    if not data:
        raise Failure("no model at /v1/models")
    return str(data[0]["id"])
