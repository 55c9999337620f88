"""Asks a router for its liveness many times a second, from a process of its own, so that the client
that makes the load beside it does not hold it up."""

import select
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from typing import Self

import orjson

from bench.client import Connection, Endpoint
from simulator.processes import die_with_parent, end

_EVERY_S = 0.025  # between an answer and the next question
_PATIENCE_S = 5.0  # for each


class Alive(AbstractContextManager["Alive"]):
    """While its block runs, a process asks forty times a second, on a new connection each time, as
    a load balancer does. Afterwards `seconds` has the time of each answer, and `failures` counts
    those that did not come within five seconds, or not with status 200."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.seconds: list[float] = []
        self.failures = 0
        self._url = endpoint.url

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.alive", self._url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it has asked for the first time
        return self

    def __exit__(self, *_: object) -> None:
        try:
            told, _errors = self._process.communicate(timeout=4 * _PATIENCE_S)  # closes its input
            self.seconds, self.failures = orjson.loads(told or b"[[], 0]")
        finally:
            end(self._process)


def _ask(endpoint: Endpoint) -> tuple[list[float], int]:
    """Until the input ends."""
    wire = endpoint.wire("/health/liveness", None, close=True)
    seconds, failures = list[float](), 0
    while not select.select([sys.stdin], [], [], _EVERY_S)[0]:
        begun = time.perf_counter()
        with Connection(endpoint, timeout=_PATIENCE_S) as connection:
            answer = connection.ask(wire)
        seconds.append(time.perf_counter() - begun)
        failures += answer.status != 200
        if len(seconds) == 1:
            print("asking", flush=True)
    return seconds, failures


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(_ask(Endpoint.of(sys.argv[1]))))
