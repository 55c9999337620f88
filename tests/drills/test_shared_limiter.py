"""Limits that several replicas share are an implementation of the ports in `domain/ports.py`, given
to `create_app()`. Acquiring a slot may then take time: the request waits for it like for anything
else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airouter.domain.clock import Clock
from airouter.domain.errors import Busy
from airouter.domain.ports import Slot
from airouter.resilience.per_process import PerProcess
from airouter.settings.schema import Settings
from app import create_app
from simulator.testing import Simulator

ROUND_TRIP = 0.05  # seconds to the store and back


class Store:
    """Where the replicas count, some milliseconds away."""

    def __init__(self, slots: int) -> None:
        self.free = slots
        self.most = 0
        self.granted = 0
        self.changed = threading.Condition()

    def take(self, ticket: RemoteTicket) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.free > 0 or ticket.left)
            if ticket.left:
                return
            self.free -= 1
            self.granted += 1
            self.most = max(self.most, 1 - self.free)
            ticket.grant(RemoteSlot(self))

    def give(self) -> None:
        with self.changed:
            self.free += 1
            self.changed.notify_all()


class RemoteSlot:
    def __init__(self, store: Store) -> None:
        self._store: Store | None = store

    def release(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.give()


class RemoteTicket:
    def __init__(self, store: Store) -> None:
        self.slot: Slot | None = None
        self.left = False
        self.wake, self._bell = socket.socketpair()
        self._store = store
        threading.Timer(ROUND_TRIP, store.take, (self,)).start()

    def grant(self, slot: Slot) -> None:
        self.slot = slot
        self._bell.send(b"!")

    def fetch(self) -> Slot:
        slot, self.slot = self.slot, None
        assert slot is not None
        return slot

    def leave(self) -> None:
        with self._store.changed:
            self.left = True
            slot, self.slot = self.slot, None
            self._store.changed.notify_all()
        if slot is not None:
            slot.release()
        self.wake.close()
        self._bell.close()


class RemoteLimiter:
    """Nothing is known without asking the store, so no slot is there at once."""

    in_use = waiting = 0
    full = False

    def __init__(self, store: Store, slots: int, queue: int) -> None:
        self._store, self.slots, self.queue = store, slots, queue

    def try_acquire(self) -> Slot | None:
        return None

    def queue_up(self, priority: str) -> RemoteTicket:
        return RemoteTicket(self._store)

    def busy(self, why: str) -> Busy:
        return Busy(f"The replicas are busy: {why}.", retry_after=1)


class Shared(PerProcess):
    """The implementation of `Resilience`."""

    def __init__(self, store: Store) -> None:
        super().__init__(Clock())
        self.store = store

    def limiter(self, backend: str, slots: int, queue: int) -> RemoteLimiter:
        return RemoteLimiter(self.store, slots, queue)


@pytest.fixture
def replicas(tmp_path: Path, sim: Simulator) -> Iterator[tuple[list[Any], Store]]:
    """Two routers with one slot between them."""
    shared = Shared(Store(slots=1))
    apps = []
    for name in ("one", "two"):
        primary = {"url": sim.url("primary"), "kind": "vllm"}
        settings = Settings.model_validate(
            {
                "backends": {"primary": primary},
                "routes": {"primary": {"backends": ["primary"]}},
                "cascade": {"tiers": ["rules"]},
                "queue": {"wait": 20},
                "logging": {"dir": tmp_path / name},
            }
        )
        apps.append(create_app(settings, shared))
    yield [app.test_client() for app in apps], shared.store
    for app in apps:
        app.extensions["airouter"].close()


def test_replicas_share_their_slots(replicas: tuple[list[Any], Store]) -> None:
    """Eight requests to two replicas: all are answered, never two at once, no slot is lost."""
    clients, store = replicas
    statuses: list[int] = []

    def ask(client: Any, stream: bool) -> None:
        body = {"messages": [{"role": "user", "content": "Hello"}], "stream": stream}
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.data
        statuses.append(answer.status_code)

    threads = [
        threading.Thread(target=ask, args=(client.application.test_client(), stream))
        for client in clients
        for stream in (False, True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * 8
    assert (store.granted, store.most, store.free) == (8, 1, 1)
