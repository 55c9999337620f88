"""Ten equal asks at once, one slow classification: the first leads, the others wait for what it finds."""

import contextlib
import socket
import threading

from airouter.domain.types import Decision


class Seat:
    """One request's place in a flight. The leader calls `land()` once; a follower waits on `wake` until `landed`.

    `decision` is None after landing when the leader found nothing worth sharing (it failed, or its client left): the
    follower then decides for itself. Whoever leaves calls `leave()`, however it ended.
    """

    def __init__(self, flight: "_Flight", leads: bool) -> None:
        self.leads = leads
        self.decision: Decision | None = None
        self.landed = False
        self.wake: socket.socket | None = None
        self._bell: socket.socket | None = None
        self._flight = flight
        if not leads:
            self.wake, self._bell = socket.socketpair()

    def land(self, decision: Decision | None) -> None:
        """The leader's result for all that follow; None when there is none to share. Only the first call counts."""
        if self.leads:
            self._flight.land(decision)

    def leave(self) -> None:
        """Give the seat up. Idempotent. A leader that leaves without having landed wakes the others with nothing."""
        self.land(None)
        if not self.leads:
            self._flight.forget(self)
        for end in (self.wake, self._bell):
            if end is not None:
                end.close()

    def _ring(self, decision: Decision | None) -> None:
        self.decision = decision
        self.landed = True
        if self._bell is not None:
            with contextlib.suppress(OSError):
                self._bell.send(b"!")


class _Flight:
    """The followers of one leader. Guarded by the lock of the `SingleFlight` it belongs to."""

    def __init__(self, owner: "SingleFlight", key: bytes) -> None:
        self.key = key
        self.followers: list[Seat] = []
        self._owner = owner

    def land(self, decision: Decision | None) -> None:
        with self._owner.lock:
            if self._owner.flights.get(self.key) is not self:
                return
            del self._owner.flights[self.key]
            # Under the lock: a follower that leaves meanwhile closes its sockets only after this.
            for seat in self.followers:
                seat._ring(decision)
            self.followers = []

    def forget(self, seat: Seat) -> None:
        with self._owner.lock, contextlib.suppress(ValueError):
            self.followers.remove(seat)


class SingleFlight:
    """Key → the flight under way. Mutable state: `flights`; one lock, no I/O inside but one-byte wake-ups."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.flights: dict[bytes, _Flight] = {}

    def board(self, key: bytes) -> Seat:
        """Lead when nobody is classifying this key, else follow."""
        with self.lock:
            flight = self.flights.get(key)
            if flight is None:
                flight = self.flights[key] = _Flight(self, key)
                return Seat(flight, leads=True)
            seat = Seat(flight, leads=False)
            flight.followers.append(seat)
            return seat
