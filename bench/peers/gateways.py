"""The gateways that are compared, each as its own documentation runs it in production: how it is
started, where it listens, which processes it is, how it is stopped."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from bench.client import Connection, Endpoint, Failure
from bench.peers.install import Installed, NotInstalled, last_line
from bench.prompts import body
from bench.router_process import ROOT, RouterProcess, shipped_threads
from bench.stand import Backends, router_before
from simulator.processes import children, end, family, free_port, spawn

MODEL = "primary-model"
TIERS = ("rules", "cache", "learned", "one_token", "reasoning")
_LOOPBACK_JS = """// The gateway has no option for its address: it would listen on all of them.
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  if (args[0] && typeof args[0] === 'object') args[0] = { ...args[0], host: '127.0.0.1' };
  else if (typeof args[1] !== 'string') args.splice(1, 0, '127.0.0.1');
  return listen.apply(this, args);
};
"""
_NGINX = """
daemon off; worker_processes $workers; worker_rlimit_nofile 16384; pid $folder/nginx.pid;
error_log $folder/error.log crit; $user
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path $folder/body; proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi; scgi_temp_path $folder/scgi;
  upstream backend { server 127.0.0.1:$backend_port; keepalive 128; }
  server {
    listen 127.0.0.1:$port backlog=2048;
    location / {
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s;
    }
  }
}
"""
_LITELLM = """
model_list:
  - model_name: $model
    litellm_params: {model: openai/$model, api_base: $backend/v1, api_key: none}
