import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import records

from airouter.telemetry import children as module
from airouter.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]


def record(**changes):
    return records.record(**(dict(p=None, classification_ms=0.2) | changes))


@pytest.fixture
def metrics():
    return Metrics()


def text(metrics):
    return metrics.render()[0].decode()


def value(metrics, series):
    found = re.search(rf"^{re.escape(series)} (\S+)$", text(metrics), re.M)
    return None if found is None else float(found[1])


def test_an_exchange_is_counted_and_timed(metrics):
    metrics.emit(record())
    metrics.emit(record())
    labels = 'backend="gpu0",outcome="ok",route="primary",stream="true",tier="rules"'
    assert value(metrics, f"airouter_requests_total{{{labels}}}") == 2
    assert (
        value(metrics, 'airouter_stage_duration_seconds_sum{route="primary",stage="total"}') == 2.5
    )
    assert (
        value(metrics, 'airouter_stage_duration_seconds_sum{route="primary",stage="inference"}')
        == 2.4
    )
    assert (
        value(metrics, 'airouter_stage_duration_seconds_count{route="primary",stage="enrichment"}')
        is None
    )
    assert value(metrics, 'airouter_decision_seconds_bucket{le="0.0001",tier="rules"}') == 0
    assert value(metrics, 'airouter_decision_seconds_bucket{le="0.00025",tier="rules"}') == 2
    assert value(metrics, 'airouter_ttft_seconds_count{route="primary"}') == 2
    assert "_created" not in text(metrics)
    assert metrics.errors == 0


def test_stages_that_did_not_take_place_are_not_timed(metrics):
    metrics.emit(
        record(tier=None, backend=None, ttft_ms=None, outcome="client_error", stream=False)
    )
    labels = 'backend="none",outcome="client_error",route="primary",stream="false",tier="none"'
    assert value(metrics, f"airouter_requests_total{{{labels}}}") == 1
    for gone in (
        "decision_seconds_count{",
        'stage="inference"',
        'stage="classification"',
        "ttft_seconds_count{",
    ):
        assert gone not in text(metrics)


def test_speculation_and_cancellation(metrics):
    metrics.emit(
        record(
            speculation="cancelled",
            abort_ms=0.3,
            wasted_tokens=7,
            client_gone_ms=2.0,
            enrichment_ms=5.0,
        )
    )
    assert value(metrics, 'airouter_speculation_total{result="cancelled"}') == 1
    assert value(metrics, 'airouter_speculation_abort_seconds_bucket{le="0.00025"}') == 0
    assert value(metrics, 'airouter_speculation_abort_seconds_bucket{le="0.0005"}') == 1
    assert value(metrics, "airouter_speculation_wasted_tokens_total") == 7
    assert value(metrics, 'airouter_client_gone_freed_seconds_bucket{le="0.0025"}') == 1
    assert (
        value(metrics, 'airouter_stage_duration_seconds_sum{route="primary",stage="enrichment"}')
        == 0.005
    )


def test_in_flight_and_sessions(metrics):
    metrics.in_flight_inc()
    metrics.in_flight_inc()
    metrics.in_flight_dec()
    metrics.session_event("written", 3)
    metrics.session_event("dropped")
    assert value(metrics, "airouter_in_flight") == 1
    assert value(metrics, 'airouter_sessions_total{event="written"}') == 3
    assert value(metrics, 'airouter_sessions_total{event="dropped"}') == 1


def test_emit_never_raises(metrics):
    metrics.emit(record(total_ms=None))
    assert metrics.errors == 1


def test_values_read_by_callbacks(metrics):
    in_use = {"gpu0": 2, "gpu1": 0}
    dropped = [5.0]
    metrics.register_gauge("backend_in_use", "Slots in use.", lambda: in_use, ("backend",))
    metrics.register_gauge(
        "breaker", "State.", lambda: {("gpu0", "open"): 1}, ("backend", "state"), mode="livemax"
    )
    metrics.register_gauge("waiting", "Queue.", lambda: 3)
    metrics.register_gauge("broken", "Raises.", lambda: 1 / 0)
    metrics.register_counter("log_dropped_total", "Lines lost.", lambda: dropped[0])
    assert value(metrics, 'airouter_backend_in_use{backend="gpu0"}') == 2
    assert value(metrics, 'airouter_breaker{backend="gpu0",state="open"}') == 1
    assert value(metrics, "airouter_waiting") == 3
    assert value(metrics, "airouter_log_dropped_total") == 5
    in_use.pop("gpu0")
    dropped[0] = 8.0
    assert value(metrics, 'airouter_backend_in_use{backend="gpu0"}') == 0
    assert value(metrics, "airouter_log_dropped_total") == 8


def test_a_count_with_labels_may_start_again(metrics):
    """A configuration that was reloaded counts from 0; the metric goes on."""
    counts = {("gpu0", "open"): 3.0}
    metrics.register_counter("openings_total", "O.", lambda: counts, ("backend", "state"))
    series = 'airouter_openings_total{backend="gpu0",state="open"}'
    assert value(metrics, series) == 3
    counts["gpu0", "open"] = 1.0
    assert value(metrics, series) == 4
    counts.clear()
    assert value(metrics, series) == 4


def test_label_values_stay_bounded(metrics, monkeypatch):
    monkeypatch.setattr(module, "MAX_SERIES", 5)
    for number in range(50):
        metrics.emit(record(backend=f"b{number}"))
    series = [
        line for line in text(metrics).splitlines() if line.startswith("airouter_requests_total{")
    ]
    assert len(series) == 6
    labels = 'backend="other",outcome="other",route="other",stream="other",tier="other"'
    assert value(metrics, f"airouter_requests_total{{{labels}}}") == 45


def test_the_content_type_follows_accept(metrics):
    assert metrics.render(None)[1].startswith("text/plain")
    body, content_type = metrics.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_threads_count_everything(metrics):
    threads = [
        threading.Thread(target=lambda: [metrics.emit(record()) for _ in range(500)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    labels = 'backend="gpu0",outcome="ok",route="primary",stream="true",tier="rules"'
    assert value(metrics, f"airouter_requests_total{{{labels}}}") == 4000


WORKERS = """
import os, sys, threading
sys.path[:0] = sys.argv[1:]
from test_metrics import record
from airouter.telemetry.metrics import Metrics
metrics = Metrics()
metrics.register_gauge("slots", "Slots.", lambda: {"gpu0": 2}, ("backend",))
metrics.register_counter("lost_total", "Lost.", lambda: 4)
children = []
for _ in range(2):
    ready, tell = os.pipe()
    die, kill = os.pipe()
    pid = os.fork()
    if pid == 0:
        metrics.in_flight_inc()
        for _ in range(3):
            metrics.emit(record())
        metrics._read()
        os.write(tell, b"x")
        os.read(die, 1)
        os._exit(0)
    os.read(ready, 1)
    children.append((pid, kill))
print(metrics.render()[0].decode())
print("SECOND")
for pid, kill in children:
    os.write(kill, b"x")
    os.waitpid(pid, 0)
    metrics.process_gone(pid)
print(metrics.render()[0].decode())
"""


def test_each_process_reports_for_all(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    both, after = done.stdout.split("SECOND")
    assert 'tier="rules"} 6.0' in both
    assert "airouter_in_flight 2.0" in both
    assert 'airouter_slots{backend="gpu0"} 6.0' in both  # two children and the one that renders
    assert "airouter_lost_total 12.0" in both
    assert 'tier="rules"} 6.0' in after
    assert "airouter_in_flight 0.0" in after
    assert 'airouter_slots{backend="gpu0"} 2.0' in after
