"""Three replicas with prefix caches: do conversations stay where their prefix is, what does it cost
when one replica dies, and are embeddings spread over replicas?"""

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.client import EMBEDDINGS, Connection, Endpoint, Failure
from bench.result import Promises, Result, Sampler
from bench.router_process import RouterProcess
from bench.stand import scratch_folder
from simulator.testing import Simulator

REPLICAS = 3
INPUTS, BATCH = 1000, 32
EMBEDDING_REPLICAS, BATCH_MS = 2, 100
WITH_PREFIX, ALLOWED = 0.9, 1.1  # of turns; of the sum of batches ÷ replicas
_AT_ONCE = 20
_SLOTS = 32
_OPENING = "Conversation {0}: tell me about the history of topic {0}, one part after the other. "
_MORE = "That was part {1} of conversation {0}. Please go on with the next part of it. "


@dataclass(slots=True)
class Conversation:
    """A conversation: its messages, and for each turn which replica answered and whether that had
    the prefix (None: first turn)."""

    messages: list[dict[str, str]]
    replicas: list[str] = field(default_factory=list)
    hits: list[bool | None] = field(default_factory=list)
    prompt_tokens: int = 0


class Fleet:
    """The simulated replicas, and a router before them."""

    def __init__(self, stack: ExitStack) -> None:
        roles = ("primary", "embedding")
        self.simulators = [
            stack.enter_context(Simulator(roles=roles, profile="fast")) for _ in range(REPLICAS)
        ]
        for simulator in self.simulators:
            simulator.configure(
                "primary", ttft_ms=20, ttft_nonstream_ms=20, tps=2000, answer_short=60
            )
            # One batch after the other, as a server whose accelerator one batch fills.
            simulator.configure("embedding", ttft_nonstream_ms=BATCH_MS, slots=1)
        config = {
            "backends": {
                "fleet": {
                    "kind": "vllm",
                    "urls": [simulator.url("primary") for simulator in self.simulators],
                    "model": "primary-model",
                    "slots": _SLOTS,
                },
                "embedder": {
                    "kind": "vllm",
                    "urls": [s.url("embedding") for s in self.simulators[:EMBEDDING_REPLICAS]],
                    "model": "embedding-model",
                    "max_inputs": BATCH,
                },
            },
            "routes": {r: {"backends": ["fleet"]} for r in ("primary", "meta", "enrich")},
            "embeddings": "embedder",
            "cascade": {"tiers": ["rules"]},
        }
        folder = scratch_folder(stack, "replicas")
        self.router = stack.enter_context(RouterProcess(folder, backends={}, config=config))
        self.endpoint = Endpoint.of(self.router.url)

    def kill(self, replica: str) -> None:
        """End the process of a chat replica, `fleet-1` to `fleet-3`."""
        self.simulators[int(replica.rpartition("-")[2]) - 1].kill()


@contextmanager
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack)


class Talk:
    """Conversations in rounds of one turn each, many at a time. Mutable state: the conversations,
    and the requests that failed; one lock."""

    def __init__(self, where: Fleet, count: int) -> None:
        self._fleet = where
        self.conversations = [
            Conversation([{"role": "user", "content": _OPENING.format(i) * 6}])
            for i in range(count)
        ]
        self.failures: list[str] = []
        self._lock = threading.Lock()
        self._answered = 0

    def round(self, *, kill: str | None = None) -> None:
        """One turn of every conversation. `kill`: a replica that dies when half are answered."""
        self._answered = 0
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            turns = [pool.submit(self._turn, number) for number in range(len(self.conversations))]
            if kill is not None:
                while self._answered < len(turns) // 2:
                    time.sleep(0.005)
                self._fleet.kill(kill)
            for turn in turns:
                turn.result()

    def _turn(self, number: int) -> None:
        talk = self.conversations[number]
        body = {"model": "ai-router/primary", "messages": talk.messages}
        endpoint = self._fleet.endpoint
        try:
            with Connection(endpoint, timeout=30) as connection:
                found = connection.checked(endpoint.chat(body, close=True))
        except Failure as failure:
            with self._lock:
                self.failures.append(str(failure)[:200])
                self._answered += 1
            return
        usage = found.json()["usage"]
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        # Blocks of the prompt before: all but the last, which the answer has filled.
        hit = cached >= 0.8 * talk.prompt_tokens if talk.prompt_tokens else None
        talk.hits.append(hit)
        talk.replicas.append(found.headers["x-router-backend"])
        talk.prompt_tokens = usage["prompt_tokens"]
        talk.messages += [
            {"role": "assistant", "content": found.text},
            {"role": "user", "content": _MORE.format(number, len(talk.replicas)) * 3},
        ]
        with self._lock:
            self._answered += 1


