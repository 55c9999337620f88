"""Have a running router take up its changed configuration; one that it could not use never reaches it."""

import contextlib
import os
import signal
from pathlib import Path

from airouter.cli.launch import Check
from airouter.errors import ConfigError
from airouter.load_settings import load_settings

_PROC = Path("/proc")


def reload(check: Check) -> int:
    """Validate with the environment of the running router, then send it SIGHUP: new workers start, old ones finish.

    Raises:
        ConfigError: no router runs on the configured port, or it could not use the new configuration.
    """
    pid, path = _running()
    # gunicorn reads its own environment again, not this command's; where that can be seen, it is what counts.
    check(load_settings(_environment_of(pid)))
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        raise ConfigError(f"The router's process {pid} ({path}) does not take the signal: {error.strerror}.") from None
    print(f"The router (process {pid}) takes up the configuration; answers under way are finished by the old one.")
    return 0


def _running() -> tuple[int, Path]:
    port = os.environ.get("PORT", "").strip()
    folder = Path(os.environ.get("LOG_DIR") or "logs")
    found = [folder / f"router-{port}.pid"] if port else sorted(folder.glob("router-*.pid"))
    alive = [(pid, path) for path in found if (pid := _gunicorn_in(path))]
    if not alive:
        raise ConfigError("No running router was found; start one with `make run` or `make serve` (with the same LOG_DIR and PORT).")
    if len(alive) > 1:
        ports = ", ".join(path.stem.partition("-")[2] for _, path in alive)
        raise ConfigError(f"Several routers run here, on the ports {ports}; say which one, e.g. PORT={ports.split(',')[0]}.")
    return alive[0]


def _gunicorn_in(path: Path) -> int | None:
    """The process id in the file if that process lives and is gunicorn: ids are used again."""
    try:
        pid = int(path.read_text(encoding="ascii"))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    if _PROC.is_dir():
        try:
            return pid if b"gunicorn" in (_PROC / str(pid) / "cmdline").read_bytes() else None
        except OSError:
            return None
    return pid


def _environment_of(pid: int) -> dict[str, str]:
    with contextlib.suppress(OSError):
        entries = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        pairs = (os.fsdecode(entry).partition("=") for entry in entries if entry)
        return {name: value for name, _, value in pairs}
    return dict(os.environ)
