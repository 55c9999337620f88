"""`make soak`: thousands of requests with random faults and clients that leave at random moments;
does anything leak?

Every route, streaming and not, through a real gunicorn. Afterwards nothing may be left in use, and
there must be exactly one record for each request. Ends with status 1 on a violation.
"""

from __future__ import annotations

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.client import CHAT, EMBEDDINGS, Connection, Endpoint
from bench.environment import rss_mb
from bench.router_process import RouterProcess, shipped_threads
from simulator.testing import Simulator, answer_numbers

CLOUD_MODEL = "grok-4-1-fast-reasoning"
ROLES = ("router", "primary", "xai", "embedding")
SETTLE_S = 20.0
# What drives the flows: the worker as shipped, or gunicorn's stock threaded one, which runs each in
# its request's thread.
THREADS = 64
DRIVERS: dict[str, dict[str, str]] = {
    "loop": {},
    "thread": {"GUNICORN_CMD_ARGS": f"--worker-class=gthread --threads={THREADS}"},
}
# Threads of a worker besides those that serve: main, log, sessions, metrics, housekeeper, name
# resolution.
OWN_THREADS = 16
SETTLED_AFTER = 10_000  # requests; memory may grow until then
GROWTH = 0.05  # and by this share afterwards

FAULTS: tuple[Any, ...] = (
    "reset", "hang", "hang_headers", "html", "empty_200", "early_close_after_headers",
    "wrong_content_type", "oversized_header",
    "dribble", "truncated_json", "cut", "cut_clean", "role_only_then_cut", "garbage_event",
    "error_event", "no_done",
    "no_finish_reason_with_done", "usage_missing", "crlf", "merged", "keepalive_comments", "stall",
    {"name": "slow_first_token", "ms": 300}, {"name": "stall", "ms": 200},
    {"name": "error_status", "status": 400}, {"name": "error_status", "status": 401},
    {"name": "error_status", "status": 429},
    {"name": "error_status", "status": 500}, {"name": "error_status", "status": 503,
    "retry_after": 1},
)  # fmt: skip
LEAVES = ("at once", "while waiting", "at the first byte", "in mid-stream", "in its own body")

_SHORT = {"first_byte_timeout": 0.6, "idle_timeout": 0.5, "total_timeout": 3, "connect_timeout": 1}
# Backends are broken on purpose all the time: with breakers as usual hardly a request would get
# through to them.
_FORGIVING = {"breaker_fails": 1_000_000, "allowed_fails": 1_000_000, "cooldown": 0.01}