def embed(endpoint: Endpoint, texts: Sequence[str]) -> tuple[float, list[Any]]:
    """Seconds, and the embeddings.

    Raises:
        Failure: an answer without one for each text, in order.
    """
    body = {"model": "embedding-model", "input": list(texts), "dimensions": 16}
    with Connection(endpoint, timeout=60) as connection:
        found = connection.checked(endpoint.wire(EMBEDDINGS, body))
    data = found.json()["data"]
    if [one["index"] for one in data] != list(range(len(texts))):
        raise Failure("the embeddings are not complete, or not in order")
    return found.seconds, [one["embedding"] for one in data]


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """`--samples`: conversations."""
    count = args.samples or (18 if args.quick else 60)
    turns = 4 if args.quick else 6
    promises = Promises("replicas", f"{REPLICAS} replicas, {count} conversations of {turns} turns")
    with fleet() as where, sampler.interruptible(), promises.answered():
        sampler.row("embeddings")
        _embeddings(where, promises, 1 if args.quick else 3)
        sampler.row("conversations")
        _conversations(where, promises, count, turns)
    return [promises.result]


def _conversations(where: Fleet, promises: Promises, count: int, turns: int) -> None:
    talk = Talk(where, count)
    for _ in range(turns // 2):
        talk.round()
    before = [one.replicas[-1] for one in talk.conversations]
    dead = sorted(set(before), key=before.count)[1]
    talk.round(kill=dead)
    for _ in range(turns - turns // 2 - 1):
        talk.round()
    promises.count("requests that failed", len(talk.failures))
    moved = [one.replicas[-1] != was for one, was in zip(talk.conversations, before, strict=True)]
    theirs = sum(was == dead for was in before)
    others = sum(m for m, was in zip(moved, before, strict=True) if was != dead)
    promises.count("conversations of the others that moved", others)
    promises.count("conversations of the dead one that moved", sum(moved), theirs, theirs)
    hits = [hit for one in talk.conversations for hit in one.hits if hit is not None]
    share = sum(hits) / len(hits)
    promises.check(
        "turns on a replica that has the prefix", f"≥ {WITH_PREFIX:.0%}",
        f"{share:.1%} of {len(hits)}", share >= WITH_PREFIX, share=share,
    )  # fmt: skip
    misses = len(hits) - sum(hits)
    promises.check(
        "turns without, not counting one for each that moved", "0",
        str(max(0, misses - sum(moved))), misses <= sum(moved), misses=misses,
    )  # fmt: skip
    spread = sorted((before.count(name) for name in set(before)), reverse=True)
    promises.note("conversations per replica", ", ".join(map(str, spread)), spread=spread)


def _embeddings(where: Fleet, promises: Promises, rounds: int) -> None:
    texts = [f"text number {i}" for i in range(INPUTS)]
    alone = Endpoint.of(where.simulators[0].url("embedding"))
    ratios: list[float] = []
    for _ in range(rounds):
        batches, expected = 0.0, []
        for start in range(0, INPUTS, BATCH):
            seconds, found = embed(alone, texts[start : start + BATCH])
            batches += seconds
            expected += found
        seconds, found = embed(where.endpoint, texts)
        if found != expected:
            raise Failure("the embeddings are not those of one server")
        ratios.append(seconds / (batches / EMBEDDING_REPLICAS))
    worst = max(ratios)
    promises.check(
        f"{INPUTS:,} embeddings over {EMBEDDING_REPLICAS} replicas ÷ (sum of batches ÷ replicas)",
        f"≤ {ALLOWED}", f"{sorted(ratios)[len(ratios) // 2]:.2f}, at most {worst:.2f}",
        worst <= ALLOWED, ratios=ratios,
    )  # fmt: skip
