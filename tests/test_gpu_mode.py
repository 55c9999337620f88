"""./gpu-mode gaming|ml|status: the GPU is handed over and back without cutting an answer."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import REFUSED, Stream, ask, body, eventually, is_whole, steer
from resilience_harness import Running, admin, backend

from bench.gpu_mode import GpuMode
from bench.router_process import ROOT, RouterProcess
from scripts.gpu_mode import Config
from simulator.testing import Simulator

PRIMARY = {"model": "ai-router/primary"}


class Mode(GpuMode):
    """`./gpu-mode` with a configuration whose commands write down that they ran."""

    def __init__(self, router: RouterProcess | None, folder: Path, **config: Any) -> None:
        self.calls = folder / "calls"
        commands = {"stop": f"echo stop >> {self.calls}", "start": f"echo start >> {self.calls}"}
        url = router.url if router is not None else REFUSED
        super().__init__(url, folder, **{"backend": "primary", **commands, **config})

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().split() if self.calls.exists() else []


@pytest.fixture
def router(make_router, sim: Simulator) -> RouterProcess:
    found: RouterProcess = make_router(config={"probes": {"interval": 0.5}})
    return found


@pytest.fixture
def mode(router: RouterProcess, tmp_path: Path) -> Mode:
    return Mode(router, tmp_path)


@pytest.mark.tools
def test_gaming_and_back(router: RouterProcess, mode: Mode, sim: Simulator) -> None:
    """Out, stopped and visible as such; started, warmed up and in service again; each of it twice
    is once."""
    out = mode("gaming")
    assert (out.returncode, out.stderr) == (0, "")
    assert mode.called == ["stop"]
    assert backend(router)["out"] is True
    refused = ask(router, "Hello", **PRIMARY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "backend_out")
    again = mode("gaming")
    assert (again.returncode, mode.called) == (0, ["stop"])
    assert "already" in again.stdout
    assert "mode: gaming" in mode("status").stdout

    before = sim.stats("primary")["started"]
    back = mode("ml")
    assert (back.returncode, back.stderr) == (0, "")
    assert mode.called == ["stop", "start"]
    assert backend(router)["out"] is False
    (warm_up,) = sim.stats("primary")["requests"][before:]
    assert warm_up["params"]["max_tokens"] == 1
    assert ask(router, "Hello", **PRIMARY).status_code == 200
    again = mode("ml")
    assert (again.returncode, mode.called) == (0, ["stop", "start"])
    assert "already" in again.stdout
    shown = mode("status").stdout
    assert "mode: ml" in shown
    for name in ("router", "primary", "xai", "closed"):
        assert name in shown


@pytest.mark.tools
def test_ml_starts_a_server_that_is_down_though_it_is_in_service(
    router: RouterProcess, sim: Simulator, tmp_path: Path
) -> None:
    """As after a restart of the router during gaming mode, which it does not remember."""
    fault = f"{sim.urls['control']}/_sim/faults?role=primary"
    start = f"echo start >> {tmp_path / 'calls'}; curl -sf -o /dev/null -X DELETE '{fault}'"
    sim.refuse("primary")
    mode = Mode(router, tmp_path, start=start)
    back = mode("ml")
    assert (back.returncode, back.stderr) == (0, "")
    assert mode.called == ["start"]
    assert backend(router)["out"] is False
    assert ask(router, "Hello", **PRIMARY).status_code == 200


@pytest.mark.tools
def test_gaming_waits_for_what_is_under_way(
    router: RouterProcess, mode: Mode, sim: Simulator
) -> None:
    """The stop command runs when the last answer is out, and that answer is whole."""
    stream = Running(
        lambda: Stream(
            router, body(steer("Slowly", primary={"tokens": 90, "tps": 15}), **PRIMARY)
        ).read()
    )
    eventually(lambda: sim.stats("primary")["running"] == 1)
    out = mode("gaming")
    assert out.returncode == 0
    assert stream.done
    assert "waiting for 1 requests" in out.stdout
    told = stream.one()
    assert is_whole(told.text)
    assert told.done


def test_a_drain_that_takes_too_long_is_undone(
    router: RouterProcess, sim: Simulator, tmp_path: Path
) -> None:
    """Nothing is stopped while requests are in flight: the backend goes back into service, exit
    status 1."""
    mode = Mode(router, tmp_path, drain_wait=0.5)
    stream = Stream(router, body(steer("Slowly", primary={"tokens": 400, "tps": 20}), **PRIMARY))
    out = mode("gaming")
    assert out.returncode == 1
    assert "put back into service" in out.stderr
    assert mode.called == []
    assert backend(router)["out"] is False
    stream.close()


def test_ml_waits_for_health(router: RouterProcess, mode: Mode, sim: Simulator) -> None:
    """The backend is back in service only when it has loaded its model."""
    assert mode("gaming").returncode == 0
    sim.fault("primary", "loading")
    back = Running(lambda: mode("ml"))
    eventually(lambda: "start" in mode.called)
    threading.Event().wait(0.7)
    assert not back.done
    assert backend(router)["out"] is True
    sim.clear_faults()
    assert back.one().returncode == 0
    assert backend(router)["out"] is False


@pytest.mark.tools
def test_what_goes_wrong_is_said(router: RouterProcess, sim: Simulator, tmp_path: Path) -> None:
    """A failing command, a backend that stays down, an unknown backend, a bad file: one sentence,
    exit status 1, the safe state."""
    failing = Mode(router, tmp_path, stop="exit 3", start="false")
    out = failing("gaming")
    assert (out.returncode, backend(router)["out"]) == (1, False)
    assert "exit status 3" in out.stderr
    admin(router, "events", {"event": "backend.out", "backend": "primary"})
    assert failing("ml").returncode == 1
    assert backend(router)["out"] is True
    sim.refuse("primary")
    dead = Mode(router, tmp_path, health_wait=0.6)("ml")
    assert (dead.returncode, backend(router)["out"]) == (1, True)
    assert "not healthy" in dead.stderr
    for config in ({"backend": "nobody"}, {"shell": "x"}, {"drain_wait": "long"}, {"stop": ["a"]}):
        wrong = Mode(router, tmp_path, **config)("status")
        assert wrong.returncode == 1, config
        assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [(), ("on",), ("gaming", "now"), ("--help",)])
def test_a_bad_argument_is_answered_with_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Usage on stderr, exit status 1, and the router is not asked."""
    answer = Mode(None, tmp_path)(*arguments)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == "usage: ./gpu-mode gaming|ml|status\n"


