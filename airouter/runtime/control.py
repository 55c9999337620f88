"""Commands propagated to every worker: drain, reload, model swap.

A request to /admin/* reaches one worker process, which writes the command to a small file that all
workers poll. gunicorn's master creates the file at startup; the workers inherit its path.
"""

import fcntl
import os
from pathlib import Path
from typing import Any

import orjson

from airouter.runtime import run_folder

VARIABLE = "AIROUTER_CONTROL"
_EVENTS_KEPT = 100


class Control:
    """The control file: `{"draining": bool, "generation": int, "events": [{"seq", …}]}`; replaced
    atomically, under a lock."""

    def __init__(self, path: Path | None = None) -> None:
        given = path or os.environ.get(VARIABLE)
        self.path = Path(given) if given else path_in(run_folder.make())

    def read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = orjson.loads(self.path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {"draining": False, "generation": 0, "events": []}
        return state

    def stamp(self) -> tuple[int, int, int]:
        """A cheap fingerprint of the file. The modification time alone would not be enough, because
        two changes may have the same timestamp."""
        try:
            found = self.path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_ino, found.st_size)

    def drain(self, on: bool) -> None:
        self._change(lambda state: state.update(draining=on))

    def reload(self) -> int:
        """Make every worker reload the configuration; returns the new generation."""

        def bump(state: dict[str, Any]) -> None:
            state["generation"] += 1

        return int(self._change(bump)["generation"])

    def event(self, event: dict[str, Any]) -> None:
        def append(state: dict[str, Any]) -> None:
            last = state["events"][-1]["seq"] if state["events"] else 0
            state["events"] = [*state["events"], {**event, "seq": last + 1}][-_EVENTS_KEPT:]

        self._change(append)

    def remove(self) -> None:
        for path in (self.path, self._lock_path()):
            path.unlink(missing_ok=True)

    def _lock_path(self) -> Path:
        return self.path.with_suffix(".lock")

    def _change(self, edit: Any) -> dict[str, Any]:
        with self._lock_path().open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.read()
            edit(state)
            fresh = self.path.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(orjson.dumps(state))
            fresh.replace(self.path)
            return state


def path_in(folder: Path) -> Path:
    """The path of the control file in the directory of a run."""
    return folder / "control.json"
