"""The pause of a backend that is swapping or loading a model: not a failure; requests wait for it
or use another backend."""

import threading

from airouter.domain.clock import Clock


class Pause:
    """A pause that ends by itself after a time limit.

    Mutable state: the reason and the end of the pause; guarded by one lock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._until = 0.0

    def begin(self, reason: str, seconds: float) -> None:
        """Pause for at most `seconds`; a current pause can be extended, but not shortened."""
        with self._lock:
            until = self._clock.monotonic() + seconds
            if self._reason is None or until > self._until:
                self._reason, self._until = reason, until

    def end(self) -> None:
        """End the pause now."""
        with self._lock:
            self._reason = None

    @property
    def reason(self) -> str | None:
        """Why the backend is paused; None if it is not."""
        with self._lock:
            if self._reason is not None and self._clock.monotonic() >= self._until:
                self._reason = None
            return self._reason

    def seconds_left(self) -> float:
        """Seconds until the pause ends by itself; 0 if there is none."""
        with self._lock:
            return (
                max(0.0, self._until - self._clock.monotonic()) if self._reason is not None else 0.0
            )
