"""A run of the server leaves nothing behind in the temporary folder, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from harness import eventually

from airouter.settings.load import ROOT
from simulator.processes import free_port

HOLD = """
import os, sys, time
from airouter.runtime import run_folder
folder = run_folder.make()
print(folder, flush=True)
{}
"""


def maker(tmp: Path, then: str) -> subprocess.Popen[str]:
    """A process that has made its folder in `tmp`, and goes on with `then`."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD.format(then)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp)},
        stdout=subprocess.PIPE,
        text=True,
    )


def folder_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


@pytest.mark.parametrize(
    "then", ["", "sys.exit(3)", "raise ValueError", "os.fork() or sys.exit(0)"]
)
def test_it_goes_with_its_process(tmp_path: Path, then: str) -> None:
    """Also when that fails; a forked child that ends first does not take it along."""
    with maker(tmp_path, then) as process:
        assert folder_of(process).parent == tmp_path
        process.wait(20)
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_leaves_it_alone(tmp_path: Path) -> None:
    then = "os.waitpid(os.fork() or sys.exit(0), 0); print(folder.exists(), flush=True)"
    with maker(tmp_path, then) as process:
        folder_of(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"


def test_the_next_start_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """And leaves what lives, what is no run's folder, and what a link leads to."""
    (tmp_path / "ai-router-of-a-user").mkdir()
    (tmp_path / "ai-router-notes").write_text("mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run.lock").write_text("")
    (tmp_path / "ai-router-link").symlink_to(elsewhere)
    kept = {path.name for path in tmp_path.iterdir()}
    with maker(tmp_path, "time.sleep(60)") as killed, maker(tmp_path, "time.sleep(60)") as living:
        left, held = folder_of(killed), folder_of(living)
        killed.kill()
        killed.wait(20)
        assert left.exists()
        with maker(tmp_path, "") as third:
            folder_of(third)
            third.wait(20)
        assert {path.name for path in tmp_path.iterdir()} == {*kept, held.name}
        assert (elsewhere / "run.lock").exists()
        living.terminate()
        living.wait(20)


def gunicorn(tmp: Path, folder: Path, port: int, **env: str) -> subprocess.Popen[bytes]:
    config = folder / "router.yaml"
    config.write_text(
        "backends: {primary: {url: 'http://127.0.0.1:9', model: m}}\n"
        "routes: {primary: {backends: [primary]}}\ncascade: {tiers: [rules]}\n"
        "probes: {enabled: false}\n"
    )
    own = {"TMPDIR": str(tmp), "PORT": str(port), "LOG_DIR": str(folder / "logs"), "WORKERS": "2"}
    return subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ROUTER_CONFIG": str(config), **own, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGKILL])
def test_a_server_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    """Its control file and the metrics of its workers, after a gentle stop, a quick one, and a
    kill."""
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    port = free_port()
    with gunicorn(tmp, tmp_path, port) as server:
        try:
            reporting = "ai-router-*/metrics/gauge_livesum_*.db"
            eventually(lambda: len(list(tmp.glob(reporting))) == 2, 30)
            url = f"http://127.0.0.1:{port}/health/liveness"
            eventually(lambda: requests.get(url, timeout=10).ok, 30)
            server.send_signal(how)
            server.wait(30)
            eventually(lambda: not list(tmp.iterdir()), 30, "something is left")
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)


def test_a_server_that_does_not_start_leaves_nothing(tmp_path: Path) -> None:
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    with gunicorn(tmp, tmp_path, free_port(), THREADS="none") as server:
        assert server.wait(60) == 1
    assert list(tmp.iterdir()) == []
