"""Runs the router as a process of its own, under gunicorn as in production, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
import yaml

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "config" / "router.yaml"
# What a machine's own environment may hold and a test must not inherit.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
_START_LIMIT_S = 120.0  # a machine that does much else is slow, not broken
_STOP_LIMIT_S = 8.0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, section by section."""
    result = dict(base)
    for name, value in changes.items():
        below = result.get(name)
        result[name] = (
            merged(below, value)
            if isinstance(value, Mapping) and isinstance(below, Mapping)
            else value
        )
    return result


class RouterProcess:
    """`with RouterProcess(folder, backends=sim.urls) as router: requests.get(router.url + "/health")`.

    Args:
        folder: where its configuration, its log and its output go.
        backends: URLs of `router`, `primary`, `xai` (and others that the configuration names).
        config: laid over `config/router.yaml`.
        env: environment variables on top of those that name the backends.
    """

    gunicorn_conf = ROOT / "gunicorn.conf.py"

    def __init__(
        self,
        folder: Path,
        *,
        backends: Mapping[str, str],
        config: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.log_dir = folder / "logs"
        self.output = folder / "output.txt"
        self.port = 0
        self._config = merged(yaml.safe_load(SHIPPED.read_text(encoding="utf-8")), config or {})
        for name, url in backends.items():
            self._config["backends"].setdefault(name, {"kind": "openai"})["url"] = url
        self._env = dict(env or {})
        if "xai" in backends:
            self._env.setdefault("XAI_API_KEY", "test-key")
        self._process: subprocess.Popen[bytes] | None = None
        self._http = requests.Session()
        self._http.trust_env = False

    # Life -----------------------------------------------------------------------------------------------------------

    def start(self) -> RouterProcess:
        for last in (False, False, True):
            self._launch()
            try:
                self._wait_until_ready()
                return self
            except RuntimeError:
                self.stop()
                if (
                    last or "ddress already in use" not in self.printed()
                ):  # somebody else took the port meanwhile
                    raise
        raise AssertionError

    def _launch(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "router.yaml"
        config.write_text(yaml.safe_dump(self._config), encoding="utf-8")
        self.port = free_port()
        environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environ |= {
            "ROUTER_CONFIG": str(config),
            "LOG_DIR": str(self.log_dir),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **self._env,
        }
        command = [sys.executable, "-m", "gunicorn", "-c", str(self.gunicorn_conf)]
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(
                    f"the router ended with status {self._process.returncode}: {self.printed()[-2000:]}"
                )
            with contextlib.suppress(requests.RequestException):
                if self._http.get(f"{self.url}/health/liveness", timeout=5).status_code == 200:
                    return
            time.sleep(0.02)
        raise RuntimeError(
            f"the router did not start in {_START_LIMIT_S:g} s: {self.printed()[-2000:]}"
        )

    def stop(self, *, quick: bool = False) -> int | None:
        """End it in good order, by force if it does not (`quick`: at once); the exit status."""
        process, self._process = self._process, None
        self._http.close()
        if process is None:
            return None
        workers = children(process.pid)
        for number in () if quick else (signal.SIGTERM, signal.SIGQUIT):
            if process.poll() is None:
                process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_LIMIT_S)
        if process.poll() is None:
            process.kill()
        for pid in workers:
            if _is_ours(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return process.wait(_STOP_LIMIT_S)

    def __enter__(self) -> RouterProcess:
        return self if self._process is not None else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # What it is -----------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        return children(self.pid)

    def printed(self) -> str:
        """What it wrote to stdout and stderr."""
        return (
            self.output.read_text(encoding="utf-8", errors="replace")
            if self.output.exists()
            else ""
        )

    # What it says ---------------------------------------------------------------------------------------------------

    def get(self, path: str, **options: Any) -> requests.Response:
        return self._http.get(self.url + path, timeout=options.pop("timeout", 30), **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self._http.post(
            self.url + path, json=body, timeout=options.pop("timeout", 30), **options
        )

    def stats(self) -> dict[str, Any]:
        result: dict[str, Any] = self.get("/stats").json()
        return result

    def in_use(self) -> dict[str, int]:
        """Slots in use, by backend."""
        return {name: backend["in_use"] for name, backend in self.stats()["backends"].items()}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(
                f'{key}="{text}"' in sample for key, text in labels.items()
            ):
                total += float(value)
        return total

    def log(self) -> list[str]:
        """The lines of app.log so far."""
        path = self.log_dir / "app.log"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def children(pid: int) -> list[int]:
    """The processes whose parent is this one."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _is_ours(pid: int) -> bool:
    """Whether a worker whose master has gone still runs: its command line is gunicorn's with our configuration."""
    try:
        return str(ROOT / "gunicorn.conf.py").encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def die_with_parent() -> None:
    """In the child: should the test run be killed, the router goes too (Linux)."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
