"""Ctrl-C while a command is still importing modules ends it without a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Runs a module or file as `python -m` does, and interrupts it when it imports `at`.
INTERRUPTED = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == at:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

command, at, *sys.argv[1:] = sys.argv[1:]
sys.meta_path.insert(0, Finder())
sys.path.insert(0, os.getcwd())
if command.endswith(".py"):
    runpy.run_path(command, run_name="__main__")
else:
    runpy.run_module(command, run_name="__main__", alter_sys=True)
"""


def interrupted(command, at, *arguments):
    return subprocess.run(
        [sys.executable, "-c", INTERRUPTED, command, at, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PRIMARY_URL": "http://127.0.0.1:9"},
        # The shell that started the tests may have made them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "at"),
    [
        ("airouter", "airouter.cli.check_config"),
        ("bench", "bench.ab"),
        ("bench.soak", "bench.router_process"),
        ("bench.slo_suite", "bench.endpoint"),
        ("load", "bench.router_process"),
        ("learn.check_data", "learn.data"),
        ("learn.train", "learn.card"),
        ("learn.gate", "airouter.domain.errors"),
        ("scripts/gpu_mode.py", "requests"),
    ],
)
def test_an_interrupted_import_ends_the_command_quietly(command, at):
    done = interrupted(command, at)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_an_interrupted_start_of_gunicorn_ends_it_quietly():
    done = interrupted("gunicorn", "app", "-c", "gunicorn.conf.py")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
