"""The gateways that are compared, each as its own documentation runs it in production."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from bench import prompts
from bench.client import Connection, Endpoint, Failure
from bench.peers.contender import Contender, Program
from bench.peers.install import Installed, NotInstalled
from bench.prompts import body
from bench.router_process import ROOT, RouterProcess
from bench.stand import router_before
from simulator.processes import family, free_port
from simulator.testing import Simulator

MODEL = "primary-model"
TIERS = ("rules", "cache", "learned", "one_token", "reasoning")
_LOOPBACK_JS = """// The gateway has no option for its address: without this it would listen on all of them.
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  if (args[0] && typeof args[0] === 'object') args[0] = { ...args[0], host: '127.0.0.1' };
  else if (typeof args[1] !== 'string') args.splice(1, 0, '127.0.0.1');
  return listen.apply(this, args);
};
"""
_NGINX = """
daemon off; worker_processes $workers; worker_rlimit_nofile 16384; pid $folder/nginx.pid; error_log $folder/error.log crit; $user
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path $folder/body; proxy_temp_path $folder/proxy; fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi; scgi_temp_path $folder/scgi;
  upstream backend { server 127.0.0.1:$backend_port; keepalive 128; }
  server {
    listen 127.0.0.1:$port backlog=2048;
    location / {
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 600s;
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


@dataclass(frozen=True, slots=True)
class Spec:
    """How a gateway runs. In all texts, $program, $folder, $port, $backend and so on stand for what
    they are in this run."""

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
        "one worker process; proxy_buffering off, connections to the backend kept alive, no access log; no auth",
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
    "litellm": Spec(
        "LiteLLM",
        "--num_workers $workers, LITELLM_MODE=PRODUCTION, LITELLM_LOG=ERROR, set_verbose off, telemetry off; master key, no DB",
        "$program --config $folder/config.yaml --host 127.0.0.1 --port $port --num_workers $workers --telemetry False",
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
    simulator stops it."""

    name = "direct"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self._simulator = simulator
        self.model, self.settings = MODEL, "the simulated backend itself"

    def _launch(self, folder: Path) -> Endpoint:
        return Endpoint.of(self._simulator.url("primary"))


class Gateway(Program):
    """A gateway of another project, started as its `Spec` says."""

    def __init__(
        self, spec: Spec, simulator: Simulator, installed: Installed, workers: int = 1
    ) -> None:
        super().__init__(workers)
        self.name, self.start_limit, self._spec = spec.name, spec.start_limit, spec
        self.model, self.version = MODEL, installed.version
        backend = simulator.url("primary")
        self._known = {
            "program": str(installed.program),
            "node": shutil.which("node") or "",
            "backend": backend,
            "backend_port": backend.rpartition(":")[2],
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
            raise NotInstalled(f"{self.name}: Node.js is not installed")
        self._known |= {"folder": str(folder), "port": str(free_port())}
        for name, text in self._spec.files.items():
            (folder / name).write_text(self._fill(text), encoding="utf-8")
        self.run([self._fill(word) for word in self._spec.command.split()], folder, self._spec.env)
        headers = tuple((name, self._fill(value)) for name, value in self._spec.headers)
        key = self._fill(self._spec.key) or None
        return Endpoint("127.0.0.1", int(self._known["port"]), api_key=key, headers=headers)

    @property
    def worker_pids(self) -> list[int]:
        # With several workers LiteLLM has a helper process of Python's beside them, which serves
        # nothing.
        leaves = super().worker_pids
        return leaves[-self.workers :] if len(leaves) > self.workers > 1 else leaves


class AiRouter(Contender):
    """The whole product: authentication, the cascade, metrics, session files.

    Args:
        root: the checkout it is run from.
    """

    name = "ai-router"

    def __init__(
        self, simulator: Simulator, workers: int = 1, streams: int = 500, root: Path = ROOT
    ) -> None:
        super().__init__(workers)
        self._simulator, self._streams, self._root = simulator, streams, root
        self._router: RouterProcess | None = None
        self.learned = (root / "data" / "model" / "weights.npz").exists()
        self.model = "ai-router" if self.learned else "ai-router/primary"
        by = f"the cascade decides ({', '.join(TIERS)})"
        by = by if self.learned else "explicit route: no learned model here"
        count = f"{workers} worker{'s' if workers > 1 else ''} on one core each, as by default"
        self.settings = f"{count}; {by}; auth, metrics and session files on"
        self.version = commit(root)

    def _launch(self, folder: Path) -> Endpoint:
        config = {
            "queue": {"length": 4096, "wait": 30},
            "server": {"workers": self.workers, "threads": max(320, self._streams + 64)},
            **({"cascade": {"tiers": list(TIERS)}} if self.learned else {}),
        }
        key = secrets.token_hex(16)
        self._router = router_before(
            self._simulator, folder, config, key=key, slots=4096, root=self._root
        )
        try:
            self._router.start()
        except (RuntimeError, OSError) as error:
            self.stop()
            raise NotInstalled(f"{self.key}: {str(error).strip().splitlines()[-1][:200]}") from None
        return Endpoint.of(self._router.url, key)

    def stop(self) -> None:
        router, self._router = self._router, None
        if router is not None:
            router.stop(quick=True)

    @property
    def pids(self) -> list[int]:
        return [] if self._router is None else family(self._router.pid)

    def choose_text(self) -> str | None:
        """A prompt that the learned tier decides, so that deciding is part of what is measured;
        None: it decides none."""
        if self.endpoint is None or not self.learned:
            return None
        with Connection(self.endpoint) as connection:
            for text in map(prompts.short, range(20)):
                try:
                    headers = connection.chat(body(text, self.model)).headers
                except Failure:
                    continue
                by = headers.get("x-router-tier"), headers.get("x-router-backend")
                if by == ("learned", "primary"):
                    return text
        return None

    def explicitly(self) -> None:
        """Ask for the primary by name."""
        self.model = "ai-router/primary"
        self.settings = self.settings.replace(
            "the cascade decides", "explicit route: the learned tier is unsure of the prompts; else"
        )


class Against(AiRouter):
    """Another checkout of ai-router."""

    name = "against"


def commit(root: Path) -> str:
    """The commit that is checked out there, as far as git knows."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
