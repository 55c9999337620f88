"""./gpu-mode gaming|ml|status: takes a local backend out of service and stops its server on the
GPU, or starts it and puts it back.

Uses the router's /admin API at ROUTER_ADMIN_URL, by default on this machine at port AIROUTER_PORT,
PORT or 8002, with ADMIN_KEY if set. The commands are set in config/gpu-mode.yaml (or
GPU_MODE_CONFIG).
"""

from __future__ import annotations

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import requests
import yaml

USAGE = "usage: ./gpu-mode gaming|ml|status"
CONFIG = Path(__file__).resolve().parent.parent / "config" / "gpu-mode.yaml"
POLL = 0.25  # seconds between polls
WORKERS_WAIT = 10.0  # seconds after which workers that have not answered are assumed to be idle
TELL_EVERY = 5.0


class Failed(Exception):
    """Ends the command with an error message."""


@dataclass(frozen=True)
class Config:
    """`config/gpu-mode.yaml`; the waits are in seconds."""

    backend: str = "primary"
    stop: str = ""
    start: str = ""
    drain_wait: float = 120
    command_wait: float = 120
    health_wait: float = 300


def load_config(path: Path) -> Config:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise Failed(f"{path} cannot be read: {error}") from None
    known = {field.name: field.type for field in fields(Config)}
    if not isinstance(data, dict) or set(data) - set(known):
        raise Failed(f"{path} may only contain {', '.join(known)}.")
    for name, value in data.items():
        number = known[name] == "float"
        if number and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise Failed(f"{path}: {name} must be a number of seconds.")
        if not number and not isinstance(value, str):
            raise Failed(f"{path}: {name} must be text.")
    return Config(**data)


def ask(method: str, url: str, **options: Any) -> requests.Response:
    """A request that ignores the proxy settings of the environment."""
    with requests.Session() as http:
        http.trust_env = False
        return http.request(method, url, **options)


def admin_url() -> str:
    """The router's URL: ROUTER_ADMIN_URL, or the port with which it was started."""
    url = os.environ.get("ROUTER_ADMIN_URL")
    if url:
        return url
    # Kubernetes sets such variables to a URL for services; the router ignores these, too.
    told = [os.environ.get(name, "").strip() for name in ("AIROUTER_PORT", "PORT")]
    port = next((text for text in told if text and "://" not in text), "8002")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise Failed(f"{port!r} is not a port; set PORT to the one on which the router listens.")
    return f"http://127.0.0.1:{port}"


