"""Cost over history: is a router that has served for weeks, or a conversation that goes on for
hours, slower than a fresh one?"""

import argparse
import random
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from bench import prompts
from bench.client import Connection, Endpoint
from bench.crowd import send
from bench.prompts import body
from bench.result import NOTHING, Result, Sampler, ms, number, spread, without_collector
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
_FILL_RATE, _FILL_S = 200.0, 60.0
MAY_BE_SLOWER, MAY_ADD_S = 1.10, 0.015
MODEL = "primary-model"
COLUMNS = ("", "n", "p50 ms", "p95 ms", "p99 ms", "added p50 ms", "p50 : empty", "promised", "kept")
EMPTY, STORED, DECIDED = "empty", "sessions stored", "decisions cached"
LONG, LONG_DIRECT = "200 turns, 1 MB", "200 turns, 1 MB: direct"


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """Three routers before one backend, asked in turn: a fresh one, one with its folder full, one
    with its cache full."""
    sessions, decisions = (QUICK_SESSIONS, QUICK_DECISIONS) if args.quick else (SESSIONS, DECISIONS)
    turns = args.samples or (QUICK_TURNS if args.quick else TURNS_OF_MEASUREMENT)
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
        sampler.row(f"making {sessions:,} session files")
        store(folder / STORED.split()[0] / "logs" / "sessions", sessions)
        ends = {}
        for name in (EMPTY, STORED, DECIDED):
            router = router_before(simulator, folder / name.split()[0], config, slots=256)
            ends[name] = Endpoint.of(stack.enter_context(router).url)
        sampler.row(f"{decisions:,} decisions for the cache")
        asked = "Please explain in a few words how {} is written in Roman numerals.".format
        fill = (body(asked(i), "ai-router", max_tokens=1) for i in range(decisions - 1))
        wires = [ends[DECIDED].chat(one) for one in fill]
        answers = send(ends[DECIDED], wires, _FILL_S, _FILL_RATE)
        filled = sum(answer.status == 200 for answer in answers)
        direct, conversation = Endpoint.of(simulator.url("primary")), long_conversation()
        requests: dict[str, tuple[Endpoint, dict[str, Any]]] = {
            "direct": (direct, body(prompts.short(0), MODEL)),
            **{name: (end, body(prompts.short(0), "ai-router")) for name, end in ends.items()},
            LONG_DIRECT: (direct, {"model": MODEL, **conversation}),
            LONG: (ends[EMPTY], {"model": "ai-router", **conversation}),
        }
        lines = {
            name: (stack.enter_context(Connection(end)), end.chat(what))
            for name, (end, what) in requests.items()
        }
        taken: dict[str, list[float]] = {name: [] for name in lines}
        tiers = _measure(lines, taken, turns, sampler)
    result = table(taken, sessions, filled + 1)
    result.notes += [
        f"decided by: {', '.join(f'{name}: {tier}' for name, tier in tiers.items())}",
        "asked in turn, in random order",
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
        (folder / f"{stamp}_{i:08x}.json").write_bytes(record)


def long_conversation(turns: int = TURNS, size: int = CONVERSATION_BYTES) -> dict[str, Any]:
    """A conversation of so many turns and about so many bytes; the last turn is the user's."""
    sentence = "The tide came in at seven and the boats were made fast along the wall. "
    text = (sentence * (size // turns // len(sentence) + 1))[: size // turns - 40]
    messages = [
        {"role": "user" if i % 2 else "assistant", "content": f"{i}. {text}"}
        for i in range(turns - 1)
    ]
    return {"messages": [*messages, {"role": "user", "content": prompts.short(0)}]}


def _measure(
    lines: Mapping[str, tuple[Connection, bytes]],
    taken: Mapping[str, list[float]],
    turns: int,
    sampler: Sampler,
) -> dict[str, str]:
    """In each turn every line once, in random order, after some turns that do not count; adds the
    seconds to `taken`. Which tier decided, by line."""
    tiers: dict[str, str] = {}
    order, warm_up = random.Random(7), max(5, turns // 20)

    def turn(i: int) -> None:
        for name in order.sample(list(lines), len(lines)):
            connection, wire = lines[name]
            reply = connection.checked(wire)
            # What a router does after its answer shall not slow the next one down.
            time.sleep(min(_PAUSE_S, reply.seconds))
            if i >= warm_up:
                taken[name].append(reply.seconds)
                tiers[name] = reply.headers.get("x-router-tier", "no router")

    with without_collector():
        sampler.collect(turn, warm_up + turns, budget=BUDGET_S, name="asking in turn")
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
