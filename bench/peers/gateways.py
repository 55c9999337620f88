"""The gateways that are compared, each as its own documentation runs it in production."""

import os
import secrets
import shutil
from pathlib import Path

import yaml

from airouter.routing.assemble import BUILDERS
from bench import prompts
from bench.client import Connection, Endpoint, Failure
from bench.peers.contender import Contender, Program, family
from bench.peers.install import Installed, NotInstalled
from bench.prompts import body
from bench.router_process import ROOT, RouterProcess, free_port
from bench.stand import XAI_MODEL
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
daemon off; worker_processes {workers}; worker_rlimit_nofile 16384; pid {folder}/nginx.pid; error_log {folder}/error.log crit; {user}
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 128; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"""


class Direct(Contender):
    """The backend itself, without a gateway: what everything is compared with."""

    name = "direct"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self._simulator = simulator
        self.model = MODEL
        self.settings = "the simulated backend itself"

    def _launch(self, folder: Path) -> Endpoint:
        return Endpoint.of(self._simulator.url("primary"))

    def _ended(self) -> str | None:
        return None

    def stop(self) -> None:
        """The simulator is stopped by who started it."""

    @property
    def pids(self) -> list[int]:
        return []


class Nginx(Program):
    name = "nginx"

    def __init__(self, simulator: Simulator, installed: Installed) -> None:
        super().__init__()
        self._simulator, self._installed = simulator, installed
        self.model, self.version = MODEL, installed.version
        self.settings = "one worker process; proxy_buffering off, connections to the backend kept alive, no access log; no auth"

    def _launch(self, folder: Path) -> Endpoint:
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        conf = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        text = _NGINX.format(
            folder=folder,
            port=port,
            backend=self._simulator.port("primary"),
            workers=self.workers,
            user=user,
        )
        conf.write_text(text, encoding="utf-8")
        self.run(
            [self._installed.program, "-p", folder, "-c", conf, "-e", folder / "error.log"],
            folder,
            {},
        )
        return Endpoint.of(f"http://127.0.0.1:{port}")


class Portkey(Program):
    name = "Portkey"

    def __init__(self, simulator: Simulator, installed: Installed) -> None:
        super().__init__()
        self._simulator, self._installed = simulator, installed
        self.model, self.version = MODEL, installed.version
        self.settings = (
            "one process, as it is made; NODE_ENV=production, --headless; it has no auth of its own"
        )

    def _launch(self, folder: Path) -> Endpoint:
        node = shutil.which("node")
        if node is None:
            raise NotInstalled("Portkey: Node.js is not installed")
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        loopback = folder / "loopback.cjs"
        loopback.write_text(_LOOPBACK_JS, encoding="utf-8")
        command: list[str | Path] = [
            node,
            "--require",
            loopback,
            self._installed.program,
            f"--port={port}",
            "--headless",
        ]
        self.run(command, folder, {"NODE_ENV": "production"})
        headers = (
            ("x-portkey-provider", "openai"),
            ("x-portkey-custom-host", self._simulator.url("primary") + "/v1"),
        )
        return Endpoint("127.0.0.1", port, api_key="none", headers=headers)


class LiteLLM(Program):
    name = "LiteLLM"
    start_limit = 90.0

    def __init__(self, simulator: Simulator, installed: Installed, workers: int = 1) -> None:
        super().__init__(workers)
        self._simulator, self._installed = simulator, installed
        self.model, self.version = MODEL, installed.version
        self.settings = (
            f"--num_workers {workers}, LITELLM_MODE=PRODUCTION, LITELLM_LOG=ERROR, "
            "set_verbose off, telemetry off; master key, no DB"
        )

    def _launch(self, folder: Path) -> Endpoint:
        port, key = free_port(), f"sk-{secrets.token_hex(16)}"
        folder.mkdir(parents=True, exist_ok=True)
        parameters = {
            "model": f"openai/{MODEL}",
            "api_base": self._simulator.url("primary") + "/v1",
            "api_key": "none",
        }
        config = {
            "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
            "litellm_settings": {"set_verbose": False, "telemetry": False, "request_timeout": 600},
            "general_settings": {"master_key": key},
        }
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        options = [
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--num_workers",
            str(self.workers),
            "--telemetry",
            "False",
        ]
        env = {
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches prices from the network
            "NO_DOCS": "True",
            "DISABLE_ADMIN_UI": "True",
        }
        self.run([self._installed.program, "--config", path, *options], folder, env)
        return Endpoint.of(f"http://127.0.0.1:{port}", key)

    @property
    def worker_pids(self) -> list[int]:
        # With several workers there is a helper process of Python's beside them, which serves nothing.
        leaves = super().worker_pids
        return leaves[-self.workers :] if len(leaves) > self.workers else leaves


class AiRouter(Contender):
    """The whole product: authentication, the cascade, metrics, session files."""

    name = "ai-router"

    def __init__(self, simulator: Simulator, workers: int = 1, streams: int = 500) -> None:
        super().__init__(workers)
        self._simulator, self._streams = simulator, streams
        self._router: RouterProcess | None = None
        self.learned = "learned" in BUILDERS and (ROOT / "data" / "model" / "weights.npz").exists()
        self.model = "ai-router" if self.learned else "ai-router/primary"
        by = (
            f"the cascade decides ({', '.join(TIERS)})"
            if self.learned
            else "explicit route: no learned model here"
        )
        count = f"{workers} worker{'s' if workers > 1 else ''} on one core each, as by default"
        self.settings = f"{count}; {by}; auth, metrics and session files on"

    def _launch(self, folder: Path) -> Endpoint:
        roles = ("router", "primary", "xai")
        config = {
            "backends": {role: {"slots": 4096} for role in roles},
            "queue": {"length": 4096, "wait": 30},
            "server": {"workers": self.workers, "threads": max(320, self._streams + 64)},
        }
        if self.learned:
            config["cascade"] = {"tiers": list(TIERS)}
        key = secrets.token_hex(16)
        backends = {role: self._simulator.url(role) for role in roles}
        self._router = RouterProcess(
            folder, backends=backends, config=config, env={"API_KEY": key, "XAI_MODEL": XAI_MODEL}
        )
        try:
            self._router.start()
        except RuntimeError as error:
            self.stop()
            raise NotInstalled(f"{self.key}: {str(error).strip().splitlines()[-1][:200]}") from None
        return Endpoint.of(self._router.url, key)

    def _ended(self) -> str | None:
        return None

    def stop(self) -> None:
        router, self._router = self._router, None
        if router is not None:
            router.stop(quick=True)

    @property
    def pids(self) -> list[int]:
        return [] if self._router is None else family(self._router.pid)

    def choose_text(self) -> str | None:
        """A prompt that the learned tier decides, so that deciding is part of what is measured; None: it decides none."""
        if self.endpoint is None or not self.learned:
            return None
        with Connection(self.endpoint) as connection:
            for i in range(20):
                text = prompts.short(i)
                try:
                    headers = connection.chat(body(text, self.model)).headers
                except Failure:
                    continue
                if (headers.get("x-router-tier"), headers.get("x-router-backend")) == (
                    "learned",
                    "primary",
                ):
                    return text
        self.model = "ai-router/primary"
        self.settings = self.settings.replace(
            "the cascade decides", "explicit route: the learned tier is unsure of the prompts; else"
        )
        return None
