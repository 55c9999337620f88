"""Runs the simulator as a separate process, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import json
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import requests

from simulator.processes import Startable, end

_START_LIMIT_S = 60.0  # generous, because the machine may be busy
_STOP_LIMIT_S = 5.0
_NUMBERED = re.compile(r"^\D+(\d+)$")


def answer_numbers(text: str) -> list[int]:
    """The numbers of the words of a simulated answer, in order: 1, 2, 3 ... if none is missing or
    repeated."""
    words = text.partition("):")[2].split()
    return [int(match[1]) for word in words if (match := _NUMBERED.match(word))]


class Simulator(Startable):
    """`with Simulator(roles=("primary",)) as sim: requests.get(sim.url("primary") + "/health")`."""

    def __init__(
        self,
        profile: str = "fast",
        roles: Sequence[str] = ("router", "primary", "xai"),
        ports: Mapping[str, int] | None = None,
        models: Mapping[str, str] | None = None,
    ) -> None:
        chosen = ports or {}
        self._command = [
            sys.executable,
            "-m",
            "simulator",
            "--profile",
            profile,
            "--die-with-parent",
        ]
        for role in roles:
            self._command += [f"--{role}-port", str(chosen.get(role, 0))]
        if "control" in chosen:
            self._command += ["--control-port", str(chosen["control"])]
        for role, model in (models or {}).items():
            self._command += [f"--{role}-model", model]
        self._roles = tuple(roles)
        self._process: subprocess.Popen[str] | None = None
        self._urls: dict[str, str] = {}
        self._http = requests.Session()
        self._http.trust_env = False

    def start(self) -> Self:
        root = Path(__file__).resolve().parent.parent
        self._process = subprocess.Popen(self._command, cwd=root, stdout=subprocess.PIPE, text=True)
        try:
            self._urls = json.loads(self._first_line(self._process))
        except BaseException:
            self.kill()
            raise
        return self

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(_START_LIMIT_S):
                raise TimeoutError("the simulator did not start in time")
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulator ended with status {process.wait(_STOP_LIMIT_S)}")
        return line

    @property
    def roles(self) -> tuple[str, ...]:
        return self._roles

    @property
    def urls(self) -> dict[str, str]:
        return dict(self._urls)

    def url(self, role: str) -> str:
        return self._urls[role]

    def port(self, role: str) -> int:
        return int(self._urls[role].rpartition(":")[2])

    def stats(self, role: str) -> dict[str, Any]:
        result: dict[str, Any] = self._control("GET", "stats", role)
        return result

    def reset(self, role: str | None = None) -> None:
        """Reset counters, faults and settings; reopen closed listeners."""
        self._control("POST", "reset", role)

    def fault(self, role: str, fault: str, **params: Any) -> None:
        """Activate a fault: `fault("primary", "error_status", status=429, times=1)`."""
        self._control("POST", "faults", role, {"fault": fault, **params})

    def clear_faults(self, role: str | None = None) -> None:
        self._control("DELETE", "faults", role)

    def configure(self, role: str, **settings: Any) -> dict[str, Any]:
        """Change timing or other settings of a role; returns the current settings."""
        result: dict[str, Any] = self._control("POST", "config", role, settings)
        return result

    def refuse(self, role: str) -> None:
        """Close the role's listener: connections are refused until `accept`."""
        self.fault(role, "refuse")

    def accept(self, role: str) -> None:
        self._control("DELETE", "faults", role, query={"fault": "refuse"})

    def wait_for(self, role: str, limit_s: float = 5.0, **wanted: int) -> dict[str, Any]:
        """Wait until these counters have at least the given values; returns the stats:
        `wait_for("primary", aborted=1)`."""
        deadline = time.monotonic() + limit_s
        while True:
            stats = self.stats(role)
            if all(stats[name] >= least for name, least in wanted.items()):
                return stats
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{role}: waited for {wanted}, got { {name: stats[name] for name in wanted} }"
                )
            time.sleep(0.01)

    def stop(self) -> int | None:
        """Stop gracefully; returns the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int | None:
        """Kill the process, like a crash."""
        return self._end()

    def _end(self, *numbers: int) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        status = end(process, *numbers, limit=_STOP_LIMIT_S)
        if process.stdout is not None:
            with contextlib.suppress(OSError):
                process.stdout.close()
        self._http.close()
        return status

    def _control(
        self,
        method: str,
        name: str,
        role: str | None,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> Any:
        params = {**(query or {}), **({"role": role} if role else {})}
        response = self._http.request(
            method, f"{self._urls['control']}/_sim/{name}", params=params, json=body, timeout=10
        )
        if response.status_code != 200:
            raise ValueError(response.json()["error"]["message"])
        return response.json()
