"""What an operator does while clients are served: reloads, half of them of a broken file, and a
stop under many streams."""

import argparse
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import yaml

from bench.client import Answer
from bench.result import Promises, Result, Sampler
from bench.router_process import RouterProcess
from bench.stand import Chain, Tier, chain
from simulator.testing import answer_numbers

STREAMS, QUICK_STREAMS = 100, 10
RELOADS, QUICK_RELOADS = 50, 4
CLIENTS = 4
WORDS, WORDS_PER_S = 60, 20  # a stream of about 3 s
LIMIT_S = 60.0
TIERS = (Tier("primary", "primary", "the-model", {"slots": 256}, {"slots": 256}),)
_SLOWLY = f'[[sim {{"tokens": {WORDS}, "tps": {WORDS_PER_S}}}]]'


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """`--samples`: streams under way at the stop."""
    streams = args.samples or (QUICK_STREAMS if args.quick else STREAMS)
    reloads = QUICK_RELOADS if args.quick else RELOADS
    promises = Promises("operations", "Reload and stop while clients are served")
    with chain(TIERS, {}) as where, sampler.interruptible():
        sampler.row("reloads, then a stop")
        with promises.answered():
            _reload(where, reloads, promises)
            _stop(where, streams, promises)
    return [promises.result] if promises.result.rows else []


def _reload(where: Chain, reloads: int, promises: Promises) -> None:
    file = where.router.folder / "router.yaml"
    good = yaml.safe_load(file.read_text(encoding="utf-8"))
    over = Event()

    def ask_until_over() -> list[Answer]:
        answers = []
        while not over.is_set():
            answers.append(where.ask("Hello.", limit=LIMIT_S))
        return answers

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(ask_until_over) for _ in range(CLIENTS)]
        try:
            kept = [_reload_once(where.router, file, good, number) for number in range(reloads)]
        finally:
            over.set()
        answers = [answer for client in clients for answer in client.result()]
    failed = sum(answer.status != 200 for answer in answers)
    promises.check(
        f"{reloads} reloads, half of them of a broken file: failed requests", "0",
        f"{failed} of {len(answers)}",
        not failed and len(answers) > reloads,
    )  # fmt: skip
    promises.check(
        "a broken file changes nothing and says why; a good one is taken up", "all",
        f"{sum(kept)} of {len(kept)}", all(kept)
    )  # fmt: skip


def _reload_once(router: RouterProcess, file: Path, good: dict[str, Any], number: int) -> bool:
    broken, slots = number % 2 == 1, 200 + number // 2
    good["backends"]["primary"]["slots"] = slots
    fresh = file.with_suffix(".fresh")
    fresh.write_text("backends: [" if broken else yaml.safe_dump(good), encoding="utf-8")
    fresh.replace(file)
    answer = router.post("/admin/reload")
    found = router.stats()["backends"]["primary"]["slots"]
    time.sleep(0.05)
    told = answer.status_code == 400 and "Nothing was changed" in answer.text
    return bool(found == slots and (told if broken else answer.status_code == 200))


def _stop(where: Chain, streams: int, promises: Promises) -> None:
    router = where.router
    with ThreadPoolExecutor(streams) as pool:
        asked = [
            pool.submit(where.ask, f"Stream {i} {_SLOWLY}", limit=LIMIT_S, stream=True)
            for i in range(streams)
        ]
        until = time.monotonic() + 20
        while (under_way := where.slots_in_use()) < streams and time.monotonic() < until:
            time.sleep(0.05)
        drained = router.post("/admin/drain").status_code
        ready = router.get("/health/readiness").status_code
        os.kill(router.pid, signal.SIGTERM)
        answers = [future.result() for future in asked]
    status = router.stop()
    whole = sum(
        a.status == 200
        and a.whole
        and a.events()[-1:] == ["[DONE]"]
        and bool(answer_numbers(a.text))
        for a in answers
    )
    files = (json.loads(path.read_bytes()) for path in (router.log_dir / "sessions").glob("*.json"))
    written = sum(record["stream"] and record["outcome"] == "ok" for record in files)
    promises.check(
        "drain: readiness while requests are still served", "503", f"{ready} (drain {drained})",
        ready == 503
    )  # fmt: skip
    promises.check(
        f"SIGTERM with {under_way} streams under way: complete", str(streams), str(whole),
        whole == streams == under_way
    )  # fmt: skip
    promises.check("exit status", "0", str(status), status == 0)
    promises.count("records of them", written, streams)