def configuration(concurrency: int) -> dict[str, Any]:
    """Short limits, and fewer slots than clients, so that the queue is used too."""
    slots = max(2, concurrency * 2 // 3)
    backends: dict[str, dict[str, Any]] = {
        name: {"slots": slots, **_FORGIVING, **_SHORT} for name in ROLES
    }
    backends["embedding"]["kind"] = "vllm"
    return {
        "backends": backends,
        "embeddings": "embedding",
        "queue": {"length": concurrency, "wait": 1},
        "cascade": {"tiers": ["rules", "reasoning"], "reasoning": {"timeout": 0.8}},
        "enrichment": {"timeout": 0.8},
        "timeouts": {"keepalive_after": 0.25, "total": 8},
    }


@dataclass(frozen=True, slots=True)
class Job:
    """One request: where it goes, what it says, when its client leaves (None: it stays), whether it
    must succeed."""

    path: str
    payload: dict[str, Any]
    leaves: str | None
    flawless: bool


# What steers each simulated backend: one of these values for each setting.
_STEERING: dict[str, dict[str, tuple[Any, ...]]] = {
    "router": {"label": ("SIMPLE", "MODERATE", "COMPLEX", "ENRICH"), "ttft_ms": (0, 0, 20, 60)},
    "primary": {"ttft_ms": (0, 0, 30, 90), "tokens": (5, 20, 200), "tps": (0, 0, 1000)},
    "xai": {"ttft_ms": (0, 20), "search_ms": (0, 40), "tokens": (5, 60)},
    "embedding": {"ttft_ms": (0, 20)},
}
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def draw(rng: random.Random) -> Job:
    leaves = rng.choice(LEAVES) if rng.random() < 0.3 else None
    faulty, stream = rng.random() < 0.3, rng.random() < 0.5
    steering: dict[str, dict[str, Any]] = {
        role: {name: rng.choice(values) for name, values in settings.items()}
        for role, settings in _STEERING.items()
    }
    if faulty:
        steering[rng.choice(("router", "primary", "xai"))]["fault"] = rng.choice(FAULTS)
    text = f"Question {rng.random()} [[sim {json.dumps(steering)}]]"
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "stream": stream}
    models = ("ai-router/primary", "ai-router/xai", "ai-router/enrich", CLOUD_MODEL)
    malformed: tuple[dict[str, Any], ...] = (
        {"messages": "no list"}, {**chat, "model": "gpt-17"}, {**chat, "max_tokens": "many"}, {},
    )  # fmt: skip
    vectors = {"input": ["one", text], "sim": steering["embedding"]}
    # Twentieths of all requests: (how many, path, body).
    kinds: tuple[tuple[int, str, dict[str, Any]], ...] = (
        (2, CHAT, {**chat, "metadata": {"task": "title_generation"}}),
        (2, CHAT, {**chat, "model": rng.choice(models)}),
        (1, "/v1/completions", {"prompt": text, "stream": stream}),
        (1, EMBEDDINGS, vectors),
        (1, f"/primary{CHAT}", chat),
        (1, CHAT, rng.choice(malformed)),
        (1, CHAT, {**chat, "tools": [_TOOL], "n": rng.choice((1, 2))}),
        (11, CHAT, chat),
    )
    ((_, path, payload),) = rng.choices(kinds, [share for share, _, _ in kinds])
    return Job(path, payload, leaves, not faulty)


class Client:
    """One client, on a connection that it keeps while it can. `seen`: what came of its requests;
    `wrong`: what must not have come."""

    def __init__(self, endpoint: Endpoint, seed: int) -> None:
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._rng = random.Random(seed)
        self._connection = Connection(endpoint, timeout=30)

    def run(self, jobs: int) -> None:
        with self._connection:
            for _ in range(jobs):
                job = draw(self._rng)
                try:
                    outcome, wrong = self._perform(job)
                except Exception as error:
                    outcome, wrong = "failed", f"{job.path}: {type(error).__name__}: {error}"
                self.seen[outcome] += 1
                self.wrong += [wrong] if wrong else []
                if not outcome.isdigit() or self._rng.random() < 0.2:
                    self._connection.close()

    def _perform(self, job: Job) -> tuple[str, str | None]:
        wire = self._connection.endpoint.wire(job.path, job.payload)
        if job.leaves is not None:
            self._leave(job.leaves, wire)
            return f"left {job.leaves}", None
        answer = self._connection.ask(wire)
        if answer.whole:
            return str(answer.status), _objection(job, answer.status, answer.body)
        # A pass-through that breaks off is cut; anything else ends in good order.
        allowed = job.path.startswith("/primary/") and not job.flawless
        return "cut", None if allowed else f"{job.path}: {answer.said()}"

    def _leave(self, when: str, wire: bytes) -> None:
        sock, end = self._connection.open(), wire.index(b"\r\n\r\n") + 4
        if when == "in its own body":
            sock.sendall(wire[: self._rng.randint(end, max(end, len(wire) - 1))])
            return
        sock.sendall(wire)
        if when == "while waiting":
            time.sleep(self._rng.random() * 0.1)
        elif when != "at once":
            sock.recv(1 if when == "at the first byte" else 65_536)


