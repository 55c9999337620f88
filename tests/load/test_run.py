"""`python -m load` end to end, and what its processes hand each other."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.router_process import ROOT
from load.client import Outcome, Sample, Writer, read
from load.plan import Setup, plan

pytestmark = pytest.mark.tools


def load(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "load", *words],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture(scope="module")
def baseline(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[subprocess.CompletedProcess[str], Path, float]:
    out, begun = tmp_path_factory.mktemp("load"), time.monotonic()
    done = load("--shape", "baseline", "--seconds", "6", "--out", str(out))
    return done, next(out.iterdir()), time.monotonic() - begun


def test_a_short_run_ends_with_a_verdict(
    baseline: tuple[subprocess.CompletedProcess[str], Path, float],
) -> None:
    """How fast it was is the machine's affair: only then may a level be broken."""
    done, _, seconds = baseline
    assert done.returncode in (0, 1), done.stdout + done.stderr
    kept = "Verdict: every service level that could be judged was kept."
    assert done.stdout.splitlines()[-1].startswith(kept) is (done.returncode == 0)
    broken = [line for line in done.stdout.splitlines() if "BREACH" in line]
    assert not any(level in line for line in broken for level in ("failed", "refused", "avail"))
    assert seconds < 120


def test_a_run_leaves_its_files(
    baseline: tuple[subprocess.CompletedProcess[str], Path, float],
) -> None:
    folder = baseline[1]
    names = {path.name for path in folder.iterdir()}
    assert {"stats_stats.csv", "report.html", "verdict.json", "phases.jsonl", "locust.txt"} <= names
    samples = read(folder.glob("samples-*.jsonl"))
    assert samples
    assert {sample.outcome for sample in samples} <= {Outcome.OK, Outcome.ABORTED, Outcome.GAVE_UP}
    assert json.loads((folder / "verdict.json").read_text())["complete"]


def test_nothing_is_left_running(
    baseline: tuple[subprocess.CompletedProcess[str], Path, float],
) -> None:
    folder = str(baseline[1]).encode()
    mine = [path for path in Path("/proc").glob("[0-9]*/environ") if _holds(path, folder)]
    assert not mine


def _holds(path: Path, needle: bytes) -> bool:
    try:
        return needle in path.read_bytes()
    except OSError:
        return False


def test_a_breach_is_exit_status_1(tmp_path: Path) -> None:
    slo = tmp_path / "strict.yaml"
    slo.write_text(
        "name: strict\nroutes:\n  primary: {total_ms: {p95: 1}}\n  meta: {total_ms: {p95: 1}}\n"
        "at_least: 1\n"
    )
    done = load(
        "--shape",
        "1x",
        "--seconds",
        "4",
        "--slo",
        str(slo),
        "--out",
        str(tmp_path / "out"),
        "--distributed",
        "2",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BREACH" in done.stdout
    (folder,) = (tmp_path / "out").iterdir()
    assert len([path for path in folder.glob("samples-*.jsonl") if path.stat().st_size]) == 2


def test_an_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "load", "--shape", "1x", "--seconds", "30", "--out", str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 40
    while time.monotonic() < until and not any(
        path.read_text().count("\n") >= 3 for path in tmp_path.glob("*/phases.jsonl")
    ):
        time.sleep(0.1)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=40)
    assert process.returncode == 130, out + errors
    assert "Interrupted" in out
    assert "Verdict at 1×" in out


def test_a_router_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    done = load("--url", "http://127.0.0.1:9", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "cannot be put under load" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_setup_reaches_the_processes_and_the_key_stays_out_of_it(tmp_path: Path) -> None:
    setup = Setup("http://127.0.0.1:1", tmp_path, users=12, phases=tuple(plan("2x")))
    environ = setup.environ("a-secret")
    assert Setup.from_environ(environ) == setup
    assert "a-secret" not in environ["AI_ROUTER_LOAD"]
    assert setup.endpoint(environ).api_key == "a-secret"
    assert "a-secret" not in repr(setup)


def test_samples_survive_a_process_that_was_killed(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "new")
    late, early = (
        Sample(at, "chat", "primary", Outcome.OK, 200, 0.5, 0.1, 9, 80.0, 0.02) for at in (2.0, 1.0)
    )
    writer.add(late)
    writer.add(early)
    (path,) = (tmp_path / "new").glob("samples-*.jsonl")
    with path.open("a") as file:
        file.write('{"at": 3.0, "us')
    assert read([path]) == [early, late]
