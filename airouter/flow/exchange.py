"""One client request from accept to close: the owner of everything acquired for it. All of it is
released once, whatever happens."""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from airouter.domain.clock import Clock
from airouter.domain.errors import (
    ClientGone,
    DeadlineExceeded,
    PatienceOver,
    Reason,
    RouterError,
)
from airouter.domain.ports import Sink
from airouter.domain.trace import Trace
from airouter.domain.types import immutable
from airouter.flow.waits import INFINITY, KEEPALIVE, Call, Wait, Waiting
from airouter.telemetry.record import RecordBuilder

# Seconds at most between two looks at the limits: a shutdown may have brought one forward.
_LOOK = 5.0


class Shutdown:
    """When requests under way must end: never, until the process is told to stop."""

    def __init__(self) -> None:
        self.at = INFINITY


@immutable
class Patience:
    """When a wait may be cut short: from the monotonic time `at` on, as soon as `finished()`."""

    at: float
    finished: Callable[[], bool]


@immutable
class Progress:
    """How far the latest call for an answer is. `tokens`: contents so far, for which the clock's
    times of the first and of the last are given; None before the first."""

    backend: str
    speculative: bool
    tokens: int
    first_at: float | None
    last_at: float | None


class Startable(Call, Protocol):
    """A call that an exchange can own."""

    def start(self) -> object: ...

    def close(self) -> None: ...


