"""One client request from accept to close: the owner of everything that is taken for it, released once, whatever happens."""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any

from airouter.domain.clock import Clock
from airouter.domain.errors import ClientGone, DeadlineExceeded, PatienceOver, RouterError
from airouter.domain.ports import Sink
from airouter.domain.types import immutable
from airouter.flow.poller import Poller
from airouter.telemetry.record import RecordBuilder

INFINITY = float("inf")
_LOOK = (
    5.0  # seconds at most between two looks at the limits, one of which a shutdown may have moved
)


class Shutdown:
    """When requests under way must end: never, until the process is told to stop."""

    def __init__(self) -> None:
        self.at = INFINITY


class Keepalive:
    """What a waiting flow yields when the client has heard nothing for a while."""


KEEPALIVE = Keepalive()
Waiting = Generator[Keepalive, None, None]


@immutable
class Patience:
    """When waiting may be given up: from the monotonic time `at` on, once `finished()`."""

    at: float
    finished: Callable[[], bool]


class Exchange:
    """Made and closed by the WSGI edge; inner code only adds to it (`hold`) and says how it ended (`settle`).

    It is used by the one thread that serves the request; `close()` alone may come from elsewhere and is locked.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        client: socket.socket | None,
        client_ip: str,
        total: float,
        sinks: Iterable[Sink] = (),
        shutdown: Shutdown | None = None,
    ) -> None:
        self.clock = clock
        self.started = clock.monotonic()
        self.deadline = self.started + total
        self.client_deadline = INFINITY
        self._shutdown = shutdown or Shutdown()
        self.poller = Poller(clock, client)
        self.record = RecordBuilder(os.urandom(16).hex(), clock.now(), client_ip)
        self.patience: Patience | None = None  # set while a decision is waited for
        self.keepalive_every: float = INFINITY  # seconds; set for a streaming client
        self._keepalive_at: float = INFINITY
        self._sinks = tuple(sinks)
        self._held: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._closed = False
        self._gone_at: float | None = None

    @property
    def id8(self) -> str:
        return self.record.id[:8]

    def hold(self, release: Callable[[], Any]) -> None:
        """Have `release` called when the exchange closes; last held, first released. It must be idempotent."""
        with self._lock:
            if not self._closed:
                self._held.append(release)
                return
        release()

    def drop(self, release: Callable[[], Any]) -> None:
        """No longer hold something that was released earlier."""
        with self._lock, contextlib.suppress(ValueError):
            self._held.remove(release)

    def limit(self, seconds: float) -> None:
        """The client's own deadline, counted from the start; never held against a backend."""
        self.client_deadline = self.started + seconds

    def keep_alive(self, after: float) -> None:
        """For a streaming client: waiting yields KEEPALIVE after so many seconds of silence."""
        self.keepalive_every = after
        self._keepalive_at = self.started + after

    def heard(self) -> None:
        """The client was sent something."""
        self._keepalive_at = self.clock.monotonic() + self.keepalive_every

    def pause(self, until: float = INFINITY, wake: socket.socket | None = None) -> Waiting:
        """Wait for one thing to happen; yields KEEPALIVE when the client should hear something meanwhile.

        Raises:
            ClientGone: the client left.
            DeadlineExceeded: the exchange as a whole, or the client's own limit, ran out.
            PatienceOver: see `check_patience()`.
        """
        now = self.clock.monotonic()
        if self.patience is not None and now < self.patience.at:
            until = min(until, self.patience.at)
        limit = min(self.deadline, self.client_deadline, self._shutdown.at)
        try:
            self.poller.wait(min(until, limit, self._keepalive_at, now + _LOOK), wake)
        except ClientGone:
            self._gone_at = self.clock.monotonic()
            raise
        now = self.clock.monotonic()
        if now >= limit:
            raise self._too_late(now)
        self.check_patience()
        if now >= self._keepalive_at:
            self.heard()
            yield KEEPALIVE

    def check_patience(self) -> None:
        """Go on waiting, or not.

        Raises:
            PatienceOver: it has lasted too long while a finished answer is there.
        """
        patience = self.patience
        if patience is None or self.clock.monotonic() < patience.at:
            return
        if patience.finished():
            raise PatienceOver

    def _too_late(self, now: float) -> DeadlineExceeded:
        if now >= self._shutdown.at:
            return DeadlineExceeded(
                "The router is shutting down; retry the request.",
                status=503,
                code="shutting_down",
                retry_after=5,
            )
        once = {
            "x-should-retry": "false"
        }  # a client library would otherwise spend the same time again, unasked
        if now >= self.client_deadline:
            return DeadlineExceeded(
                "X-Router-Timeout exceeded.",
                code="client_deadline_exceeded",
                headers=once,
                blame="client",
            )
        return DeadlineExceeded(
            "The request exceeded the router's time limit (timeouts.total).", headers=once
        )

    def settle(self, outcome: str, status: int, error: str | None = None) -> None:
        """How the exchange ended; the first one to say so is believed."""
        record = self.record
        if record.outcome is None:
            record.outcome, record.status, record.error = outcome, status, error

    def fail(self, error: RouterError) -> None:
        """End with an error of ours."""
        outcome = {"client": "client_error", "us": "router_error", "upstream": "upstream_error"}[
            error.blame
        ]
        self.settle(outcome, error.status, f"{error.code}: {error.message}")

    def gone(self) -> None:
        """End because the client left."""
        self._gone_at = self._gone_at or self.clock.monotonic()
        self.settle("client_gone", 499)

    def close(self) -> None:
        """Release everything once, then emit the record. Idempotent and never raises."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            held, self._held = self._held, []
        record = self.record
        if record.outcome is None:
            self.gone()
        record.stop(self._gone_at or self.clock.monotonic())
        for release in reversed(held):
            _safely(release)
        now = self.clock.monotonic()
        if record.outcome == "client_gone" and self._gone_at is not None:
            record.client_gone_ms = (now - self._gone_at) * 1000
        if record.wanted:
            frozen = record.freeze((now - self.started) * 1000)
            for sink in self._sinks:
                _safely(partial(sink.emit, frozen))


def _safely(action: Callable[[], Any]) -> None:
    """One failing release or sink must not keep the others from theirs."""
    try:
        action()
    except Exception:
        logging.getLogger(__name__).exception("closing an exchange: %r failed", action)
