"""What the load goes to: the embedded simulator with a router before it, at a home server's pace,
or a router that runs; and a probe beside the load: what the router adds to a small request, and how
busy its primary is."""

import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from bench.client import Connection, Failure
from bench.prompts import body
from bench.result import Periodic
from bench.stand import ROLES, Stand, running, stand
from load.plan import marked

EMBEDDING_MODEL = "embedding-model"  # as the simulator calls it
SLOTS = 8  # of the primary, as config/router.yaml ships it
QUEUE = 64
# Shorter answers than a home server's, at its speed: a minute of load then holds hundreds of them.
MANNERS: dict[str, dict[str, Any]] = {
    "router": {"ttft_ms": [20, 40], "ttft_nonstream_ms": [20, 40], "think_ms": [150, 250],
    "think_ms_long": [200, 300], "tps": 192},
    "primary": {
        "slots": SLOTS, "ttft_ms": [60, 100], "ttft_nonstream_ms": [60, 100], "tps": 200,
        "answer_short": [30, 70],
        "answer_long": [60, 180], "answer_meta": [20, 40], "answer_grounded": [60, 120],
    },
    "xai": {
        "ttft_ms": [300, 600], "ttft_nonstream_ms": [300, 600], "tps": 150, "answer_short": [60,
        120], "answer_long": [60, 120],
        "search_ms": [500, 1500],
    },
    "embedding": {"ttft_ms": [6, 9], "ttft_nonstream_ms": [6, 9]},
}  # fmt: skip
CONFIG = {
    "embeddings": "embedding",
    "backends": {
        "primary": {"slots": SLOTS},
        "router": {"slots": 64},
        "embedding": {"kind": "vllm", "slots": 16},
    },
    "queue": {"length": QUEUE},
}
# How long a turn of the usual mix of users (load/users.py) keeps a slot of this primary busy, in
# seconds: short and long answers take 0.33 and 0.68 s, a META one 0.23 s, a grounded one 0.53 s, a
# speculation that lost 0.1 s.
SLOT_SECONDS_PER_TURN = 0.54


def rated_users(utilisation: float, period: float) -> float:
    """How many users keep this share of the embedded primary's slots busy."""
    return utilisation * SLOTS / SLOT_SECONDS_PER_TURN * period


@contextmanager
def target(args: Namespace) -> Iterator[Stand]:
    """The router that is named, or the simulator and a router with the shipped settings, stopped at
    the end.

    Raises:
        Unavailable: the router that was named does not answer.
    """
    if args.url:
        yield _marked(running(args, "put under load", passing=False), args.test)
        return
    roles = (*ROLES, "embedding")
    with stand(args, "fast", roles=roles, manners=MANNERS, config=CONFIG) as made:
        found = _marked(made, args.test)
        with Connection(found.router, timeout=30) as connection:
            for question in ("Hello.", "Explain in one sentence how a kite works."):
                connection.chat(body(question, found.virtual_model))
        yield found


def _marked(found: Stand, test: str) -> Stand:
    return replace(found, router=marked(found.router, test))


_PAUSE_S = 0.2
_LIMIT_S = 10.0
_TINY = 'Say one word. [[sim {"ttft_ms": 0, "tokens": 1}]]'


@dataclass(frozen=True, slots=True)
class Look:
    """`at` on the clock of the samples; `added` in seconds."""

    at: float
    added: float | None
    in_use: int | None
    waiting: int | None


class Probe(Periodic):
    """`with Probe(target) as probe: ...`, then `probe.looks`."""

    def __init__(self, target: Stand) -> None:
        super().__init__(_PAUSE_S, self.look)
        self.looks: list[Look] = []
        model = target.explicit_model
        self._router = Connection(target.router, timeout=_LIMIT_S)
        self._direct = Connection(target.direct, timeout=_LIMIT_S) if target.direct else None
        self._routed = target.router.chat(body(_TINY, model, max_tokens=1))
        self._straight = (target.direct or target.router).chat(
            body(_TINY, target.primary_model, max_tokens=1)
        )

    def look(self) -> None:
        at, added = time.monotonic(), None
        backend: Mapping[str, Any] = {}
        # A router that is too busy for this is judged by what its users see.
        with suppress(Failure, ValueError, TypeError, AttributeError):
            if self._direct is not None:
                straight = self._direct.timed(self._straight)
                added = self._router.timed(self._routed) - straight
            backends = self._router.get("/stats").json().get("backends", {})
            backend = backends.get("primary") or next(iter(backends.values()), {})
        self.looks.append(Look(at, added, backend.get("in_use"), backend.get("waiting")))