class Router:
    """The router's /admin API. Each call uses a new connection, so that any worker may answer."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Connection": "close"} | (
            {"Authorization": f"Bearer {key}"} if key else {}
        )

    def status(self) -> dict[str, Any]:
        return self._ask("GET", "status")

    def event(self, event: str, backend: str) -> None:
        self._ask("POST", "events", {"event": event, "backend": backend})

    def _ask(self, method: str, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = ask(
                method, f"{self._url}/admin/{what}", json=body, headers=self._headers, timeout=10
            )
            told = answer.json()
        except (requests.RequestException, ValueError):
            raise Failed(
                f"No router answers at {self._url}; start it, or set PORT or ROUTER_ADMIN_URL to its address."
            ) from None
        if answer.status_code != 200:
            error = told.get("error") if isinstance(told, dict) else None
            raise Failed(
                str(error.get("message"))
                if isinstance(error, dict)
                else f"{self._url} answered with status {answer.status_code}."
            )
        return dict(told)


def backend_of(status: dict[str, Any], name: str) -> dict[str, Any]:
    found = status["backends"].get(name)
    if found is None:
        raise Failed(
            f"The router has no backend {name!r}; it has {', '.join(status['backends']) or 'none'}. See config/gpu-mode.yaml."
        )
    return dict(found)


def gaming(router: Router, config: Config) -> None:
    """Take the backend out of service, drain it and stop it; undone if draining takes too long."""
    if backend_of(router.status(), config.backend)["out"]:
        print(f"{config.backend} is already out of service.")
        return
    router.event("backend.out", config.backend)
    try:
        drain(router, config)
        run(config.stop, "stop", config.command_wait)
    except BaseException:
        router.event("backend.in", config.backend)
        raise
    print(f"gaming: {config.backend} is out of service{_gpu(config)}.")


def _gpu(config: Config) -> str:
    if config.stop.strip():
        return "; the GPU is free"
    return (
        ", but its server was not stopped and keeps the GPU's memory: stop it, or write how as "
        "`stop:` in config/gpu-mode.yaml"
    )


def drain(router: Router, config: Config) -> None:
    """Wait until no worker of the router has requests in flight on the backend."""
    began = busy_at = time.monotonic()
    told_at = float("-inf")
    idle: set[int] = set()
    while True:
        status = router.status()
        backend, now = backend_of(status, config.backend), time.monotonic()
        left = backend["in_use"] + backend["waiting"]
        if backend["out"] and not left:
            idle.add(status["pid"])
            if len(idle) >= status["workers"] or now - busy_at > WORKERS_WAIT:
                return
        else:
            idle.discard(status["pid"])
            busy_at = now
            if now - began > config.drain_wait:
                raise Failed(
                    f"{config.backend} is still answering {left} requests after {config.drain_wait:g} s: it was put back into service."
                )
            if now - told_at >= TELL_EVERY:
                told_at = now
                print(f"waiting for {left} requests in flight on {config.backend} ...", flush=True)
        time.sleep(POLL)


def ml(router: Router, config: Config) -> None:
    """Start the backend, wait until it is healthy, warm it up and put it back into service."""
    backend = backend_of(router.status(), config.backend)
    if not backend["out"]:
        print(f"{config.backend} is already in service.")
        return
    run(config.start, "start", config.command_wait)
    wait_for_health(backend["url"], config)
    warm_up(backend["url"], backend["model"])
    router.event("backend.in", config.backend)
    print(f"ml: {config.backend} is in service.")


def wait_for_health(url: str, config: Config) -> None:
    """GET /health, or /v1/models if that path does not exist."""
    began, told_at = time.monotonic(), time.monotonic()
    while True:
        for path in ("/health", "/v1/models"):
            code = code_of(f"{url}{path}")
            if code == 200:
                return
            if code != 404:
                break
        now = time.monotonic()
        if now - began > config.health_wait:
            raise Failed(
                f"{config.backend} is not healthy after {config.health_wait:g} s ({url}); it stays out of service."
            )
        if now - told_at >= TELL_EVERY:
            told_at = now
            print(f"waiting for {config.backend} to be healthy ... {now - began:.0f} s", flush=True)
        time.sleep(POLL)


def code_of(url: str) -> int:
    try:
        return ask("GET", url, timeout=5).status_code
    except requests.RequestException:
        return 0


def warm_up(url: str, model: str | None) -> None:
    """Generate one token, so that no user waits for one-time initialisation of the server."""
    try:
        listed = ask("GET", f"{url}/v1/models", timeout=10).json()["data"][0]["id"]
    except (requests.RequestException, ValueError, KeyError, IndexError, TypeError):
        listed = model
    body = {"model": listed, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    try:
        code = ask("POST", f"{url}/v1/chat/completions", json=body, timeout=120).status_code
    except requests.RequestException as error:
        raise Failed(
            f"The warm-up request failed ({type(error).__name__}); the backend stays out of service."
        ) from None
    if code >= 500:
        raise Failed(
            f"The warm-up request was answered with status {code}; the backend stays out of service."
        )


def run(command: str, name: str, limit: float) -> None:
    if not command.strip():
        return
    print(f"{name}: {command}", flush=True)
    try:
        done = subprocess.run(
            ["sh", "-c", command], stdin=subprocess.DEVNULL, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"The {name} command took more than {limit:g} s.") from None
    if done.returncode:
        raise Failed(f"The {name} command failed with exit status {done.returncode}.")


def show(router: Router, config: Config) -> None:
    status = router.status()
    out = backend_of(status, config.backend)["out"]
    print(
        f"mode: {'gaming' if out else 'ml'} ({config.backend} is {'out of' if out else 'in'} service)"
    )
    if status["draining"]:
        print("the router is draining")
    print(
        f"{'backend':<14} {'service':<8} {'breaker':<10} {'in use':>7} {'waiting':>8}  {'pause':<11} model"
    )
    for name, told in status["backends"].items():
        used = f"{told['in_use']}/{told['slots']}"
        service = "out" if told["out"] else "in"
        pause, model = told["pause"] or "-", told["model"] or "?"
        print(
            f"{name:<14} {service:<8} {told['breaker']:<10} {used:>7} {told['waiting']:>8}  {pause:<11} {model}"
        )
    for line in gpu_memory():
        print(line)


def gpu_memory() -> list[str]:
    """One line per GPU, if nvidia-smi is available."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = [
        "nvidia-smi",
        "--query-gpu=index,name,memory.used,memory.total",
        "--format=csv,noheader",
    ]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ["gpu: nvidia-smi does not answer"]
    rows = [
        [part.strip() for part in line.split(",")]
        for line in told.splitlines()
        if line.count(",") >= 3
    ]
    return [
        f"gpu {index}: {used} of {total} used ({name})"
        for index, name, used, total in (row[:4] for row in rows)
    ]


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # an interrupted change is undone
    modes = {"gaming": gaming, "ml": ml, "status": show}
    if len(arguments) != 1 or arguments[0] not in modes:
        print(USAGE, file=sys.stderr)
        return 1
    try:
        config = load_config(Path(os.environ.get("GPU_MODE_CONFIG") or CONFIG))
        router = Router(admin_url(), os.environ.get("ADMIN_KEY"))
        modes[arguments[0]](router, config)
    except Failed as error:
        print(f"gpu-mode: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gpu-mode: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
