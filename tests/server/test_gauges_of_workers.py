"""Several workers' gauges: all of them report from the start, and a dead one's values go with
it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable

import requests
from harness import body, eventually, steer

from bench.router_process import RouterProcess

STREAMS = 12


def test_gauges_are_of_the_living_workers(make_router: Callable[..., RouterProcess]) -> None:
    """Before any request has ended, and after one worker was killed."""
    router = make_router(
        config={
            "server": {"workers": 2},
            "backends": {"primary": {"slots": 2 * STREAMS, "model": "primary-model"}},
            "cascade": {"tiers": ["rules"]},
        },
        backends=("primary",),
        warm=False,
    )
    text = steer("Hello", primary={"tokens": 2000, "tps": 20})
    ended = threading.Semaphore(0)

    def stream() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.post(
                f"{router.url}/v1/chat/completions",
                json=body(text, model="ai-router/primary", stream=True),
                timeout=120,
            )
        ended.release()

    for _ in range(STREAMS):
        threading.Thread(target=stream, daemon=True).start()

    def gauge(name: str) -> float:
        lines = requests.get(f"{router.url}/metrics", timeout=10).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"airouter_{name}"))

    eventually(lambda: gauge("in_flight") == STREAMS, 20)
    eventually(lambda: gauge("backend_in_use") == STREAMS, 20)
    os.kill(router.workers[0], signal.SIGKILL)
    eventually(lambda: len(router.workers) == 2, 20)

    def lost() -> int:
        return ended._value

    eventually(lambda: gauge("in_flight") == gauge("backend_in_use") == STREAMS - lost(), 20)
    assert gauge("in_flight") == STREAMS - lost()
