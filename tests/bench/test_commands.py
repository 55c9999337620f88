"""`./Benchmark` end to end, with tiny counts."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness import until_logged

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "a-key-that-must-not-be-shown"


def benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "API_KEY": KEY}
    return subprocess.run(
        [ROOT / "Benchmark", *words],
        capture_output=True,
        text=True,
        timeout=150,
        env=environ,
        check=False,
    )


def tables(path: Path) -> dict[str, dict[str, Any]]:
    document = json.loads(path.read_text())
    assert document["complete"]
    assert document["environment"]["python"]
    return {row["name"]: row for table in document["results"] for row in table["rows"]}


@pytest.fixture(scope="module")
def routing(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[subprocess.CompletedProcess[str], Path]:
    out = tmp_path_factory.mktemp("routing") / "out.json"
    return benchmark("routing", "--quick", "--json", str(out)), out


def test_routing_measures_every_route_without_a_failure(
    routing: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, out = routing
    assert done.returncode == 0, done.stderr
    rows = tables(out)
    for name in (
        "MODERATE (short)",
        "MODERATE (long)",
        "COMPLEX",
        "ENRICH",
        "META",
        "direct",
        "routed, decided",
    ):
        assert rows[name]["failures"] == 0, done.stdout
        assert rows[name]["n"] == 2
    assert rows["META"]["classify_p50_s"] == 0
    assert rows["MODERATE (short)"]["classify_p50_s"] > 0


def test_the_long_context_really_is_8k_tokens(
    routing: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    rows = tables(routing[1])
    assert [
        row["prompt_tokens"] >= 8000
        for name, row in rows.items()
        if name.startswith("long context")
    ] == [True]


def test_the_key_is_not_shown(routing: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, out = routing
    assert KEY not in done.stdout + done.stderr + out.read_text()


def test_two_configurations_side_by_side(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = benchmark("routing", "--ab", "speculation=on,off", "--quick", "--json", str(out))
    assert done.returncode == 0, done.stderr
    rows = tables(out)
    assert {row["n"] for row in rows.values()} == {2}
    assert {row["failures"] for row in rows.values()} == {0}
    assert len(rows) == 6


def test_overhead_compares_pairs(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = benchmark("overhead", "--quick", "--json", str(out))
    assert done.returncode == 0, done.stderr
    added = tables(out)["whole answer: added"]
    assert added["n"] == 60
    assert added["failures"] == 0
    assert added["p50_s"]["low"] <= added["p50_s"]["value"] <= added["p50_s"]["high"]


def test_profile_finds_all_its_stages(tmp_path: Path) -> None:
    """A stage that was renamed must not disappear from the profile in silence."""
    done = benchmark("profile", "--quick", "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    assert "no longer there" not in done.stdout


def test_a_router_that_does_not_answer_is_one_sentence() -> None:
    done = benchmark("overhead", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "cannot be measured" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [ROOT / "Benchmark", "routing", "--profile", "homelab"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # where its router logs
    )
    until_logged(tmp_path, 5)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "MODERATE (short)" in out
    assert "Interrupted" in out
