"""Session files by request."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from airouter.domain.clock import Clock
from airouter.sessions.files import Files, NotASession, read
from airouter.telemetry.session_retention import STAMP

_SAME_SECOND = 5  # files of one name that are looked at


class Documents:
    """Args:
    log_dir: the directory of logs, of the current configuration.
    """

    def __init__(self, log_dir: Callable[[], Path], clock: Clock) -> None:
        self._log_dir, self._clock = log_dir, clock

    def of(self, request: str, at: float) -> dict[str, Any] | None:
        """The session file of a request; None if there is none (any more).

        Args:
            request: its id.
            at: its arrival, in seconds since 1970.
        """
        files = Files(self._log_dir())
        stem = f"{self._clock.local(at).strftime(STAMP)}_{request[:8]}"
        for number in range(1, _SAME_SECOND + 1):
            path = files.folder / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")
            with suppress(NotASession, OSError):
                document = read(path)
                if document["id"] == request:
                    return document
            if not path.exists():
                break
        return None

    def find(self, request: str) -> dict[str, Any] | None:
        """The newest session file whose request's id begins with this, found by looking at all
        names; None if there is none."""
        files = Files(self._log_dir())
        with suppress(OSError):
            for name in reversed(files.names()):
                if name[20:].startswith(request[:8]):
                    document = files.read(name)
                    if document is not None and document["id"].startswith(request):
                        return document
        return None
