"""Cost over history: is a router that has served for weeks, or a conversation that goes on for hours, slower than a fresh one?"""

import argparse
import gc
import os
import random
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from bench import prompts
from bench.client import CHAT, Connection, Endpoint, Failure
from bench.prompts import body
from bench.result import NOTHING, Result, ms, spread
from bench.router_process import RouterProcess
from bench.sampling import Sampler
from bench.stand import XAI_MODEL, scratch
from bench.stats import percentile, summarise
from session_logger import STAMP
from simulator.testing import Simulator

SESSIONS, QUICK_SESSIONS = 100_000, 2_000
DECISIONS, QUICK_DECISIONS = 10_000, 100
TURNS, CONVERSATION_BYTES = 200, 1_000_000
TURNS_OF_MEASUREMENT, QUICK_TURNS = 1500, 30
BUDGET_S = 25.0
_PAUSE_S = 0.010  # at most
MAY_BE_SLOWER, MAY_ADD_S = 1.10, 0.015
ROLES = ("router", "primary", "xai")
COLUMNS = ("", "n", "p50 ms", "p95 ms", "p99 ms", "added p50 ms", "p50 : empty", "promised", "kept")
EMPTY, STORED, DECIDED, LONG, LONG_DIRECT = (
    "empty",
    "sessions stored",
    "decisions cached",
    "200 turns, 1 MB",
    "200 turns, 1 MB: direct",
)


