"""What the load goes to: the embedded simulator with a router before it, at a home server's pace,
or a router that runs."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.client import Connection
from bench.prompts import body
from bench.stand import ROLES, Stand, running, stand

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
        yield running(args, "put under load", passing=False)
        return
    roles = (*ROLES, "embedding")
    with stand(args, "fast", roles=roles, manners=MANNERS, config=CONFIG) as found:
        with Connection(found.router, timeout=30) as connection:
            for question in ("Hello.", "Explain in one sentence how a kite works."):
                connection.chat(body(question, found.virtual_model))
        yield found
