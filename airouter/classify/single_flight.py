"""Single flight: of equal requests at the same time, one is classified and the others wait for its
decision."""

import contextlib
import socket
import threading

from airouter.domain.types import Decision


class Seat:
    """One request's place in a flight. The leader calls `resolve()` once; a follower waits until
    `wake` is readable and `resolved` is set.

    If `decision` is then None, the leader had nothing to share, because it failed or its client
    disconnected: the follower classifies its own request. Both call `leave()`, whatever happened.
    """

    def __init__(self, flight: "_Flight", leads: bool) -> None:
        self.leads = leads
        self.decision: Decision | None = None
        self.resolved = False
        self.wake: socket.socket | None = None
        self._bell: socket.socket | None = None
        self._flight = flight
        if not leads:
            self.wake, self._bell = socket.socketpair()

    def resolve(self, decision: Decision | None) -> None:
        """Hand the leader's decision to all followers; None if there is none to share. Only the
        first call counts."""
        if self.leads:
            self._flight.resolve(decision)

    def leave(self) -> None:
        """Leave the flight. Idempotent. If a leader leaves without having resolved the flight, its
        followers are woken without a decision."""
        self.resolve(None)
        if not self.leads:
            self._flight.remove(self)
        for end in (self.wake, self._bell):
            if end is not None:
                end.close()

    def _notify(self, decision: Decision | None) -> None:
        self.decision = decision
        self.resolved = True
        if self._bell is not None:
            with contextlib.suppress(OSError):
                self._bell.send(b"!")


class _Flight:
    """The followers of one leader; guarded by the lock of their `SingleFlight`."""

    def __init__(self, owner: "SingleFlight", key: bytes) -> None:
        self.key = key
        self.followers: list[Seat] = []
        self._owner = owner

    def resolve(self, decision: Decision | None) -> None:
        with self._owner.lock:
            if self._owner.flights.get(self.key) is not self:
                return
            del self._owner.flights[self.key]
            if decision is not None:
                self._owner.shared += len(self.followers)
            # Under the lock, so that no follower closes its sockets in between.
            for seat in self.followers:
                seat._notify(decision)
            self.followers = []

    def remove(self, seat: Seat) -> None:
        with self._owner.lock, contextlib.suppress(ValueError):
            self.followers.remove(seat)


class SingleFlight:
    """The flights in progress, by key.

    Mutable state: `flights`, and the number of decisions shared; guarded by one lock, under which
    one-byte wake-ups are the only I/O.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.flights: dict[bytes, _Flight] = {}
        self.shared = 0  # decisions handed to followers, for the metrics

    def join(self, key: bytes) -> Seat:
        """Join the flight for this key as a follower, or start one as its leader."""
        with self.lock:
            flight = self.flights.get(key)
            if flight is None:
                flight = self.flights[key] = _Flight(self, key)
                return Seat(flight, leads=True)
            seat = Seat(flight, leads=False)
            flight.followers.append(seat)
            return seat
