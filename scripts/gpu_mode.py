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
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, ValidationError

CONFIG = Path(__file__).resolve().parent.parent / "config" / "gpu-mode.yaml"
POLL = 0.25  # seconds between polls
WORKERS_WAIT = 10.0  # seconds after which workers that have not answered are assumed to be idle
TELL_EVERY = 5.0
NOT_STOPPED = (
    ", but its server was not stopped and keeps the GPU's memory: stop it, or write how as `stop:` "
    "in config/gpu-mode.yaml"
)


class Failed(Exception):
    """Ends the command with an error message."""


class Config(BaseModel):
    """`config/gpu-mode.yaml`; the waits are in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    backend: str = "primary"
    stop: str = ""
    start: str = ""
    drain_wait: NonNegativeFloat = 120
    command_wait: NonNegativeFloat = 120
    health_wait: NonNegativeFloat = 300


def load_config(path: Path) -> Config:
    try:
        return Config.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError) as error:
        raise Failed(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "the file"
        raise Failed(f"{path}: {name}: {first['msg']}") from None


def ask(method: str, url: str, **options: Any) -> requests.Response:
    """A request that ignores the proxy settings of the environment."""
    with requests.Session() as http:
        http.trust_env = False
        return http.request(method, url, **options)


def admin_url() -> str:
    """The router's URL: ROUTER_ADMIN_URL, or the port with which it was started."""
    if url := os.environ.get("ROUTER_ADMIN_URL"):
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

    def tell(self, **event: str) -> dict[str, Any]:
        """Its status; with `event` and `backend`, its answer to that event."""
        method, what = ("POST", "events") if event else ("GET", "status")
        url, headers = f"{self._url}/admin/{what}", self._headers
        try:
            answer = ask(method, url, json=event or None, headers=headers, timeout=10)
            told = answer.json()
        except (requests.RequestException, ValueError):
            raise Failed(
                f"No router answers at {self._url}; start it, or set PORT or ROUTER_ADMIN_URL to "
                "its address."
            ) from None
        if answer.status_code == 200:
            return dict(told)
        error = told.get("error") if isinstance(told, dict) else None
        said = f"{self._url} answered with status {answer.status_code}."
        raise Failed(str(error.get("message")) if isinstance(error, dict) else said)


def backend_of(status: dict[str, Any], name: str) -> dict[str, Any]:
    found = status["backends"].get(name)
    if found is None:
        known = ", ".join(status["backends"]) or "none"
        raise Failed(
            f"The router has no backend {name!r}; it has {known}. See config/gpu-mode.yaml."
        )
    return dict(found)


def gaming(router: Router, config: Config) -> None:
    """Take the backend out of service, drain it and stop it; undone if draining takes too long."""
    if backend_of(router.tell(), config.backend)["out"]:
        print(f"{config.backend} is already out of service.")
        return
    router.tell(event="backend.out", backend=config.backend)
    try:
        drain(router, config)
        run(config.stop, "stop", config.command_wait)
    except BaseException:
        router.tell(event="backend.in", backend=config.backend)
        raise
    gpu = "; the GPU is free" if config.stop.strip() else NOT_STOPPED
    print(f"gaming: {config.backend} is out of service{gpu}.")


def wait(check: Callable[[], str | None], limit: float, outcome: str) -> None:
    """Poll until `check` returns None; else it returns what is being waited for, "" for nothing
    worth mentioning.

    Raises:
        Failed: that took longer than `limit` seconds; says what was waited for, and `outcome`.
    """
    began, told_at = time.monotonic(), float("-inf")
    while (waiting := check()) is not None:
        now = time.monotonic()
        if waiting and now - began > limit:
            raise Failed(f"Waited {limit:g} s for {waiting}: {outcome}.")
        if waiting and now - told_at >= TELL_EVERY:
            told_at = now
            print(f"waiting for {waiting} ...", flush=True)
        time.sleep(POLL)


def drain(router: Router, config: Config) -> None:
    """Wait until no worker of the router has requests in flight on the backend."""
    busy_at = time.monotonic()
    idle: set[int] = set()

    def busy() -> str | None:
        nonlocal busy_at
        status = router.tell()
        backend, now = backend_of(status, config.backend), time.monotonic()
        left = backend["in_use"] + backend["waiting"]
        if left or not backend["out"]:
            idle.discard(status["pid"])
            busy_at = now
            return f"{left} requests in flight on {config.backend}"
        idle.add(status["pid"])
        return None if len(idle) >= status["workers"] or now - busy_at > WORKERS_WAIT else ""

    wait(busy, config.drain_wait, "it was put back into service")


def ml(router: Router, config: Config) -> None:
    """Start the backend, wait until it is healthy, warm it up and put it back into service.

    Also one that is in service but not healthy: a router that was restarted during gaming mode has
    forgotten it.
    """
    backend = backend_of(router.tell(), config.backend)
    if not backend["out"]:
        if health_of(backend["url"]) == 200:
            print(f"{config.backend} is already in service.")
            return
        router.tell(event="backend.out", backend=config.backend)
    run(config.start, "start", config.command_wait)
    wait_for_health(backend["url"], config)
    warm_up(backend["url"], backend["model"])
    router.tell(event="backend.in", backend=config.backend)
    print(f"ml: {config.backend} is in service.")


def wait_for_health(url: str, config: Config) -> None:
    def unhealthy() -> str | None:
        return None if health_of(url) == 200 else f"{config.backend} to be healthy ({url})"

    wait(unhealthy, config.health_wait, "it is not healthy and stays out of service")


def health_of(url: str) -> int:
    """The status of GET /health, or of /v1/models if that path does not exist; 0 for no answer."""
    code = code_of(f"{url}/health")
    return code_of(f"{url}/v1/models") if code == 404 else code


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
        problem = f"was answered with status {code}" if code >= 500 else ""
    except requests.RequestException as error:
        problem = f"failed ({type(error).__name__})"
    if problem:
        raise Failed(f"The warm-up request {problem}; the backend stays out of service.")


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
    status = router.tell()
    out = backend_of(status, config.backend)["out"]
    mode, where = ("gaming", "out of") if out else ("ml", "in")
    print(f"mode: {mode} ({config.backend} is {where} service)")
    if status["draining"]:
        print("the router is draining")
    line = "{:<14} {:<8} {:<10} {:>7} {:>8}  {:<11} {}".format
    print(line("backend", "service", "breaker", "in use", "waiting", "pause", "model"))
    for name, told in status["backends"].items():
        used, service = f"{told['in_use']}/{told['slots']}", "out" if told["out"] else "in"
        pause, model = told["pause"] or "-", told["model"] or "?"
        print(line(name, service, told["breaker"], used, told["waiting"], pause, model))
    print(gpu_memory(), end="")


def gpu_memory() -> str:
    """One line per GPU, if nvidia-smi is available."""
    query = ["--query-gpu=index,name,memory.used,memory.total", "--format=csv,noheader"]
    try:
        told = subprocess.run(
            ["nvidia-smi", *query], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except FileNotFoundError:
        return ""
    except (OSError, subprocess.SubprocessError):
        return "gpu: nvidia-smi does not answer\n"
    gpu = re.compile(r"^(\d+), (.*), ([^,\n]*), ([^,\n]*)$", re.MULTILINE)
    return gpu.sub(r"gpu \1: \3 of \4 used (\2)", told)


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # an interrupted change is undone
    modes = {"gaming": gaming, "ml": ml, "status": show}
    if len(arguments) != 1 or arguments[0] not in modes:
        print("usage: ./gpu-mode gaming|ml|status", file=sys.stderr)
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