def _objection(job: Job, status: int, data: bytes) -> str | None:
    """What is wrong with an answer, if anything: whatever the backends do, some things may not
    happen."""
    if b'"internal_error"' in data:
        return f"{job.path}: {status} {data[-300:]!r}"
    if not job.flawless or status != 200 or job.path == "/v1/embeddings":
        return None
    if job.payload.get("stream"):
        # On a slow machine even a healthy backend may be late: then a stream ends with an error
        # event, as an answer that is not streamed has another status than 200.
        last = data.rstrip().rpartition(b"\n")[2]
        cut = b"data: [DONE]" not in data and not last.startswith(b'data: {"error"')
        return f"{job.path}: a stream without its end: {data[-300:]!r}" if cut else None
    choice = json.loads(data)["choices"][0]
    text = (choice.get("message") or {}).get("content") or choice.get("text") or ""
    numbers = answer_numbers(text)
    whole = numbers == list(range(1, len(numbers) + 1))
    return None if whole else f"{job.path}: an answer with gaps: {data[:300]!r}"


def process(pid: int) -> dict[str, int]:
    """What a worker process uses, as /proc tells it."""
    folder = Path(f"/proc/{pid}")
    status = (folder / "status").read_text()
    threads, rss_kb = (
        int(re.findall(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[0])
        for name in ("Threads", "VmRSS")
    )
    descriptors = len(list((folder / "fd").iterdir()))
    return {"descriptors": descriptors, "threads": threads, "MB": rss_kb // 1024}


def load(port: int, requests: int, concurrency: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Send that many requests from that many clients: what came of them, and what is wrong."""
    endpoint = Endpoint("127.0.0.1", port)
    clients = [Client(endpoint, seed * 10_000 + number) for number in range(concurrency)]
    with ThreadPoolExecutor(concurrency) as pool:
        for number, client in enumerate(clients):
            pool.submit(client.run, (requests + number) // concurrency)
    seen = sum((client.seen for client in clients), Counter[str]())
    return seen, [text for client in clients for text in client.wrong]


def settled(router: RouterProcess, simulator: Simulator, records: int) -> list[str]:
    """What is still in use, or missing; [] as soon as nothing is."""
    until = time.monotonic() + SETTLE_S
    while True:
        left: dict[str, float] = {
            f"{what} of {name}": backend[what]
            for name, backend in router.stats()["backends"].items()
            for what in ("in_use", "waiting")
        }
        left["exchanges in flight"] = router.metric("airouter_in_flight")
        left |= {f"running at {role}": simulator.stats(role)["running"] for role in ROLES}
        left["missing records"] = records - router.metric("airouter_requests_total")
        problems = [f"{what}: {count:g}" for what, count in left.items() if count]
        if not problems or time.monotonic() > until:
            return problems
        time.sleep(0.1)


def grown(before: dict[str, int], after: dict[str, int], driver: str) -> list[str]:
    """What a worker uses more of than it may.

    Args:
        before, after: of the first requests and of all, as `process` tells it.
    """
    found = []
    # Idle connections to the backends are kept: at most one per client.
    if after["descriptors"] > before["descriptors"] + before["clients"]:
        found.append(f"descriptors grew: {before} → {after}")
    serving = THREADS if driver == "thread" else shipped_threads() or THREADS
    if after["threads"] > serving + OWN_THREADS:
        found.append(f"{after['threads']} threads, more than it may have")
    return found


def memory(settled_mb: float | None, last_mb: float) -> tuple[str, list[str]]:
    """What is said of the growth, and what of it is a violation.

    Args:
        settled_mb: after the first 10,000 requests; None: there were no more than those.
    """
    if settled_mb is None:
        return f"memory: not judged, as only what follows {SETTLED_AFTER:,} requests counts", []
    growth = last_mb / settled_mb - 1
    said = (
        f"memory: {settled_mb:.1f} MB after {SETTLED_AFTER:,} requests, {last_mb:.1f} MB at the "
        f"end: {growth:+.1%}, allowed {GROWTH:+.0%}"
    )
    return said, [said] if growth > GROWTH else []


def stages(requests: int, concurrency: int) -> list[int]:
    """How many requests are sent before each look: the warm-up, those until memory has settled,
    the rest."""
    warm_up = min(max(concurrency * 2, requests // 20), requests)
    middle = max(0, min(requests, SETTLED_AFTER) - warm_up)
    return [warm_up, middle, max(0, requests - warm_up - middle)]


def soak(
    requests: int, concurrency: int, seed: int, folder: Path, driver: str = "loop"
) -> list[str]:
    """Run it; prints a summary and returns the violations."""
    violations, wrong, seen = list[str](), list[str](), Counter[str]()
    looks: list[dict[str, int]] = []
    rss: list[float] = []
    with Simulator(profile="fast", roles=ROLES, models={"xai": CLOUD_MODEL}) as simulator:
        urls = {role: simulator.url(role) for role in ROLES}
        with RouterProcess(
            folder, backends=urls, config=configuration(concurrency), env=DRIVERS[driver]
        ) as router:
            (worker,) = router.workers
            started = time.monotonic()
            for stage, count in enumerate(stages(requests, concurrency)):
                if count:
                    more, more_wrong = load(router.port, count, concurrency, seed + stage)
                    seen += more
                    wrong += more_wrong
                    violations += settled(router, simulator, seen.total())
                looks.append({**process(worker), "clients": concurrency})
                rss.append(rss_mb([worker]) or 0.0)
            seconds = time.monotonic() - started
            violations += [f"wrong answer: {text}" for text in wrong[:10]]
            violations += grown(looks[0], looks[-1], driver)
            said, too_much = memory(rss[1] if requests > SETTLED_AFTER else None, rss[-1])
            violations += too_much
            if worker not in router.workers:
                violations.append("the worker process died")
            routes = router.stats()["routes"]
    printed, logged = router.printed().splitlines(), router.log()
    bad = [f"printed: {line}" for line in printed if "Traceback" in line or "Error" in line][:5]
    bad += [f"logged: {line}" for line in logged if " - ERROR - " in line][:5]
    print(f"{requests} requests from {concurrency} clients in {seconds:.1f} s, driver: {driver}")
    for name, counts in {
        "seen": seen,
        **{r: routes[r]["outcomes"] for r in sorted(routes)},
    }.items():
        told = ", ".join(f"{what} {count}" for what, count in sorted(counts.items()))
        print(f"{name:>12}: {told}")
    print(f"before:  {looks[0]}\nafter:   {looks[-1]}\n{said}")
    return violations + bad


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=(__doc__ or "").partition("\n")[0]
    )
    for name, default, about in (
        ("--requests", 20_000, "how many in all (default 20,000; memory is judged after 10,000)"),
        ("--concurrency", 32, "clients at a time (default 32)"),
        ("--seed", 1, "the same seed draws the same requests"),
    ):
        parser.add_argument(name, type=int, default=default, metavar="N", help=about)
    parser.add_argument(
        "--driver", choices=(*DRIVERS, "both"), default="loop",
        help="the worker as shipped (loop), gunicorn's gthread worker (thread), or one after the "
        "other",
    )  # fmt: skip
    args = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what was started is stopped
    violations: list[str] = []
    try:
        for driver in tuple(DRIVERS) if args.driver == "both" else (args.driver,):
            with tempfile.TemporaryDirectory(prefix="ai-router-soak-") as folder:
                found = soak(args.requests, args.concurrency, args.seed, Path(folder), driver)
            violations += [f"{driver}: {one}" for one in found]
    except KeyboardInterrupt:
        print("Interrupted: nothing can be said about leaks.")
        return 130
    for violation in violations:
        print(f"VIOLATION: {violation}")
    print("FAILED" if violations else "nothing leaked, one record each")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
