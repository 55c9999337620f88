"""`./Benchmark connections`: its verdicts, and end to end with tiny counts."""

import json
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from bench.client import Endpoint
from bench.connections import QUICK, _Connections
from bench.result import Sampler
from bench.router_process import ROOT
from bench.stub import Stub


@pytest.mark.parametrize(
    ("with_them", "alive", "refused", "kept"),
    [
        (0.014, 0.049, 0, [True, True, True, True]),
        (0.016, 0.049, 0, [True, True, True, False]),
        (0.014, 0.051, 0, [True, True, False, True]),
        (0.014, 0.049, 2, [False, True, True, True]),
    ],
)
def test_what_is_promised(with_them: float, alive: float, refused: int, kept: list[bool]) -> None:
    bench = _Connections(Endpoint("127.0.0.1", 9), [], Stub(), Sampler(Console()), QUICK)
    p99 = {False: [0.010, 0.020, 0.010], True: [with_them, 0.020, with_them]}
    bench._judge(p99, {"beside them": [0.001, alive]}, failures=0, refused=refused)
    assert [row.data["kept"] for row in bench.promises.result.rows] == kept


@pytest.mark.tools
def test_it_measures_with_and_without_them(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = subprocess.run(
        [ROOT / "Benchmark", "connections", "--quick", "--json", str(out)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    table, promises = json.loads(out.read_text())["results"]
    assert [row["crowd"] for row in table["rows"]] == [False, True]
    assert table["rows"][1]["held"]["idle"] == QUICK.idle
    assert table["rows"][0]["p99_s"] > 0
    assert len(promises["rows"]) == 8
    assert done.returncode == bool(promises["broken"])
