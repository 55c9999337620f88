"""Runs the router as a process of its own, under gunicorn as in production, for tests and
benchmarks."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from simulator.processes import Startable, children, end, free_port, printed, spawn

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = Path("config", "router.yaml")  # in the root
# Everything else that an environment may hold is not inherited.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "GUNICORN_CMD_ARGS")
_START_LIMIT_S = 120.0  # a machine that does much else is slow, not broken


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


def shipped_threads(root: Path = ROOT) -> int | None:
    """The default of `server.threads` in that checkout, as its documentation says; None where it
    does not."""
    page = root / "docs" / "configuration.md"
    told = page.read_text(encoding="utf-8") if page.exists() else ""
    found = re.search(r"^\| `server\.threads` \| `(\d+)` \|", told, re.MULTILINE)
    return int(found[1]) if found else None


class RouterProcess(Startable):
    """`with RouterProcess(folder, backends=sim.urls) as router: requests.get(router.url +
    "/health")`.

    Args:
        folder: where its configuration, its log and its output go.
        backends: URLs of `router`, `primary`, `xai` (and others that the configuration names).
        config: laid over `config/router.yaml`.
        env: environment variables on top of those that name the backends.
        root: the checkout whose router it is; another one's runs in that one's own .venv.
        app: the WSGI application, instead of the one named in gunicorn.conf.py.
    """

    def __init__(
        self,
        folder: Path,
        *,
        backends: Mapping[str, str],
        config: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        root: Path = ROOT,
        app: str = "",
    ) -> None:
        self.root, self.folder, self._app = root, folder, app
        self.log_dir = folder / "logs"
        self.output = folder / "output.txt"
        self.port = 0
        self._config = merged(yaml.safe_load((root / SHIPPED).read_text("utf-8")), config or {})
        for name, url in backends.items():
            self._config["backends"].setdefault(name, {"kind": "openai"})["url"] = url
        self._env = dict(env or {})
        if "xai" in backends:
            self._env.setdefault("XAI_API_KEY", "test-key")
        self._process: subprocess.Popen[bytes] | None = None
        self._http = requests.Session()
        self._http.trust_env = False

    # Life -----------------------------------------------------------------------------------------

    def start(self) -> Self:
        self._launch()
        try:
            self._wait_until_ready()
        except RuntimeError:
            self.stop()
            if "ddress already in use" not in self.printed():
                raise
            return self.start()  # another process took the port meanwhile
        return self

    def _launch(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "router.yaml"
        config.write_text(yaml.safe_dump(self._config), encoding="utf-8")
        self.port = free_port()
        environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environ |= {
            "ROUTER_CONFIG": str(config),
            "LOG_DIR": str(self.log_dir),
            "KEYS_FILE": str(self.folder / "keys.yaml"),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **self._env,
        }
        own = self.root == ROOT
        python = sys.executable if own else self.root / ".venv" / "bin" / "python"
        self.output.unlink(missing_ok=True)
        command = [python, "-m", "gunicorn", "-c", self.root / "gunicorn.conf.py"]
        named = [self._app] if self._app else []
        self._process = spawn([*command, *named], self.output, cwd=self.root, env=environ)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_LIMIT_S
        said = f"the router did not start in {_START_LIMIT_S:g} s"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                said = f"the router ended with status {self._process.returncode}"
                break
            with contextlib.suppress(requests.RequestException):
                if self._http.get(f"{self.url}/health/liveness", timeout=5).status_code == 200:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"{said}: {self.printed()[-2000:]}")

    def stop(self, *, quick: bool = False) -> int | None:
        """End it in good order, by force if it does not (`quick`: at once); the exit status."""
        process, self._process = self._process, None
        self._http.close()
        if process is None:
            return None
        return end(process, *(() if quick else (signal.SIGTERM, signal.SIGQUIT)))

    # What it is -----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def workers(self) -> list[int]:
        return children(self.pid)

    def printed(self) -> str:
        return printed(self.output)

    # What it says ---------------------------------------------------------------------------------

    def get(self, path: str, **options: Any) -> requests.Response:
        return self._http.get(self.url + path, timeout=options.pop("timeout", 30), **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self._http.post(
            self.url + path, json=body, timeout=options.pop("timeout", 30), **options
        )

    def stats(self) -> dict[str, Any]:
        return dict(self.get("/stats").json())

    def in_use(self) -> dict[str, int]:
        return {name: backend["in_use"] for name, backend in self.stats()["backends"].items()}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        wanted = labels.items()
        found = (one.value for one in self.samples(name) if wanted <= one.labels.items())
        return float(sum(found))

    def samples(self, name: str) -> Iterator[Sample]:
        """The samples of a metric, with their labels."""
        for family in text_string_to_metric_families(self.get("/metrics").text):
            yield from (sample for sample in family.samples if sample.name == name)

    def log(self) -> list[str]:
        """The lines of app.log so far, without one that is still being written."""
        return printed(self.log_dir / "app.log").split("\n")[:-1]