@dataclass(slots=True)
class _Line:
    """One way to ask, and how long it took."""

    name: str
    connection: Connection
    wire: bytes
    seconds: list[float]


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Three routers before one backend, asked in turn: a fresh one, one with its folder full, one with its cache full."""
    sessions, decisions = (QUICK_SESSIONS, QUICK_DECISIONS) if args.quick else (SESSIONS, DECISIONS)
    turns = args.samples or (QUICK_TURNS if args.quick else TURNS_OF_MEASUREMENT)
    sampler.meter.start(
        "history", 10 + sessions / 20_000 + decisions / 300 + (3 if args.quick else BUDGET_S)
    )
    with ExitStack() as stack:
        prefix = "ai-router-history-"
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix=prefix, dir=scratch(), ignore_cleanup_errors=True
                )
            )
        )
        simulator = stack.enter_context(Simulator(profile="fast", roles=ROLES))
        simulator.configure("primary", max_model_len=4_000_000)  # the long conversation shall fit
        sampler.meter.row(f"making {sessions:,} session files", sessions / 20_000 + 1)
        store(folder / STORED.split()[0] / "logs" / "sessions", sessions)
        routers = {}
        for name in (EMPTY, STORED, DECIDED):
            routers[name] = stack.enter_context(
                _router(folder / name.split()[0], simulator, sessions, decisions)
            )
        model = "primary-model"
        ends = {name: Endpoint.of(router.url) for name, router in routers.items()}
        sampler.meter.row(f"{decisions:,} decisions for the cache", decisions / 300)
        filled = _fill(ends[DECIDED], decisions, sampler)
        direct = Endpoint.of(simulator.url("primary"))
        conversation = long_conversation()
        requests: dict[str, tuple[Endpoint, dict[str, Any]]] = {
            "direct": (direct, body(prompts.short(0), model)),
            **{name: (end, body(prompts.short(0), "ai-router")) for name, end in ends.items()},
            LONG_DIRECT: (direct, {"model": model, **conversation}),
            LONG: (ends[EMPTY], {"model": "ai-router", **conversation}),
        }
        lines = [
            _Line(name, stack.enter_context(Connection(end)), end.wire(CHAT, what), [])
            for name, (end, what) in requests.items()
        ]
        sampler.meter.row("asking in turn", 3 if args.quick else BUDGET_S)
        tiers = _measure(lines, turns, sampler)
    taken = {line.name: line.seconds for line in lines}
    result = table({name: taken[name] for name in requests}, sessions, filled + 1)
    result.notes.append(
        f"decided by: {', '.join(f'{name}: {tier}' for name, tier in tiers.items())}; asked in turn, in random order"
    )
    result.notes.append("added: less the median of the same request to the backend itself")
    return [result] if result.rows else []


def store(folder: Path, count: int) -> None:
    """Session files as a router leaves them, one every half second until now."""
    folder.mkdir(parents=True)
    record = orjson.dumps(
        {"session": "before", "route": "primary", "text": "x" * 600}, option=orjson.OPT_INDENT_2
    )
    now = datetime.now().astimezone()
    for i in range(count):
        stamp = (now - timedelta(seconds=(count - i) / 2)).strftime(STAMP)
        file = os.open(
            folder / f"{stamp}_{i:08x}.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
        )
        os.write(file, record)
        os.close(file)


def long_conversation(turns: int = TURNS, size: int = CONVERSATION_BYTES) -> dict[str, Any]:
    """A conversation of so many turns and about so many bytes; the last turn is the user's."""
    sentence = "The tide came in at seven and the boats were made fast along the wall. "
    text = (sentence * (size // turns // len(sentence) + 1))[: size // turns - 40]
    messages = [
        {"role": "user" if i % 2 else "assistant", "content": f"{i}. {text}"}
        for i in range(turns - 1)
    ]
    return {"messages": [*messages, {"role": "user", "content": prompts.short(0)}]}


def _router(folder: Path, simulator: Simulator, sessions: int, decisions: int) -> RouterProcess:
    """At its limits: the next session file makes the oldest go, the next decision as well."""
    config = {
        "backends": {role: {"slots": 256} for role in ROLES},
        "cascade": {"tiers": ["rules", "cache", "reasoning"], "cache": {"size": decisions}},
        "logging": {"max_count": sessions},
        "speculation": {"enabled": False},
    }
    return RouterProcess(
        folder,
        backends={role: simulator.url(role) for role in ROLES},
        config=config,
        env={"XAI_MODEL": XAI_MODEL},
    )


def _fill(
    endpoint: Endpoint, count: int, sampler: Sampler, threads: int = 8, limit_s: float = 120.0
) -> int:
    """Ask for so many decisions; how many were made. Bounded in time."""
    done = [0] * threads
    until = time.monotonic() + limit_s

    def ask(which: int) -> None:
        with Connection(endpoint) as connection:
            for i in range(which, count - 1, threads):
                if time.monotonic() > until or sampler.interrupted:
                    return
                try:
                    connection.chat(
                        body(
                            f"Please explain in a few words how {i} is written in Roman numerals.",
                            "ai-router",
                            max_tokens=1,
                        )
                    )
                    done[which] += 1
                except Failure:
                    continue

    workers = [threading.Thread(target=ask, args=(which,), daemon=True) for which in range(threads)]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            sampler.meter.at(sum(done) / count)
            time.sleep(0.1)
    except KeyboardInterrupt:
        sampler.interrupted = True
    for worker in workers:
        worker.join(10)
    return sum(done)


def _measure(lines: list[_Line], turns: int, sampler: Sampler) -> dict[str, str]:
    """In each turn every line once, in an order of its own, after some turns that do not count. Which tier decided, by line."""
    tiers: dict[str, str] = {}
    begun, order, warm_up = time.perf_counter(), random.Random(7), max(5, turns // 20)
    gc.disable()
    try:
        for turn in range(-warm_up, turns):
            spent = time.perf_counter() - begun
            if sampler.interrupted or (turn > 5 and spent > BUDGET_S):
                break
            sampler.meter.at(max(spent / BUDGET_S, turn / turns))
            order.shuffle(lines)
            for line in lines:
                reply = line.connection.checked(line.wire)
                time.sleep(
                    min(_PAUSE_S, reply.seconds)
                )  # what a router does after its answer shall not slow the next one down
                if turn >= 0:
                    line.seconds.append(reply.seconds)
                    if "x-router-tier" in reply.headers:
                        tiers[line.name] = reply.headers["x-router-tier"]
    except KeyboardInterrupt:
        sampler.interrupted = True
    finally:
        gc.enable()
    return tiers


def table(seconds: Mapping[str, list[float]], sessions: int, decisions: int) -> Result:
    """Each line beside the fresh router, and whether the promises are kept."""
    result = Result("history", "Cost over history", COLUMNS)
    middle = {name: percentile(sorted(values), 0.5) for name, values in seconds.items() if values}
    shown = {STORED: f"{sessions:,} sessions stored", DECIDED: f"{decisions:,} decisions cached"}
    for name, values in seconds.items():
        found = summarise(values)
        if found is None:
            continue
        base = (
            None
            if name in ("direct", LONG_DIRECT)
            else middle.get(LONG_DIRECT if name == LONG else "direct")
        )
        added = None if base is None else found.p50 - base
        ratio = found.p50 / middle[EMPTY] if name in (STORED, DECIDED) and EMPTY in middle else None
        promised, kept = NOTHING, None
        if ratio is not None:
            promised, kept = f"≤ {MAY_BE_SLOWER:g} of empty", ratio <= MAY_BE_SLOWER
        elif name == LONG and added is not None:
            promised, kept = f"≤ {MAY_ADD_S * 1000:g} ms added", added <= MAY_ADD_S
        cells = (
            ms(added),
            NOTHING if ratio is None else f"{ratio:.3f}",
            promised,
            NOTHING if kept is None else "yes" if kept else "NO",
        )
        line = (shown.get(name, name), str(found.n), *spread(found), *cells)
        result.add(line, total_s=found, added_p50_s=added, to_empty=ratio, kept=kept)
    return result
