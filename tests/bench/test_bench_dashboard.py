"""`./Benchmark dashboard`: its verdicts, and end to end with tiny counts."""

import json
import subprocess
from pathlib import Path

import pytest

from bench.dashboard import _Found, judge
from bench.result import Promises
from bench.router_process import ROOT


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, [True, True, True, True, True]),
        ({"p99": {False: [0.011] * 3, True: [0.0142] * 3}}, [True, True, True, False, True]),
        ({"rss": [100.0, 106.0]}, [True, True, True, True, False]),
        ({"fewest_events": 0.7, "problems": ["reset"]}, [True, False, False, True, True]),
        ({"failures": 1, "rss": []}, [False, True, True, True, False]),
    ],
)
def test_what_is_promised(changes: dict[str, object], kept: list[bool]) -> None:
    found = _Found(
        p99={False: [0.011] * 3, True: [0.0138] * 3},
        direct=[0.001] * 3,
        rss=[100.0, 104.0],
        fewest_events=0.9,
    )
    for name, value in changes.items():
        setattr(found, name, value)
    promises = Promises("dashboard", "")
    judge(promises, found)
    assert [row.data["kept"] for row in promises.result.rows] == kept


@pytest.mark.tools
def test_it_measures_with_and_without_tabs(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = subprocess.run(
        [ROOT / "Benchmark", "dashboard", "--quick", "--json", str(out)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    table, promises = json.loads(out.read_text())["results"]
    assert [row["watched"] for row in table["rows"]] == [False, True]
    assert table["rows"][0]["p99_s"] > 0
    events = next(row for row in promises["rows"] if "events_s" in row)
    assert events["events_s"] > 0.3
    assert done.returncode == bool(promises["broken"])
