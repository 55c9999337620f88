"""/metrics with ten backends under load in two workers: its size, and the time that it takes."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = 10

LOADED = """
import os, random, sys, time
sys.path[:0] = sys.argv[1:]
from records import record
from airouter.domain.types import AttemptOutcome
from airouter.telemetry.metrics import Metrics

BACKENDS, ROUTES = 10, ("primary", "xai", "enrich", "meta", "passthrough")
TIERS = ("rules", "cache", "learned", "one_token", "explicit", "conversation")
metrics = Metrics()
for gauge in range(6):  # as many as a router has by backend
    metrics.register_gauge(
        f"gauge{gauge}", "G.", lambda: {f"backend-{i}": 1.5 for i in range(BACKENDS)}, ("backend",)
    )

def serve(rng):
    for number in range(1500):
        backend = f"backend-{number % BACKENDS}"
        first = rng.choice((backend, backend, "backend-0"))
        attempts = [AttemptOutcome(backend, "ok")]
        if first != backend:
            attempts.insert(0, AttemptOutcome(first, "upstream_error", rng.choice(("", "again"))))
        metrics.emit(
            record(
                route=rng.choice(ROUTES),
                backend=backend,
                tier=rng.choice(TIERS),
                stream=rng.random() < 0.5,
                outcome=rng.choice(["ok"] * 9 + ["upstream_error", "client_gone"]),
                reason=rng.choice(["ok"] * 9 + ["backend_error", "client_gone", "backend_busy"]),
                requested_model=rng.choice(("ai-router", "model-a", "other", "none")),
                usage={
                    "prompt_tokens": 90,
                    "completion_tokens": 50,
                    "prompt_tokens_details": {"cached_tokens": 20},
                },
                attempts=attempts,
                connect_ms=rng.uniform(1, 500),
                backend_ttft_ms=rng.uniform(10, 3000),
                gap_ms=rng.uniform(5, 100),
                queue_ms=rng.uniform(0, 2000),
                total_ms=rng.uniform(100, 20000),
                inference_ms=rng.uniform(10, 9000),
                ttft_ms=rng.uniform(10, 3000),
                enrichment_ms=rng.uniform(10, 900),
            )
        )
    metrics._read()

for worker in range(2):
    if os.fork() == 0:
        serve(random.Random(worker))
        os._exit(0)
    os.wait()
times = []
for _ in range(15):
    began = time.process_time()
    body, _ = metrics.render()
    times.append(time.process_time() - began)
print(len(body), min(times) * 1000, metrics.errors)
sys.stdout.flush()
sys.stderr.write(body.decode())
"""


def test_ten_backends_under_load(tmp_path):
    """At most 300 kB, with the series of all ten and of both workers. Computing them takes 15 to
    20 ms; the bound allows for a machine that gives a fraction of its speed."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(ROOT), str(ROOT / "tests")],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    size, ms, errors = map(float, done.stdout.split())
    lines = done.stderr.splitlines()
    gaps = [line for line in lines if line.startswith("airouter_gap_seconds_count{")]
    assert len(gaps) == BACKENDS
    served = [line for line in lines if line.startswith("airouter_request_reasons_total{")]
    assert sum(float(line.split()[-1]) for line in served) == 2 * 1500
    assert errors == 0
    assert size <= 300_000
    assert ms <= 200