litellm_settings: {set_verbose: false, telemetry: false, request_timeout: 600}
general_settings: {master_key: $key}
"""


class Contender(ABC):
    """`start` returns the seconds until the first answer; afterwards `endpoint`, `model` and `pids`
    are known.

    Args:
        backend: what it stands before from its next start on.
    """

    name: str
    endpoint: Endpoint
    start_limit = 30.0

    def __init__(self, backend: Backends, workers: int = 1) -> None:
        self.backend, self.workers = backend, workers
        self.model, self.version, self.settings = MODEL, "", ""
        self.running = False
        self.pid: int | None = None  # of the process above all its others

    @property
    def key(self) -> str:
        return self.name if self.workers == 1 else f"{self.name} ×{self.workers}"

    def chat(
        self, text: str, *, close: bool = False, stream: bool = False, model: str = ""
    ) -> bytes:
        asked = body(text, model or self.model, stream=stream)
        return self.endpoint.chat(asked, close=close)

    def start(self, folder: Path) -> float:
        """Start it and wait for its first answer.

        Raises:
            NotInstalled: it does not come up.
        """
        folder.mkdir(parents=True, exist_ok=True)
        begun, problem = time.perf_counter(), "no answer"
        self.endpoint = self._launch(folder)
        while (waited := time.perf_counter() - begun) < self.start_limit:
            if (ended := self._ended()) is not None:
                raise NotInstalled(f"it ended at once: {ended}")
            try:
                with Connection(self.endpoint, timeout=self.start_limit - waited) as connection:
                    connection.checked(self.chat("Hello."))
                self.running = True
                return time.perf_counter() - begun
            except Failure as failure:
                problem = str(failure)
                time.sleep(0.02)
        self.stop()
        self.running = False
        raise NotInstalled(f"no answer within {self.start_limit:g} s: {problem}")

    @abstractmethod
    def _launch(self, folder: Path) -> Endpoint:
        """Start its processes; they need not listen yet."""

    def _ended(self) -> str | None:
        """Why it is no longer running; None while it is."""
        return None

    def stop(self) -> None:
        """End what `start` has started; harmless when nothing runs."""
        self.pid = None

    @property
    def pids(self) -> list[int]:
        return [] if self.pid is None else family(self.pid)

    @property
    def worker_pids(self) -> list[int]:
        """Those that serve requests: the leaves of its process tree."""
        return [pid for pid in self.pids if not children(pid)]


class Program(Contender):
    """A contender that is a program of another project."""

    _process: "subprocess.Popen[bytes] | None" = None
    _log = Path()

    def run(self, command: Sequence[str | Path], folder: Path, env: Mapping[str, str]) -> None:
        """Start the program with an environment of its own: PATH is all that it inherits, its home
        is `folder`."""
        self._log = folder / "output.txt"
        self._log.unlink(missing_ok=True)
        path = os.environ.get("PATH", "/usr/bin:/bin")
        environ = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **env}
        self._process = spawn(command, self._log, cwd=folder, env=environ)
        self.pid = self._process.pid

    def _ended(self) -> str | None:
        running = self._process is None or self._process.poll() is None
        return None if running else last_line(self._log)

    def stop(self) -> None:
        process, self._process, self.pid = self._process, None, None
        if process is not None:
            end(process, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Spec:
    """How a gateway runs. In all texts, $program, $folder, $port, $backend and so on are replaced
    by their values in this run."""

    name: str
    settings: str
    command: str
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    headers: Sequence[tuple[str, str]] = ()
    key: str = ""
    start_limit: float = 30.0


SPECS = {
    "nginx": Spec(
        "nginx",
        "one worker process; proxy_buffering off, connections to the backend kept alive, no access "
        "log; no auth",
        "$program -p $folder -c $folder/nginx.conf -e $folder/error.log",
        {"nginx.conf": _NGINX},
    ),
    "portkey": Spec(
        "Portkey",
        "one process, as it is made; NODE_ENV=production, --headless; it has no auth of its own",
        "$node --require $folder/loopback.cjs $program --port=$port --headless",
        {"loopback.cjs": _LOOPBACK_JS},
        {"NODE_ENV": "production"},
        (("x-portkey-provider", "openai"), ("x-portkey-custom-host", "$backend/v1")),
        "none",
    ),
    "smg": Spec(
        "smg",
        "one process, a thread per core; launch --worker-urls as its help says, --log-level error; "
        "no auth",
        "$program launch --host 127.0.0.1 --port $port --worker-urls $backend --log-level error "
        "--prometheus-host 127.0.0.1 --prometheus-port $metrics_port",
    ),
    "litellm": Spec(
        "LiteLLM",
        "--num_workers $workers, LITELLM_MODE=PRODUCTION, LITELLM_LOG=ERROR, set_verbose off, "
        "telemetry off; master key, no DB",
        "$program --config $folder/config.yaml --host 127.0.0.1 --port $port "
        "--num_workers $workers --telemetry False",
        {"config.yaml": _LITELLM},
        {
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches prices from the network
            "NO_DOCS": "True",
            "DISABLE_ADMIN_UI": "True",
        },
        key="$key",
        start_limit=90.0,
    ),
}


class Direct(Contender):
    """The backend itself, without a gateway: what everything is compared with. Who started the
    backend stops it."""

    name = "direct"

    def __init__(self, backend: Backends) -> None:
        super().__init__(backend)
        self.settings = "the simulated backend itself; of streams, the stub itself"

    def _launch(self, folder: Path) -> Endpoint:
        return Endpoint.of(self.backend.url("primary"))


class Gateway(Program):
    """A gateway of another project, started as its `Spec` says."""

    def __init__(
        self, spec: Spec, backend: Backends, installed: Installed, workers: int = 1
    ) -> None:
        super().__init__(backend, workers)
        self.name, self.start_limit, self._spec = spec.name, spec.start_limit, spec
        self.version = installed.version
        self._known = {
            "program": str(installed.program),
            "node": shutil.which("node") or "",
            "model": MODEL,
            "workers": str(workers),
            "user": "user root;" if os.geteuid() == 0 else "",
            "key": f"sk-{secrets.token_hex(16)}",
        }
        self.settings = self._fill(spec.settings)

    def _fill(self, text: str) -> str:
        return Template(text).safe_substitute(self._known)

    def _launch(self, folder: Path) -> Endpoint:
        if "$node" in self._spec.command and not self._known["node"]:
            raise NotInstalled("Node.js is not installed")
        backend = self.backend.url("primary")
        self._known |= {
            "folder": str(folder),
            "port": str(free_port()),
            "metrics_port": str(free_port()),
            "backend": backend,
            "backend_port": backend.rpartition(":")[2],
        }
        for name, text in self._spec.files.items():
            (folder / name).write_text(self._fill(text), encoding="utf-8")
        self.run([self._fill(word) for word in self._spec.command.split()], folder, self._spec.env)
        headers = tuple((name, self._fill(value)) for name, value in self._spec.headers)
        key = self._fill(self._spec.key) or None
        return Endpoint("127.0.0.1", int(self._known["port"]), api_key=key, headers=headers)

    @property
    def worker_pids(self) -> list[int]:
        # With several workers LiteLLM has a helper process of Python's, which serves nothing.
        leaves = super().worker_pids
        return leaves[-self.workers :] if len(leaves) > self.workers > 1 else leaves


class AiRouter(Contender):
    """The whole product: authentication, the cascade, metrics, session files.

    Args:
        root: the checkout it is run from.
        max_count: session files that it keeps; None: as by default.
    """

    name = "ai-router"

    def __init__(
        self,
        backend: Backends,
        workers: int = 1,
        streams: int = 500,
        root: Path = ROOT,
        max_count: int | None = None,
    ) -> None:
        super().__init__(backend, workers)
        self._root = root
        self._env = {} if max_count is None else {"LOG_MAX_COUNT": str(max_count)}
        self._router: RouterProcess | None = None
        self.model, self.version = "ai-router", commit(root)
        self.explicit_model = f"{self.model}/primary"
        self._threads = enough_threads(root, streams)
        threads = f"{self._threads} threads" if self._threads else "threads as by default"
        self.settings = (
            f"{workers} worker{'s' if workers > 1 else ''} on one core each, as by default; "
            f"{threads}; the cascade decides ({', '.join(TIERS)}); auth, metrics and session "
            "files on"
        )

    def _launch(self, folder: Path) -> Endpoint:
        threads = {"threads": self._threads} if self._threads else {}
        config = {
            "queue": {"length": 4096, "wait": 30},
            "server": {"workers": self.workers, **threads},
            "cascade": {"tiers": list(TIERS)},
        }
        key = secrets.token_hex(16)
        self._router = router_before(
            self.backend, folder, config, key=key, slots=4096, root=self._root, env=self._env
        )
        try:
            self._router.start()
        except (RuntimeError, OSError) as error:
            self.stop()
            raise NotInstalled(str(error).strip().splitlines()[-1][:200]) from None
        self.pid = self._router.pid
        return Endpoint.of(self._router.url, key)

    def stop(self) -> None:
        router, self._router, self.pid = self._router, None, None
        if router is not None:
            router.stop(quick=True)

    @property
    def sessions(self) -> Path:
        """Where its session files are."""
        if self._router is None:
            raise RuntimeError("it does not run")
        return self._router.log_dir / "sessions"

    def decides(self, text: str) -> bool:
        """Whether the learned tier decides this prompt: deciding is part of what is measured."""
        with Connection(self.endpoint) as connection:
            headers = connection.chat(body(text, self.model)).headers
        by = headers.get("x-router-tier"), headers.get("x-router-backend")
        return by == ("learned", "primary")


class Against(AiRouter):
    """Another checkout of ai-router."""

    name = "against"


def enough_threads(root: Path, streams: int) -> int | None:
    """How many threads that checkout needs for so many streams; None: as many as it ships.

    A version whose default is hundreds has a thread for each stream.
    """
    shipped = shipped_threads(root)
    return None if shipped is None or shipped < 128 else max(shipped, streams + 64)


def commit(root: Path) -> str:
    """The commit that is checked out there, as far as git knows."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
