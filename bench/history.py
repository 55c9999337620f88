"""Cost over history: is a router that has served for weeks, or a conversation that goes on for
hours, slower than a fresh one?"""

import argparse
import os
import random
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from bench import prompts
from bench.client import Connection, Endpoint, Failure
from bench.prompts import body
from bench.result import NOTHING, Result, ms, number, spread
from bench.sampling import Sampler, without_collector
from bench.stand import ROLES, router_before, scratch_folder
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
MODEL = "primary-model"
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
    """Three routers before one backend, asked in turn: a fresh one, one with its folder full, one
    with its cache full."""
    sessions, decisions = (QUICK_SESSIONS, QUICK_DECISIONS) if args.quick else (SESSIONS, DECISIONS)
    turns = args.samples or (QUICK_TURNS if args.quick else TURNS_OF_MEASUREMENT)
    asking = 3 if args.quick else BUDGET_S
    sampler.meter.start("history", 10 + sessions / 20_000 + decisions / 300 + asking)
    # At its limits: the next session file makes the oldest go, the next decision as well.
    config = {
        "cascade": {"tiers": ["rules", "cache", "reasoning"], "cache": {"size": decisions}},
        "logging": {"max_count": sessions},
        "speculation": {"enabled": False},
    }
    with ExitStack() as stack:
        folder = scratch_folder(stack, "history")
        simulator = stack.enter_context(Simulator(profile="fast", roles=ROLES))
        simulator.configure("primary", max_model_len=4_000_000)  # the long conversation shall fit
        sampler.meter.row(f"making {sessions:,} session files", sessions / 20_000 + 1)
        store(folder / STORED.split()[0] / "logs" / "sessions", sessions)
        ends = {}
        for name in (EMPTY, STORED, DECIDED):
            router = router_before(simulator, folder / name.split()[0], config, slots=256)
            ends[name] = Endpoint.of(stack.enter_context(router).url)
        sampler.meter.row(f"{decisions:,} decisions for the cache", decisions / 300)
        filled = _fill(ends[DECIDED], decisions, sampler)
        direct, conversation = Endpoint.of(simulator.url("primary")), long_conversation()
        requests: dict[str, tuple[Endpoint, dict[str, Any]]] = {
            "direct": (direct, body(prompts.short(0), MODEL)),
            **{name: (end, body(prompts.short(0), "ai-router")) for name, end in ends.items()},
            LONG_DIRECT: (direct, {"model": MODEL, **conversation}),
            LONG: (ends[EMPTY], {"model": "ai-router", **conversation}),
        }
        lines = [
            _Line(name, stack.enter_context(Connection(end)), end.chat(what), [])
            for name, (end, what) in requests.items()
        ]
        sampler.meter.row("asking in turn", asking)
        tiers = _measure(lines, turns, sampler)
    taken = {line.name: line.seconds for line in lines}
    result = table({name: taken[name] for name in requests}, sessions, filled + 1)
    by = ", ".join(f"{name}: {tier}" for name, tier in tiers.items())
    result.notes += [
        f"decided by: {by}; asked in turn, in random order",
        "added: less the median of the same request to the backend itself",
    ]
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


def _fill(
    endpoint: Endpoint, count: int, sampler: Sampler, threads: int = 8, limit_s: float = 120.0
) -> int:
    """Ask for so many decisions; how many were made. Bounded in time."""
    until = time.monotonic() + limit_s

    def ask(which: int) -> int:
        done, text = 0, "Please explain in a few words how {} is written in Roman numerals."
        with Connection(endpoint) as connection:
            for i in range(which, count - 1, threads):
                if time.monotonic() > until or sampler.interrupted:
                    break
                with suppress(Failure):
                    connection.chat(body(text.format(i), "ai-router", max_tokens=1))
                    done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        asked = [pool.submit(ask, which) for which in range(threads)]
        with sampler.interruptible():
            wait(asked)
        return sum(one.result() for one in asked)


def _measure(lines: list[_Line], turns: int, sampler: Sampler) -> dict[str, str]:
    """In each turn every line once, in an order of its own, after some turns that do not count.
    Which tier decided, by line."""
    tiers: dict[str, str] = {}
    begun, order, warm_up = time.perf_counter(), random.Random(7), max(5, turns // 20)
    with without_collector(), sampler.interruptible():
        for turn in range(-warm_up, turns):
            spent = time.perf_counter() - begun
            if sampler.interrupted or (turn > 5 and spent > BUDGET_S):
                break
            sampler.meter.at(max(spent / BUDGET_S, turn / turns))
            order.shuffle(lines)
            for line in lines:
                reply = line.connection.checked(line.wire)
                # What a router does after its answer shall not slow the next one down.
                time.sleep(min(_PAUSE_S, reply.seconds))
                if turn >= 0:
                    line.seconds.append(reply.seconds)
                    if "x-router-tier" in reply.headers:
                        tiers[line.name] = reply.headers["x-router-tier"]
    return tiers


def table(seconds: Mapping[str, list[float]], sessions: int, decisions: int) -> Result:
    """Each line beside the fresh router, and whether the promises are kept."""
    result = Result("history", "Cost over history", COLUMNS)
    middle = {name: percentile(values, 0.5) for name, values in seconds.items() if values}
    shown = {STORED: f"{sessions:,} sessions stored", DECIDED: f"{decisions:,} decisions cached"}
    for name, p50 in middle.items():
        base = middle.get(LONG_DIRECT if name == LONG else "direct")
        added = None if base is None or name in ("direct", LONG_DIRECT) else p50 - base
        ratio = p50 / middle[EMPTY] if name in shown and EMPTY in middle else None
        promised, kept = NOTHING, None
        if ratio is not None:
            promised, kept = f"≤ {MAY_BE_SLOWER:g} of empty", ratio <= MAY_BE_SLOWER
        elif name == LONG and added is not None:
            promised, kept = f"≤ {MAY_ADD_S * 1000:g} ms added", added <= MAY_ADD_S
        found, verdict = summarise(seconds[name]), {None: NOTHING, True: "yes", False: "NO"}[kept]
        cells = (str(len(seconds[name])), *spread(found), ms(added), number(ratio, 3), promised)
        result.add(
            (shown.get(name, name), *cells, verdict),
            total_s=found, added_p50_s=added, to_empty=ratio, kept=kept,
        )  # fmt: skip
    return result
