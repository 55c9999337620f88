"""What each worker is doing now, in a small file per worker, so that any of them can show all.

The files are in the run's temporary directory, and are written only while a dashboard is open.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from airouter.dashboard.backends import described, together
from airouter.dashboard.in_flight import in_flight
from airouter.domain.clock import Clock
from airouter.mapper.meter import described as mapper_described
from airouter.runtime.state import Current
from airouter.upstream.health import Health

EVERY = 1.0  # seconds between two looks
_STALE = 5.0  # seconds after which a worker's file, or a watcher, no longer counts
_MOST = 100  # requests that are listed
_WATCHED = "board.watched"


class Board:
    """Writes one worker's file, in a thread. Mutable state: when this worker last told the others
    that a dashboard is open.

    Args:
        folder: of the run; the same for all workers.
        probed: the results of the last probes by backend.
        mapped: what this worker has mapped lately (`Meter.recent`).
    """

    def __init__(
        self,
        current: Current,
        folder: Path,
        clock: Clock,
        probed: Callable[[], dict[str, Health]],
        mapped: Callable[[], list[int]],
    ) -> None:
        self._current, self._folder, self._clock = current, folder, clock
        self._probed, self._mapped = probed, mapped
        self._said_at = float("-inf")
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(EVERY + 1)
        with suppress(OSError):
            self._path().unlink(missing_ok=True)

    def watch(self) -> None:
        """Tell all workers that a dashboard is open, so that they write their files for the next 5
        seconds."""
        now = self._clock.monotonic()
        if now - self._said_at >= EVERY:
            self._said_at = now
            with suppress(OSError):
                (self._folder / _WATCHED).touch(mode=0o600)

    def all_workers(self) -> dict[str, Any]:
        """The event `live`: what all workers are doing now, this one at this moment."""
        own, pid = self.own(), os.getpid()
        views = [own, *(view for view in self._others() if view["pid"] != pid)]
        requests = sorted(
            (one for view in views for one in view["in_flight"]), key=lambda one: -one["age_s"]
        )
        by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for view in views:
            for backend in view["backends"]:
                by_name[backend["name"]].append(backend)
        return {
            "at": own["at"],
            "draining": own["draining"],
            "workers": len(views),
            "in_flight": requests[:_MOST],
            "in_flight_total": sum(view["total"] for view in views),
            "mapper": mapper_described([view["mapper"] for view in views]),
            # As in this worker's configuration: after a reload the others follow.
            "backends": [together(by_name[one["name"]]) for one in own["backends"]],
        }

    def own(self) -> dict[str, Any]:
        """What this worker is doing."""
        now, pid, probed = self._clock.monotonic(), os.getpid(), self._probed()
        wanted = [one for one in list(self._current.exchanges) if one.record.wanted]
        wanted.sort(key=lambda one: one.started_at)
        return {
            "pid": pid,
            "at": self._clock.time(),
            "draining": self._current.draining,
            "total": len(wanted),
            "in_flight": [in_flight(one, now, pid) for one in wanted[:_MOST]],
            "mapper": self._mapped(),
            "backends": [
                described(backend, probed.get(name))
                for name, backend in self._current.state.backends.items()
            ],
        }

    def _others(self) -> list[dict[str, Any]]:
        oldest, found = self._clock.time() - _STALE, []
        for path in self._folder.glob("board-*.json"):
            try:
                view = orjson.loads(path.read_bytes())
            except (OSError, orjson.JSONDecodeError):  # it has just ended
                continue
            if view["at"] >= oldest:
                found.append(view)
        return found

    def _run(self) -> None:
        written = False
        while not self._stopped.wait(EVERY):
            alone = self._current.state.settings.server.workers == 1
            if not alone and self._watched():
                with suppress(OSError):  # a full disk: the others do not see this worker
                    self._write()
                written = True
            elif written:
                self._path().unlink(missing_ok=True)
                written = False

    def _watched(self) -> bool:
        try:
            return self._clock.time() - os.stat(self._folder / _WATCHED).st_mtime < _STALE
        except OSError:
            return False

    def _write(self) -> None:
        path = self._path()
        fresh = path.with_suffix(".tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with open(os.open(fresh, flags, 0o600), "wb") as file:
            file.write(orjson.dumps(self.own()))
        fresh.replace(path)

    def _path(self) -> Path:
        return self._folder / f"board-{os.getpid()}.json"
