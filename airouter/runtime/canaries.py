"""Runs the tiers' canaries: small requests that test whether a tier is usable, so that no client
request has to.

A canary may take many seconds, so each runs in its own thread and delays neither probes nor
requests.
"""

import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from airouter.classify.tiers.one_token import CANARY_LIMIT, OneTokenTier
from airouter.classify.tiers.spread import SpreadTier
from airouter.domain.clock import Clock
from airouter.domain.errors import ClientGone
from airouter.flow.driver import complete
from airouter.flow.exchange import Exchange
from airouter.telemetry.logs import Log

_JOIN = 2.0  # seconds to wait for a canary to stop


@dataclass(frozen=True, slots=True)
class _Running:
    tier: OneTokenTier
    thread: threading.Thread
    leash: socket.socket  # closing it cancels the canary, like a client's disconnect

    def stop(self) -> None:
        self.leash.close()


class Canaries:
    """Runs at most one canary per tier at a time. Mutable state: the running canaries; used by the
    housekeeper's thread, and by `close()` after that thread has ended.
    """

    def __init__(self, clock: Clock, log: Log) -> None:
        self._clock = clock
        self._log = log
        self._running: list[_Running] = []

    def look(self, tiers_now: Iterable[object]) -> None:
        """Start canaries that are due; stop those of a previous configuration.

        Args:
            tiers_now: of the current configuration; those without canaries are ignored.
        """
        tiers = list(_with_canaries(tiers_now))
        for run in self._running:
            if run.tier not in tiers or not run.thread.is_alive():
                run.stop()
        self._running = [run for run in self._running if run.thread.is_alive()]
        busy = [run.tier for run in self._running]
        for tier in tiers:
            if tier not in busy and tier.canary_due():
                self._start(tier)

    def close(self) -> None:
        """Stop running canaries and close their connections. Idempotent."""
        running, self._running = self._running, []
        for run in running:
            run.stop()
        for run in running:
            run.thread.join(_JOIN)

    def _start(self, tier: OneTokenTier) -> None:
        leash, client = socket.socketpair()
        thread = threading.Thread(target=self._run, args=(tier, client), name="canary", daemon=True)
        self._running.append(_Running(tier, thread, leash))
        thread.start()

    def _run(self, tier: OneTokenTier, client: socket.socket) -> None:
        try:
            send(tier, self._clock, client)
        except ClientGone:
            pass  # stopped
        except Exception as error:  # a bug; the tier has already scheduled the next canary
            self._log.error("A canary failed: %s: %s", type(error).__name__, str(error))
        finally:
            client.close()


def prove(tiers: Iterable[object], clock: Clock) -> None:
    """Run the canaries of all tiers synchronously, for programs without a housekeeper."""
    for tier in _with_canaries(tiers):
        if tier.canary_due():
            send(tier, clock)


def send(tier: OneTokenTier, clock: Clock, client: socket.socket | None = None) -> None:
    """Run one tier's canary to completion. It is not a client request and leaves no record.

    Args:
        client: closing its other end cancels the canary.

    Raises:
        ClientGone: the canary was cancelled.
    """
    exchange = Exchange(clock, client=client, client_ip="", total=CANARY_LIMIT + 10)
    try:
        complete(exchange, tier.canary(exchange))
    finally:
        exchange.close()


def _with_canaries(tiers: Iterable[object]) -> Iterable[OneTokenTier]:
    for tier in tiers:
        each = tier.tiers if isinstance(tier, SpreadTier) else (tier,)
        yield from (one for one in each if isinstance(one, OneTokenTier))
