"""Asks all backends at once whether they are up, within one limit. Concurrent callers share one
round of requests."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from airouter.domain.clock import Clock
from airouter.domain.errors import ConnectFailed, UpstreamTimeout
from airouter.domain.types import HttpRequest, Limits
from airouter.upstream.backend import Backend
from airouter.upstream.client import open_call
from airouter.upstream.read_all import wait_for
from airouter.upstream.transport.call import Call

_MAX_BODY = 16_000_000  # bytes of an answer to a probe; a list of models has thousands


@dataclass(frozen=True, slots=True)
class Health:
    """One backend's answer: `ms` from request to answer, `problem` a sentence when it is not
    healthy."""

    healthy: bool
    ms: float
    problem: str | None = None
    refused: bool = False  # nothing listens there
    body: bytes | None = None
    silent: bool = False  # it did not answer in time: busy or hung, but not known to be down


class _Round:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.result: dict[str, Health] = {}


class HealthChecker:
    """Mutable state: the round of asking that is under way, if any; guarded by one lock."""

    def __init__(self, backends: Mapping[str, Backend], clock: Clock, limit: float) -> None:
        self._backends = backends
        self._clock = clock
        self._limit = limit
        self._lock = threading.Lock()
        self._round: _Round | None = None

    def check(self) -> dict[str, Health]:
        """Every backend's health, in at most `limit` seconds however many hang."""
        with self._lock:
            mine = self._round is None
            round_ = self._round = self._round or _Round()
        if not mine:
            round_.done.wait(self._limit + 0.1)
            return dict(round_.result)
        try:
            round_.result = ask_all(self._backends, self._clock, self._limit)
        finally:
            with self._lock:
                self._round = None
            round_.done.set()
        return dict(round_.result)


def ask_all(backends: Mapping[str, Backend], clock: Clock, limit: float) -> dict[str, Health]:
    """One health request to each backend, side by side; a limit on the whole, not on each read.

    Learns models that are not known yet. Whatever one backend's settings or answer lead to, the
    others are still asked and read.
    """
    started = clock.monotonic()
    until = started + limit
    requests: dict[str, HttpRequest] = {}
    calls: dict[str, Call] = {}
    results: dict[str, Health] = {}
    try:
        for name, backend in backends.items():
            left = max(0.05, until - clock.monotonic())
            try:
                requests[name] = backend.probe_request()
                call = open_call(backend, requests[name], Limits(left, left, left, left))
                calls[name] = call.start()
            except Exception as error:
                results[name] = _surprise(name, error)
        wait_for(calls.values(), clock, until, _MAX_BODY)
        for name, call in calls.items():
            try:
                results[name] = health = _read(call, started)
                _learn(backends[name], requests[name], call.status, health)
            except Exception as error:
                results[name] = _surprise(name, error)
        return results
    finally:
        for call in calls.values():
            call.close()


def _learn(backend: Backend, asked: HttpRequest, status: int, health: Health) -> None:
    """What its list of models says, if that is what was asked for."""
    backend.seen_up = backend.seen_up or health.healthy
    is_list = asked.path == backend.models_request().path
    if is_list and (health.healthy or 400 <= status < 500):
        backend.learn(health.body or b"")


def _surprise(name: str, error: Exception) -> Health:
    logging.getLogger(__name__).error("health of backend %r", name, exc_info=error)
    return Health(False, 0.0, "its health cannot be determined; see app.log")


def _read(call: Call, started: float) -> Health:
    elapsed = ((call.ended_at or call.clock.monotonic()) - started) * 1000
    if call.error is not None:
        return Health(
            False,
            elapsed,
            call.error.message,
            refused=isinstance(call.error, ConnectFailed),
            silent=isinstance(call.error, UpstreamTimeout),
        )
    if call.buffered > _MAX_BODY:
        return Health(False, elapsed, "an answer of more than 16 MB")
    if not call.complete:
        return Health(False, elapsed, "no answer in time", silent=True)
    if call.status != 200:
        return Health(False, elapsed, f"status {call.status}")
    return Health(True, elapsed, body=call.take())
