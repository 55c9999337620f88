"""`./Benchmark peers` with a fake peer: what is measured, what is said of a peer that does not come
up, what is left behind."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console

from bench.client import Endpoint
from bench.peers import install as installing
from bench.peers.gateways import Against, Contender, Direct, Program
from bench.peers.install import NotInstalled, install
from bench.peers.run import NAMES, PARTS, Plan, _chosen, compare
from bench.peers.table import (
    GOALS,
    MEASURES,
    PAIRED,
    Findings,
    against,
    figure,
    own,
    ratio,
    tables,
    verdict,
)
from bench.result import Result, Sampler
from bench.router_process import ROOT
from simulator.processes import family, free_port
from simulator.testing import Simulator

RELAY = """
import asyncio, sys
port, backend = map(int, sys.argv[1:])
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def serve(reader, writer):
    back_reader, back_writer = await asyncio.open_connection("127.0.0.1", backend)
    await asyncio.gather(copy(reader, back_writer), copy(back_reader, writer))
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()
asyncio.run(main())
"""


class Relay(Program):
    """Passes bytes on: the least a gateway can do."""

    name = "relay"

    def __init__(self, simulator: Simulator, script: str = RELAY) -> None:
        super().__init__(simulator)
        self._script, self.started = script, list[int]()

    def _launch(self, folder: Path) -> Endpoint:
        port, backend = free_port(), self.backend.url("primary").rpartition(":")[2]
        self.run([sys.executable, "-c", self._script, str(port), backend], folder, {})
        self.started += self.pids
        return Endpoint.of(f"http://127.0.0.1:{port}")


class Broken(Relay):
    name = "broken"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator, "import sys; sys.exit('no such option')")


class Small(Plan):
    def __init__(self) -> None:
        self.parts, self.rounds = PARTS, 1
        self.streams, self.chunks, self.leaves = 5, 24, 1
        self.whole_s = self.first_s = self.load_s = self.cost_s = self.records_s = 0.4
        self.warm_up_s = 0.1
        self.thousands, self.thousands_s = (20, 30), 1.0
        self.idle, self.idle_rounds = 10, 1


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Result], list[int]]]:
    sampler = Sampler(Console(file=open(os.devnull, "w")))  # noqa: SIM115
    with Simulator(roles=("primary",)) as simulator:
        with ExitStack() as stack:
            relay = Relay(simulator)
            contenders: list[Contender] = [Direct(simulator), relay, Broken(simulator)]
            absent = {"Portkey": "needs Node.js"}
            results = compare(
                contenders,
                simulator,
                sampler,
                Small(),
                tmp_path_factory.mktemp("peers"),
                stack,
                absent,
            )
            sampler.stop()
            assert len(relay.started) == 2  # before the simulator, then before the stub
        yield results, relay.started


def row(results: list[Result], measure: str, workers: int = 1) -> dict[str, str]:
    table = results[0]
    found = next(
        row
        for row in table.rows
        if (row.data["measure"], row.data["workers"]) == (measure, workers)
    )
    return dict(zip(table.columns, found.cells, strict=True))


@pytest.mark.tools
def test_everything_is_measured_of_a_peer(compared: tuple[list[Result], list[int]]) -> None:
    for measure in MEASURES:
        # Five streams use too little CPU time to be measured for sure.
        if measure.workers == 1 and measure.key != "cpu_per_chunk":
            assert row(compared[0], measure.key)["relay"] not in ("–", "n/a"), measure.title
    assert row(compared[0], "complete")["relay"] == "100.0"


def table_of(results: list[Result], title: str) -> list[tuple[str, ...]]:
    return [row.cells for one in results if title in one.title for row in one.rows]


def test_thousands_of_streams_have_a_row_for_each_contender_and_count(
    compared: tuple[list[Result], list[int]],
) -> None:
    rows = table_of(compared[0], "Thousands of streams")
    assert [cells[:3] for cells in rows] == [
        ("direct, 20", "20", "20"),
        ("relay, 20", "20", "20"),
        ("direct, 30", "30", "30"),
        ("relay, 30", "30", "30"),
    ]
    assert {cells[-1] for cells in rows if "direct" in cells[0]} == {"–"}  # the stub's own memory
    assert "–" not in (*rows[1][:6], *rows[1][7:])  # CPU: never all at once in so short a run


def test_idle_connections_are_beside_the_traffic(
    compared: tuple[list[Result], list[int]],
) -> None:
    rows = table_of(compared[0], "idle connections")
    assert [(cells[0], cells[1], cells[-1]) for cells in rows] == [
        ("direct", "10", "10"),
        ("relay", "10", "10"),
    ]
    assert all("–" not in cells for cells in rows)


def test_a_peer_that_is_not_there_is_a_column_with_its_reason(
    compared: tuple[list[Result], list[int]],
) -> None:
    table = compared[0][0]
    line = row(compared[0], "requests_per_s")
    assert (line["broken"], line["Portkey"]) == ("n/a", "n/a")
    notes = "\n".join(table.notes)
    assert "broken: it ended at once: no such option" in notes
    assert "Portkey: needs Node.js" in notes
    assert ("Portkey", "–", "n/a: needs Node.js") in [found.cells for found in compared[0][2].rows]


def test_what_was_started_is_stopped(compared: tuple[list[Result], list[int]]) -> None:
    until = time.monotonic() + 5
    while time.monotonic() < until and any(Path(f"/proc/{pid}").exists() for pid in compared[1]):
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in compared[1])


def test_a_family_has_its_grandchildren() -> None:
    assert os.getpid() in family(os.getppid())


# Ratios and goals ---------------------------------------------------------------------------------


def findings() -> Findings:
    found = Findings()
    for key, value in {"ai-router": 0.0008, "LiteLLM": 0.008, "Portkey": 0.0}.items():
        found.set("added_whole_p50", key, value)
    for key, values in {
        "ai-router": [900, 1100, 1000],
        "ai-router ×2": [2100],
        "LiteLLM ×2": [200],
        "Portkey": [1400],
    }.items():
        for value in values:
            found.once("requests_per_s", key, value)
    return found


def goal(key: str, workers: int, against: str | None) -> object:
    return next(
        g for g in GOALS if (g.measure.key, g.measure.workers, g.against) == (key, workers, against)
    )


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert findings().value("requests_per_s", "ai-router") == 1000


def test_ratios_are_of_runs_with_as_many_workers() -> None:
    two = next(m for m in MEASURES if m.key == "requests_per_s" and m.workers == 2)
    assert ratio(findings(), two, "LiteLLM") == 10.5
    assert ratio(findings(), two, "Portkey") == 1.5  # one process, in both lines
    one = next(m for m in MEASURES if m.key == "requests_per_s" and m.workers == 1)
    assert ratio(findings(), one, "LiteLLM") is None


def test_a_ratio_to_nothing_is_none() -> None:
    assert ratio(findings(), MEASURES[0], "Portkey") is None


@pytest.mark.parametrize(
    ("key", "workers", "against", "expected"),
    [
        ("added_whole_p50", 1, None, "yes"),
        ("added_whole_p50", 1, "LiteLLM", "yes"),
        ("requests_per_s", 2, "LiteLLM", "yes"),
        ("requests_per_s", 2, "Portkey", "yes"),
        ("requests_per_s", 1, "Portkey", "NO"),
        ("cold_start", 1, None, "–"),
    ],
)
def test_goals(key: str, workers: int, against: str | None, expected: str) -> None:
    chosen = goal(key, workers, against)
    assert verdict(chosen, own(findings(), chosen)) == expected  # type: ignore[arg-type]


def test_the_goals_are_a_table() -> None:
    class Named:
        name = key = "ai-router"
        version = settings = ""

    measured, goals, _ = tables(findings(), [Named()], {}, "t")  # type: ignore[list-item]
    assert measured.rows[0].cells == (MEASURES[0].title, "0.800")
    assert goals.rows[0].cells == (
        "added latency, 1 at a time, p50 ms",
        "≤ 0.9",
        "≤ 0.6",
        "0.8",
        "yes",
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0004567, "0.457"), (0.00123, "1.23"), (0.0123, "12.3"), (1.5, "1,500")],
)
def test_digits(value: float | None, shown: str) -> None:
    assert figure(value, MEASURES[0]) == shown


# Another checkout ---------------------------------------------------------------------------------


def rounds_of(slower: float, rounds: int = 10) -> Findings:
    """Rounds on a machine whose speed changes; this checkout is so many times slower than the
    other one."""
    found = Findings()
    for i in range(rounds):
        speed = 1 + i % 3
        for measure, workers, _title, more, _limit in PAIRED:
            for name, factor in (("ai-router", slower), ("against", 1.0)):
                key = name if workers == 1 else f"{name} ×{workers}"
                value = 1000 * speed / factor if more else 0.001 / speed * factor
                found.once(measure, key, value * (1 + 0.001 * (i % 2)))
    return found


@pytest.mark.tools
def test_a_ratio_is_that_of_the_rounds_whatever_the_machine_did() -> None:
    for slower, kept in ((1.0, True), (1.02, True), (1.5, False)):
        table = against(rounds_of(slower), 10)
        assert [row.data["kept"] for row in table.rows] == [kept] * len(PAIRED)
        for row in table.rows:
            assert row.data["ratio"].low <= row.data["ratio"].value <= row.data["ratio"].high
            assert row.data["ratio"].value == pytest.approx(slower, rel=1e-6)


def test_few_rounds_are_not_judged() -> None:
    table = against(rounds_of(1.5, rounds=4), 4)
    assert {row.cells[-1] for row in table.rows} == {"too few rounds"}
    nothing = against(Findings(), 0)
    assert {row.cells[1] for row in nothing.rows} == {"0"}


def test_what_is_no_checkout_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match="is no checkout of ai-router"):
        installing.prepare(tmp_path)


@pytest.mark.tools
def test_another_checkout_is_run_in_its_own_environment(tmp_path: Path) -> None:
    """The same code from another path, with a Python of its own."""
    other = tmp_path / "other"
    other.mkdir()
    for path in ROOT.iterdir():
        if path.name not in (".venv", ".git", "logs"):
            (other / path.name).symlink_to(path)
    (other / ".venv" / "bin").mkdir(parents=True)
    python = other / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\ntouch "{other}/used"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    with Simulator() as simulator:
        contender = Against(simulator, 1, 10, other)
        try:
            assert contender.start(tmp_path / "run") > 0
            assert contender.key == "against"
            assert contender.pids
        finally:
            contender.stop()
    assert (other / "used").exists()


# Installing ---------------------------------------------------------------------------------------


def test_names() -> None:
    assert _chosen(NAMES)("ai-router, nginx") == ("nginx", "ai-router")
    assert _chosen(NAMES)(",".join(NAMES)) == NAMES
    with pytest.raises(Exception, match="must be of"):
        _chosen(NAMES)("nginx,other")


def plan(script: str, limit: float = 10.0) -> installing._Plan:
    return installing._Plan("a test", (((sys.executable, "-c", script), limit),), {})


def test_a_failed_installation_is_a_sentence_without_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        installing,
        "_plan",
        lambda *_: plan("import sys; sys.exit('cannot reach https://packages.example/simple now')"),
    )
    with pytest.raises(NotInstalled, match="status 1: cannot reach … now"):
        install("portkey", tmp_path, lambda _line: None)
    assert not (tmp_path / "portkey" / "installed").exists()


def test_an_installation_is_bounded_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "_plan", lambda *_: plan("import time; time.sleep(30)", 0.3))
    begun = time.monotonic()
    with pytest.raises(NotInstalled, match="stopped after"):
        install("portkey", tmp_path, lambda _line: None)
    assert time.monotonic() - begun < 5


def test_what_is_installed_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
    (package / "build").mkdir(parents=True)
    (package / "package.json").write_text('{"version": "1.2.3"}')
    (package / "build" / "start-server.js").touch()
    (tmp_path / "portkey" / "installed").touch()
    monkeypatch.setattr(installing, "_plan", lambda *_: pytest.fail("it was installed again"))
    assert install("portkey", tmp_path, lambda _line: None).version == "1.2.3"
