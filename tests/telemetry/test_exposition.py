"""The exposition says what prometheus_client's own would: in both formats, of one process and of
several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from airouter.telemetry.exposition import Exposition

disable_created_metrics()  # as the router does

ROOT = Path(__file__).resolve().parents[2]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def fill(registry):
    """Metrics of all kinds, with label values and documentation that have to be escaped."""
    common = dict(registry=registry, namespace="airouter")
    counter = Counter("lost_total", 'Lost "lines" of C:\\x\nand more.', ("why", "a"), **common)
    counter.labels('a "b" \\ c\nd', "é").inc(2)
    counter.labels("x", "y").inc(1e9)
    histogram = Histogram("t_seconds", "T.", ("route",), buckets=(0.1, 1.0, 10.0), **common)
    for seconds in (0.05, 0.1, 3.0, 99.0):
        histogram.labels("primary").observe(seconds)
    Histogram("plain_seconds", "P.", buckets=(0.5,), **common).observe(0.2)
    for mode in ("livesum", "livemax", "livemin"):
        gauge = Gauge(mode, "G.", ("backend",), multiprocess_mode=mode, **common)
        gauge.labels("b0").set(os.getpid())
    Gauge("alone", "A.", multiprocess_mode="livesum", **common).set(float("inf"))


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_of_one_process_it_is_the_librarys_text(accept):
    """Byte for byte, at the first rendering and with what that has remembered."""
    registry, exposition = CollectorRegistry(), Exposition()
    fill(registry)
    expected = choose_encoder(accept)[0](registry)
    for _ in range(2):
        assert exposition.of_registry(registry, openmetrics=bool(accept)) == expected


WORKERS = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:]
from prometheus_client import CollectorRegistry, multiprocess
from prometheus_client.exposition import choose_encoder
from test_exposition import OPENMETRICS, Exposition, fill
for _ in range(3):
    if os.fork() == 0:
        fill(CollectorRegistry())
        os._exit(0)
    os.wait()
folder, exposition = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]), Exposition()
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
(folder / "counter_1.db").touch()  # of a worker that has just begun to write it
ours = [exposition.of_workers(folder, openmetrics=om) for om in (False, False, True)]
(folder / "counter_1.db").unlink()
theirs = [choose_encoder(accept)[0](registry) for accept in ("", "", OPENMETRICS)]
for text in (*ours, *theirs):
    sys.stdout.buffer.write(text + b"\\0")
"""


def test_of_several_processes_it_has_the_librarys_lines(tmp_path):
    """Summed, or by the mode of a gauge; each metric's lines together, buckets in order."""
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    texts = [text.decode() for text in done.stdout.split(b"\0")[:-1]]
    ours, theirs = texts[:3], texts[3:]
    for mine, other in zip(ours, theirs, strict=True):
        assert sorted(mine.splitlines()) == sorted(other.splitlines())
    assert "airouter_lost_total{" in ours[0]
    families = list(text_string_to_metric_families(ours[0]))
    assert len({family.name for family in families}) == len(families) == 7
    assert len(list(openmetrics_families(ours[2]))) == 7  # the parser checks the buckets' order
