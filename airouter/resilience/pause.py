"""A backend that is busy with itself: swapping or loading a model. A state, not a failure: requests wait or go elsewhere."""

import threading

from airouter.domain.clock import Clock


class Pause:
    """Mutable state: the reason and the end of the pause; guarded by one lock. A pause always ends by itself."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._until = 0.0

    def begin(self, reason: str, seconds: float) -> None:
        """Pause for at most `seconds`; a pause under way is extended, never cut short."""
        with self._lock:
            until = self._clock.monotonic() + seconds
            if self._reason is None or until > self._until:
                self._reason, self._until = reason, until

    def end(self) -> None:
        with self._lock:
            self._reason = None

    @property
    def reason(self) -> str | None:
        """Why it is paused now, or None."""
        with self._lock:
            if self._reason is not None and self._clock.monotonic() >= self._until:
                self._reason = None
            return self._reason

    def seconds_left(self) -> float:
        with self._lock:
            return (
                max(0.0, self._until - self._clock.monotonic()) if self._reason is not None else 0.0
            )
