"""Parts of `./Benchmark peers` that need no gateway of another project: its smg plan, threads by
checkout, levels by route, session files, what streams add to the backend's own."""

from itertools import pairwise
from pathlib import Path

import pytest

from bench.peers import flows
from bench.peers import install as installing
from bench.peers.flows import over_direct, per_chunk
from bench.peers.gateways import SPECS, AiRouter, Gateway, enough_threads
from bench.peers.install import SMG, Installed, install
from bench.peers.levels import records, table
from bench.peers.measures import load_of
from bench.peers.table import PAIRED, Findings, against, tables
from bench.prompts import SHORT_TEXT, short
from bench.stub import Stub
from simulator.testing import Simulator


def test_smg_is_installed_in_its_version_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "smg"
    plan = installing._plan("smg", folder)
    assert plan.commands[-1][0][-1] == f"smg=={SMG}"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "smg").touch()
    (folder / "installed").touch()
    (folder / "lib" / "python3" / "site-packages" / f"smg-{SMG}.dist-info").mkdir(parents=True)
    monkeypatch.setattr(installing, "_plan", lambda *_: pytest.fail("it was installed again"))
    assert install("smg", tmp_path, lambda _line: None) == Installed(folder / "bin" / "smg", SMG)


def test_smg_listens_on_this_machine_only() -> None:
    words = SPECS["smg"].command.split()
    pairs = dict(pairwise(words))
    assert pairs["--host"] == pairs["--prometheus-host"] == "127.0.0.1"
    assert pairs["--worker-urls"] == "$backend"


def test_a_gateway_stands_before_the_backend_that_it_has_when_it_starts(tmp_path: Path) -> None:
    """Between two starts it may be moved from the simulator to the stub."""
    started: list[str] = []

    class Noted(Gateway):
        def run(self, command: object, folder: Path, env: object) -> None:
            started.append(self._known["backend"])

    with Stub() as first, Stub() as second:
        one = Noted(SPECS["smg"], first, Installed(Path("smg"), "1"))
        one._launch(tmp_path)
        one.backend = second
        one._launch(tmp_path)
        assert started == [first.url(), second.url()]


@pytest.mark.parametrize(
    ("shipped", "expected"), [("320", 564), ("1000", 1000), ("16", None), ("", None)]
)
def test_a_checkout_with_a_thread_for_each_stream_gets_as_many(
    tmp_path: Path, shipped: str, expected: int | None
) -> None:
    (tmp_path / "docs").mkdir()
    text = f"| `server.threads` | `{shipped}` | Threads. |\n" if shipped else "nothing\n"
    (tmp_path / "docs" / "configuration.md").write_text(f"# Settings\n{text}")
    assert enough_threads(tmp_path, 500) == expected


def test_streams_are_compared_with_the_backend_itself_round_by_round() -> None:
    class Named:
        key = "ai-router"

    findings = Findings()
    for base, own in ((0.001, 0.003), (0.010, 0.013), (0.002, 0.003)):
        findings.once("spread_relay_p99", "direct", base)
        findings.once("spread_relay_p99", "ai-router", own)
    over_direct(findings, [Named()])  # type: ignore[list-item]
    assert findings.value("added_spread_relay_p99", "ai-router") == pytest.approx(0.002)


def test_what_was_not_tried_has_no_row() -> None:
    class Named:
        name = key = "ai-router"
        version = settings = ""

    findings = Findings()
    findings.once("cpu_per_chunk", "ai-router", 0.000066)
    measured, goals, _ = tables(findings, [Named()], {}, "t")  # type: ignore[list-item]
    assert [row.cells for row in measured.rows] == [("CPU per relayed chunk, 1 worker, µs", "66")]
    assert goals.rows == []


def test_cpu_per_chunk_is_compared_with_another_checkout() -> None:
    findings = Findings()
    for _ in range(5):
        findings.once("cpu_per_chunk", "ai-router", 0.000030)
        findings.once("cpu_per_chunk", "against", 0.000060)
    (found,) = [row for row in against(findings, 5).rows if row.data]
    assert found.data["measure"] == PAIRED[-1][0] == "cpu_per_chunk"
    assert found.cells[2:4] == ("30.0", "60.0")
    assert found.data["ratio"].value == pytest.approx(0.5)


def test_opening_and_ending_streams_is_not_in_the_cost_of_a_chunk() -> None:
    streams = [[1.0, 2.0, 3.0, 4.0], [1.5, 2.5, 3.5, 4.5]]
    looks = [(0.5, 5.0), (1.6, 7.0), (2.6, 7.1), (3.6, 7.2), (4.2, 9.0)]
    assert per_chunk(streams, looks) == pytest.approx(0.2 / 4)  # between 1.6 and 3.6
    assert per_chunk(streams, looks[:2]) is None
    assert per_chunk([[1.0, 2.0], [3.0, 4.0]], looks) is None  # never both at once
    assert per_chunk([], looks) is None


# With a router of this checkout -------------------------------------------------------------------


@pytest.mark.tools
def test_a_router_is_measured_by_route_and_in_streams(tmp_path: Path) -> None:
    findings = Findings()
    with Stub() as stub:
        router = AiRouter(stub, 1, 20)
        try:
            router.start(tmp_path / "router")
            wire = router.chat(SHORT_TEXT, model=router.explicit_model)
            names = ("explicit_64_per_s", "explicit_64_p50", "explicit_64_p99")
            load_of(findings, router, wire, 8, 0.5, 0.2, names)
            flows.streams(findings, router, short(0), stub, 20, 40)
            flows.cost(findings, router, short(0), stub, 40, 3)
        finally:
            router.stop()
    (row,) = table(findings, [router]).rows
    assert row.cells[:2] == ("ai-router, explicit", "64")
    assert row.data["rate"] > 10
    assert findings.value("complete", "ai-router") == 1.0
    for measure in flows.STREAMED:
        assert findings.value(measure, "ai-router") is not None, measure
    assert 1e-6 < (findings.value("cpu_per_chunk", "ai-router") or 0) < 0.1, findings.reasons


@pytest.mark.tools
def test_there_is_a_session_file_for_each_request(tmp_path: Path) -> None:
    with Simulator() as simulator:
        kept = [AiRouter(simulator, 1, max_count=100_000)]
        (row,) = records(kept, tmp_path, SHORT_TEXT, 0.5).rows
    assert row.data["kept"], row.cells
    assert row.data["answered"] > 5


@pytest.mark.tools
def test_a_missing_session_file_is_seen(tmp_path: Path) -> None:
    """Of a router that keeps only a few files, most are missing."""
    with Simulator() as simulator:
        result = records([AiRouter(simulator, 1, max_count=1)], tmp_path, SHORT_TEXT, 0.5)
    assert not result.rows[0].data["kept"]
    assert result.broken