def test_without_a_router_it_says_so(tmp_path: Path) -> None:
    """Nothing is stopped if the router cannot be reached."""
    mode = Mode(None, tmp_path)
    answer = mode("gaming")
    assert answer.returncode == 1
    assert "No router answers" in answer.stderr
    assert mode.called == []


@pytest.mark.parametrize(
    "env", [{"PORT": "{port}"}, {"AIROUTER_PORT": "{port}", "PORT": "9"}], ids=["own", "other's"]
)
def test_the_port_that_the_router_was_started_with(
    router: RouterProcess, tmp_path: Path, env: dict[str, str]
) -> None:
    """PORT says where it is, AIROUTER_PORT where PORT is another program's; ROUTER_ADMIN_URL
    wins."""
    mode = Mode(router, tmp_path)
    del mode.env["ROUTER_ADMIN_URL"]
    env = {name: value.format(port=router.port) for name, value in env.items()}
    assert "mode: ml" in mode("status", **env).stdout
    refused = mode("status", **env, ROUTER_ADMIN_URL=REFUSED)
    assert f"No router answers at {REFUSED}" in refused.stderr


@pytest.mark.parametrize("port", ["many", "0", "70000", "-1"])
def test_a_port_that_is_none_is_said(tmp_path: Path, port: str) -> None:
    """One sentence, and exit status 1."""
    mode = Mode(None, tmp_path)
    del mode.env["ROUTER_ADMIN_URL"]
    answer = mode("status", PORT=port)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == f"gpu-mode: {port!r} is not a port; " + (
        "set PORT to the one on which the router listens.\n"
    )


def test_the_admin_key_is_sent(make_router, sim: Simulator, tmp_path: Path) -> None:
    """ADMIN_KEY from the environment opens /admin; without it the refusal is passed on. GPU memory
    is shown where it can be."""
    router = make_router(env={"ADMIN_KEY": "secret"}, warm=False)
    mode = Mode(router, tmp_path)
    assert "admin key" in mode("status").stderr
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho '0, Some GPU, 1000 MiB, 24000 MiB'\n")
    (tools / "nvidia-smi").chmod(0o755)
    shown = mode("status", ADMIN_KEY="secret", PATH=f"{tools}:{os.environ['PATH']}")
    assert shown.returncode == 0
    assert "gpu 0: 1000 MiB of 24000 MiB used (Some GPU)" in shown.stdout


def test_the_page_names_what_is_there() -> None:
    """docs/gpu-mode.md: its configuration is valid, of a backend of the chain that it starts; each
    of its commands is one; its messages are those of the script."""
    page = (ROOT / "docs" / "gpu-mode.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    chain = yaml.safe_load((ROOT / "config" / "examples" / "three-tiers.yaml").read_text("utf-8"))
    assert Config.model_validate(yaml.safe_load(block)).backend in chain["backends"]
    assert set(re.findall(r"gpu-mode[ @](\w+)", page)) <= {"gaming", "ml", "status", "service"}
    script = (ROOT / "scripts" / "gpu_mode.py").read_text("utf-8")
    script = "".join(re.split(r'"\s*\n\s*f?"', script))  # strings in pieces
    for said in (
        "No router answers at",
        "The router has no backend",
        "it was put back into service",
        "but its server was not stopped and keeps the GPU's memory",
        "is not healthy and stays out of service",
    ):
        assert said in page
        assert said in script
    limits = {name: field.default for name, field in Config.model_fields.items()}
    assert f"`drain_wait` ({limits['drain_wait']} s)" in page
    assert f"`health_wait` ({limits['health_wait']} s)" in page
