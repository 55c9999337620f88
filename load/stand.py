"""What the load goes to: the embedded simulator with a router before it, at a home server's pace, or a router that runs."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.client import Connection, Endpoint, Failure
from bench.router_process import RouterProcess
from bench.stand import XAI_MODEL, Unavailable, scratch
from simulator.testing import Simulator

ROLES = ("router", "primary", "xai", "embedding")
SLOTS = 8  # of the primary, as config/router.yaml ships it
QUEUE = 64
# Shorter answers than a home server's, at its speed: a minute of load then holds hundreds of them.
MANNERS: dict[str, dict[str, Any]] = {
    "router": {"ttft_ms": [20, 40], "ttft_nonstream_ms": [20, 40], "think_ms": [150, 250], "think_ms_long": [200, 300], "tps": 192},
    "primary": {
        "slots": SLOTS, "ttft_ms": [60, 100], "ttft_nonstream_ms": [60, 100], "tps": 200, "answer_short": [30, 70],
        "answer_long": [60, 180], "answer_meta": [20, 40], "answer_grounded": [60, 120],
    },
    "xai": {
        "ttft_ms": [300, 600], "ttft_nonstream_ms": [300, 600], "tps": 150, "answer_short": [60, 120], "answer_long": [60, 120],
        "search_ms": [500, 1500],
    },
    "embedding": {"ttft_ms": [6, 9], "ttft_nonstream_ms": [6, 9]},
}  # fmt: skip
# How long a turn of the usual mix of users (load/users.py) keeps a slot of this primary busy, in seconds: short and long
# answers take 0.33 and 0.68 s, a META one 0.23 s, a grounded one 0.53 s, a speculation that lost 0.1 s.
SLOT_SECONDS_PER_TURN = 0.54


@dataclass(frozen=True, slots=True)
class Target:
    """A router under load. `direct` is its primary, reached without it; None where that is not known."""

    url: str
    api_key: str | None = field(repr=False)
    virtual_model: str
    embedding_model: str | None
    direct: Endpoint | None = None
    primary_model: str | None = None
    rated_users: float | None = None
    router_pid: int | None = None

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.of(self.url, self.api_key)

    @property
    def embedded(self) -> bool:
        return self.router_pid is not None


def rated_users(utilisation: float, period: float) -> float:
    """How many users keep this share of the embedded primary's slots busy."""
    return utilisation * SLOTS / SLOT_SECONDS_PER_TURN * period


@contextmanager
def embedded(utilisation: float, period: float, workers: int = 1) -> Iterator[Target]:
    """The simulator and a router with the shipped settings, stopped at the end."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="ai-router-load-", dir=scratch())
            )
        )
        simulator = stack.enter_context(Simulator(roles=ROLES))
        for role, manners in MANNERS.items():
            simulator.configure(role, **manners)
        key = secrets.token_hex(16)
        config = {
            "embeddings": "embedding",
            "backends": {
                "primary": {"slots": SLOTS},
                "router": {"slots": 64},
                "embedding": {"kind": "vllm", "slots": 16},
            },
            "queue": {"length": QUEUE},
            "server": {"workers": workers},
        }
        urls = {role: simulator.url(role) for role in ROLES}
        process = RouterProcess(
            folder, backends=urls, config=config, env={"API_KEY": key, "XAI_MODEL": XAI_MODEL}
        )
        router = stack.enter_context(process)
        direct = Endpoint.of(simulator.url("primary"))
        target = Target(
            router.url,
            key,
            "ai-router",
            "embedding-model",
            direct,
            first_model(direct),
            rated_users(utilisation, period),
            router.pid,
        )
        with Connection(target.endpoint, timeout=30) as connection:
            for question in ("Hello.", "Explain in one sentence how a kite works."):
                connection.chat(
                    {
                        "model": target.virtual_model,
                        "messages": [{"role": "user", "content": question}],
                    }
                )
        yield target


def running(
    url: str, api_key: str | None, direct: str | None, embedding_model: str | None
) -> Target:
    """A router that runs already.

    Raises:
        Unavailable: it does not answer.
    """
    primary = direct or os.environ.get("PRIMARY_URL")
    try:
        backend = Endpoint.of(primary) if primary else None
        return Target(
            url,
            api_key,
            first_model(Endpoint.of(url, api_key)),
            embedding_model,
            backend,
            first_model(backend) if backend else None,
        )
    except (Failure, ValueError) as error:
        raise Unavailable(f"The router at {url} cannot be put under load: {error}.") from None


def first_model(endpoint: Endpoint) -> str:
    with Connection(endpoint, timeout=10) as connection:
        data = connection.checked(endpoint.wire("/v1/models", None)).json().get("data")
    if not data:
        raise Failure("no model at /v1/models")
    return str(data[0]["id"])
