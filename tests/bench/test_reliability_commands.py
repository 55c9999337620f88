"""`./Benchmark faults`, `failover`, `overload` and `scorecard` end to end, with tiny counts.

They run side by side, so their times are no evidence.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import until_logged

from bench.client import Endpoint
from bench.crowd import send
from simulator.client import MODELS
from simulator.testing import Simulator

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parent.parent.parent
RUNS = {name: (name,) for name in ("failover", "overload", "scorecard")} | {
    "faults": ("faults",),
    "messages": ("faults", "--api", "messages"),
}
INTERRUPTED = "interrupted"
Ran = dict[str, tuple[int, str, dict[str, Any]]]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All of them side by side, and one more that is interrupted."""
    folder = tmp_path_factory.mktemp("reliability")
    commands = {
        name: [*words, "--quick", "--json", str(folder / f"{name}.json")]
        for name, words in RUNS.items()
    } | {INTERRUPTED: ["faults"]}
    own = {name: tmp_path_factory.mktemp(name) for name in commands}  # their routers log there
    processes = {
        name: subprocess.Popen(
            [ROOT / "Benchmark", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(own[name])},
        )
        for name, words in commands.items()
    }
    until_logged(own[INTERRUPTED], 3)
    processes[INTERRUPTED].send_signal(signal.SIGINT)
    yield processes
    for process in processes.values():
        if process.poll() is None:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def ran(started: dict[str, subprocess.Popen[str]]) -> Ran:
    """Exit status, output, and rows by name, of each."""
    found: Ran = {}
    for name in RUNS:
        out, _ = started[name].communicate(timeout=180)
        document = json.loads(Path(str(started[name].args[-1])).read_text())  # type: ignore[index]
        rows = {
            f"{row['name']}, {row['mode']}" if "mode" in row else row["name"]: row
            for t in document["results"]
            for row in t["rows"]
        }
        found[name] = (started[name].returncode, out, rows)
    return found


def kept(rows: dict[str, Any]) -> list[bool]:
    """Of each promise among the rows, whether it was kept; the exit status follows from that."""
    return [bool(row["kept"]) for row in rows.values() if row.get("kept") is not None]


@pytest.mark.parametrize("name", ["faults", "messages"])
def test_no_fault_hangs_truncates_or_doubles_an_answer(ran: Ran, name: str) -> None:
    status, out, rows = ran[name]
    assert status == 0, out
    assert rows["refuse, stream"]["outcome"] == "whole"
    assert rows["refuse, stream"]["first_saw"] == 0
    assert rows["refuse, stream"]["second_saw"] == 1
    assert rows["status 400, whole"]["outcome"] == "clean error"
    assert rows["status 400, whole"]["second_saw"] == 0
    for promise in (
        "hung",
        "truncated as success",
        "duplicated text",
        "broken off",
        "slots in use afterwards",
    ):
        assert rows[promise]["kept"], out


def test_the_cloud_is_last_and_the_second_tiers_json_comes_through(ran: Ran) -> None:
    status, out, rows = ran["failover"]
    assert status == (not all(kept(rows))), out
    assert rows["NFR67 classification JSON valid on the second tier"]["kept"], out
    assert rows["NFR68 calls of the cloud while a local tier is up"]["kept"], out
    assert rows["NFR68 answered by the cloud when both are down"]["kept"], out
    assert rows["NFR65 first request, its process was killed"]["kept"], out
    assert "stopped" not in out, out


def test_under_overload_everyone_is_served_or_told_when_to_come_back(ran: Ran) -> None:
    status, out, rows = ran["overload"]
    assert status == (not all(kept(rows))), out
    assert rows["10×"]["refused"] > 0, out
    assert rows["10×"]["with_retry_after"] == rows["10×"]["refused"], out
    assert rows["10×"]["lost"] == 0, out
    assert rows["slots in use afterwards"]["kept"], out


def test_with_the_shipped_limits_a_cut_is_mended_and_what_is_said_is_what_happened(
    ran: Ran,
) -> None:
    status, out, rows = ran["scorecard"]
    assert status == 0, out
    assert rows["stream cut, stream"]["outcome"] == "whole"
    assert rows["stream cut, stream"]["first_content_s"] < 15
    assert rows["stream cut, whole"]["second_saw"] == 1
    assert rows["failover accounting, stream"]["wrong"] == []
    assert rows["failover accounting, whole"]["requests"] > 5
    assert rows["slots in use afterwards"]["kept"], out


def test_they_refuse_to_break_somebody_elses_backends() -> None:
    done = subprocess.run(
        [ROOT / "Benchmark", "faults", "--url", "http://127.0.0.1:9"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "leave --url out" in done.stdout


def test_an_interrupt_keeps_the_scorecard_so_far(started: dict[str, subprocess.Popen[str]]) -> None:
    process = started[INTERRUPTED]
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130, out
    assert "Interrupted" in out
    assert "refuse" in out


def test_an_open_loop_keeps_its_rate_and_counts_from_when_a_request_was_due() -> None:
    with Simulator(roles=("primary",)) as simulator:
        simulator.configure("primary", slots=1, ttft_nonstream_ms=50)
        endpoint = Endpoint.of(simulator.url("primary"))
        wire = endpoint.wire(
            "/v1/chat/completions",
            {"model": MODELS["primary"], "messages": [{"role": "user", "content": "Hi"}]},
        )
        replies = send(endpoint, [wire] * 40, 10, rate=40)
    assert len(replies) == 40
    assert {reply.status for reply in replies} == {200}
    assert (
        replies[-1].seconds > 0.7
    )  # 40 requests of 50 ms, one after the other, within 1 s: the last waited long