class Exchange:
    """Created and closed by the middleware. Inner code adds to what it holds, and says how it ended
    (`finish`).

    It is used by one thread at a time; only `close()` may be called by another, and is locked.

    Args:
        client: the client's socket, for noticing that it leaves; None: the server notices it, and
            says so (`leave`).
        total: seconds for all of it (`timeouts.total`).
        sinks: receive the record when it is closed.
        shutdown: when requests under way must end.
        active: those under way, which it is one of until it is closed.
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
        active: set["Exchange"] | None = None,
    ) -> None:
        self.clock = clock
        self.client = client
        self.calls: list[Call] = []  # under way
        self.started_at = clock.monotonic()
        self.deadline = self.started_at + total
        self.client_deadline = INFINITY
        self._shutdown = shutdown or Shutdown()
        self.record = RecordBuilder(os.urandom(16).hex(), clock.now(), client_ip)
        self.record.began = self.started_at
        self.hops = 0  # how many routers have asked on behalf of the client
        self.trace: Trace | None = None  # that it belongs to, where requests are traced
        self.patience: Patience | None = None  # set while a decision is waited for
        self.progress: Callable[[], Progress] | None = None  # of the latest call for an answer
        self.keepalive_every: float = INFINITY  # seconds; set for a streaming client
        self._keepalive_at: float = INFINITY
        self._sinks = tuple(sinks)
        self._held: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._closed = False
        self._left = False  # the client has
        self._gone_at: float | None = None
        self._active = active
        if active is not None:
            active.add(self)

    @property
    def id8(self) -> str:
        return self.record.id[:8]

    @property
    def left(self) -> bool:
        """Whether the client has."""
        return self._left

    def hold(self, release: Callable[[], Any]) -> None:
        """Call `release` when the exchange closes; last held, first released. It must be
        idempotent."""
        with self._lock:
            if not self._closed:
                self._held.append(release)
                return
        release()

    def drop(self, release: Callable[[], Any]) -> None:
        """No longer hold something that was released earlier."""
        with self._lock, contextlib.suppress(ValueError):
            self._held.remove(release)

    def begin(self, call: Startable) -> None:
        """Start a call: waits now wait for it, too, and it is closed with the exchange."""
        self.hold(call.close)
        self.calls.append(call)
        call.start()

    def end(self, call: Startable) -> None:
        """Close a call, and no longer wait for it. Idempotent."""
        call.close()
        with contextlib.suppress(ValueError):
            self.calls.remove(call)
        self.drop(call.close)

    def limit(self, seconds: float) -> None:
        """Set the client's own deadline, from the start of the exchange. A backend that misses it
        has not failed."""
        self.client_deadline = self.started_at + seconds

    def keep_alive(self, after: float) -> None:
        """For a streaming client: yield KEEPALIVE after so many seconds without data."""
        self.keepalive_every = after
        self._keepalive_at = self.started_at + after

    def heard(self) -> None:
        """The client was sent something."""
        self._keepalive_at = self.clock.monotonic() + self.keepalive_every

    def wait(
        self,
        until: float = INFINITY,
        wake: socket.socket | None = None,
        relay: Callable[[], bytes] | None = None,
    ) -> Waiting[None]:
        """Wait for one thing to happen: progress of a call, `wake` becoming readable, or the time
        `until`. Callers look again at what they wait for. Yields KEEPALIVE when it is due.

        Raises:
            ClientGone: the client left.
            DeadlineExceeded: the time of the exchange, or the client's own limit, has run out.
            PatienceOver: see `check_patience()`.
        """
        now = self.clock.monotonic()
        if self.patience is not None and now < self.patience.at:
            until = min(until, self.patience.at)
        limit = min(self.deadline, self.client_deadline, self._shutdown.at)
        if not self._left:
            yield Wait(min(until, limit, self._keepalive_at, now + _LOOK), wake, relay)
        if self._left:
            raise ClientGone
        now = self.clock.monotonic()
        if now >= limit:
            raise self._too_late(now)
        self.check_patience()
        if now >= self._keepalive_at:
            self.heard()
            yield KEEPALIVE

    def sleep(self, seconds: float) -> Waiting[None]:
        """Let time pass; calls under way make progress meanwhile."""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            yield from self.wait(until)

    def check_patience(self) -> None:
        """Raises:
        PatienceOver: a finished answer has been held back for too long.
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
        # A client library would otherwise spend the same time again, unasked.
        once = {"x-should-retry": "false"}
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

    def belongs_to(self, trace: Trace) -> None:
        """Note the trace that it belongs to."""
        record = self.record
        self.trace, record.traced = trace, trace.sampled
        record.trace_id, record.span_id = trace.trace_id, trace.span_id
        record.parent_span_id = trace.parent_id

    def finish(
        self, outcome: str, status: int, error: str | None = None, reason: Reason = "ok"
    ) -> None:
        """Note how the exchange ended; the first call wins."""
        record = self.record
        if record.outcome is None:
            record.outcome, record.status, record.error = outcome, status, error
            record.reason = reason

    def fail(self, error: RouterError) -> None:
        """End with an error."""
        outcome = {"client": "client_error", "us": "router_error", "upstream": "upstream_error"}[
            error.blame
        ]
        self.finish(outcome, error.status, f"{error.code}: {error.message}", error.reason)

    def leave(self) -> None:
        """The client has left: the flow's present wait, or its next, raises `ClientGone`."""
        if not self._left:
            self._left = True
            self._gone_at = self.clock.monotonic()

    def gone(self) -> None:
        """End because the client left."""
        self._gone_at = self._gone_at or self.clock.monotonic()
        self.finish("client_gone", 499, reason="client_gone")

    def close(self) -> None:
        """Release everything once, then emit the record. Idempotent and never raises."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            held, self._held = self._held, []
        if self._active is not None:
            self._active.discard(self)
        record, self.progress = self.record, None
        if record.outcome is None:
            self.gone()
        record.stop(self._gone_at or self.clock.monotonic())
        for release in reversed(held):
            _safely(release)
        now = self.clock.monotonic()
        if record.outcome == "client_gone" and self._gone_at is not None:
            record.client_gone_ms = (now - self._gone_at) * 1000
        if record.wanted:
            frozen = record.freeze((now - self.started_at) * 1000)
            for sink in self._sinks:
                _safely(partial(sink.emit, frozen))


def _safely(action: Callable[[], Any]) -> None:
    """A release or sink that fails must not prevent the others."""
    try:
        action()
    except Exception:
        logging.getLogger(__name__).exception("closing an exchange: %r failed", action)
