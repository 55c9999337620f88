"""A real Prometheus scrapes two workers under load, with the shipped configuration and rules: what
it shows is what clients sent, what the index of requests has, and what the session files say.

For a load of three minutes, and the figures:

    export AIROUTER_PROMETHEUS_SECONDS=180
    .venv/bin/python -m pytest -s -m real tests/real/test_real_prometheus.py
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from harness import body, eventually

from airouter.telemetry.request_metrics import STAGE_BUCKETS
from bench.client import CHAT, Connection, Endpoint
from bench.router_process import ROOT, RouterProcess
from bench.stand import router_before
from simulator.processes import Startable, end, free_port, printed, spawn
from simulator.testing import Simulator

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        PROMETHEUS is None, reason="prometheus is missing (Debian package prometheus)"
    ),
]
DEPLOY = ROOT / "deploy" / "prometheus"
SECONDS = float(os.environ.get("AIROUTER_PROMETHEUS_SECONDS", "45"))
KEY = "a-key-for-this-test"
_BEARER = {"Authorization": f"Bearer {KEY}"}
SCRAPE, EVALUATE = 1, 5  # seconds
LATE = 2.0  # seconds by which what other workers count in sums may be late
CLIENTS, PAUSE = 12, 0.1  # seconds between two requests of a client
FIRST_MS = (20, 500)  # of answers
COUNTED = "sum(airouter_requests_total)"
P95 = (
    'histogram_quantile(0.95, sum by (le) (airouter_stage_duration_seconds_bucket{stage="total"}))'
)


class Prometheus(Startable):
    """The shipped configuration, with another port and short intervals; data in `folder`."""

    def __init__(self, folder: Path, target: str) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{free_port()}"
        config: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
        config["global"] = {
            "scrape_interval": f"{SCRAPE}s",
            "evaluation_interval": f"{EVALUATE}s",
        }
        del config["alerting"]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        (folder / "rules").mkdir(parents=True)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "ai-router.key").write_text(KEY)
        rules = (DEPLOY / "rules" / "ai-router.yaml").read_text()
        slow = "interval: 2m"  # of the 30 days; a run is shorter
        assert slow in rules
        (folder / "rules" / "ai-router.yaml").write_text(
            rules.replace(slow, f"interval: {EVALUATE}s")
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._http = requests.Session()
        self._http.trust_env = False

    def start(self) -> Prometheus:
        command = [
            str(PROMETHEUS),
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            "--storage.tsdb.retention.time=31d",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        self._process = spawn(command, self.folder / "output.txt", cwd=self.folder)
        eventually(self._ready, 60, f"it did not start: {printed(self.folder / 'output.txt')}")
        return self

    def _ready(self) -> bool:
        try:
            return self._http.get(f"{self.url}/-/ready", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def stop(self) -> int | None:
        process, self._process = self._process, None
        self._http.close()
        return None if process is None else end(process, signal.SIGTERM)

    def api(self, path: str, **parameters: str) -> Any:
        answer = self._http.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def value(self, query: str) -> float:
        """Of a query with one result; nan if there is none."""
        result = self.api("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else float("nan")

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.api("rules")["groups"] for rule in group["rules"]]


class Load:
    """Clients that send valid, malformed and unauthorised requests, one after the other.

    Mutable state: the statuses of all answers; 0 for none.
    """

    KINDS = (
        (KEY, body("Hello", model="ai-router/primary"), 200),
        (KEY, body("Hello", model="ai-router/primary", stream=True), 200),
        (KEY, body("Prove that there are infinitely many primes.", model="ai-router"), 200),
        (KEY, {"model": "ai-router", "messages": "none"}, 400),
        (KEY, {"model": "ai-router"}, 400),
        ("a-wrong-key", body("Hello", model="ai-router"), 401),
    )

    def __init__(self, router: RouterProcess) -> None:
        self.statuses: Counter[tuple[int, int]] = Counter()  # (as expected, as it was)
        self._router, self._lock, self._over = router, threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(i,)) for i in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def sent(self) -> int:
        return self.statuses.total()

    @property
    def answered(self) -> int:
        return sum(count for (_, was), count in self.statuses.items() if was)

    @property
    def unexpected(self) -> dict[tuple[int, int], int]:
        return {pair: count for pair, count in self.statuses.items() if pair[0] != pair[1]}

    def _send(self, at: int) -> None:
        while not self._over.wait(PAUSE):
            key, payload, status = self.KINDS[at % len(self.KINDS)]
            at += 1
            # Each on a connection of its own: any worker may get it, and it is never sent again.
            with Connection(Endpoint.of(self._router.url, key), timeout=30) as connection:
                answer = connection.ask(connection.endpoint.wire(CHAT, payload))
            with self._lock:
                self.statuses[status, answer.status] += 1


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[tuple[RouterProcess, Prometheus]]:
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(profile="fast"))
        simulator.configure("primary", ttft_ms=FIRST_MS, ttft_nonstream_ms=FIRST_MS)
        config = {"server": {"workers": 2}, "logging": {"max_count": 1_000_000}}
        router = stack.enter_context(
            router_before(simulator, tmp_path / "router", config, key=KEY, slots=64)
        )
        target = router.url.removeprefix("http://")
        yield router, stack.enter_context(Prometheus(tmp_path / "prometheus", target))
    assert "Traceback" not in router.printed()


def rows(router: RouterProcess, what: str) -> Any:
    with closing(sqlite3.connect(router.log_dir / "index.sqlite")) as connection:
        return connection.execute(what).fetchall()


def events_in(prometheus: Prometheus) -> dict[tuple[str, str], float]:
    """The events of each objective, by whether they were good."""
    query = "sum by (slo, good) (airouter_slo_events_total) > 0"
    return {
        (one["metric"]["slo"], one["metric"]["good"]): float(one["value"][1])
        for one in prometheus.api("query", query=query)["result"]
    }


def settle() -> None:
    """Until the last request is in the index, in the sums and in a scrape."""
    time.sleep(LATE + 3 * SCRAPE)


def bucket(seconds: float) -> int:
    return bisect_left(STAGE_BUCKETS, seconds)


def test_prometheus_shows_what_clients_sent(stand: tuple[RouterProcess, Prometheus]) -> None:
    router, prometheus = stand
    with Load(router) as load:
        time.sleep(SECONDS)
        begun, answer = time.perf_counter(), router.get("/metrics", headers=_BEARER)
        under_load = time.perf_counter() - begun
    settle()
    assert load.unexpected == {}
    counted = prometheus.value(COUNTED)
    (indexed, saved), *_ = rows(router, "SELECT count(*), sum(saved) FROM requests")
    files = len([*(router.log_dir / "sessions").glob("*.json")])
    times = [ms / 1000 for (ms,) in rows(router, "SELECT total_ms FROM requests")]
    p95, theirs = statistics.quantiles(times, n=100)[94], prometheus.value(P95)
    rules = prometheus.rules()
    scrapes = prometheus.value("quantile_over_time(0.5, scrape_duration_seconds[10m])")
    print(
        f"\n{SECONDS:g} s: clients sent {load.sent}, Prometheus counts {counted:g}, the index has "
        f"{indexed}; {saved} are saved, {files} session files; p95 {p95 * 1000:.1f} ms in the "
        f"index, {theirs * 1000:.1f} ms in Prometheus; {len(rules)} rules; /metrics "
        f"{len(answer.content)} bytes in {under_load * 1000:.0f} ms, scrapes {scrapes * 1000:.0f} "
        "ms (median)"
    )
    assert counted == indexed == load.sent
    valid = sum(count for (status, _), count in load.statuses.items() if status == 200)
    assert saved == files == valid
    assert events_in(prometheus) == {
        (slo, good): count
        for slo, good, count in rows(
            router,
            "SELECT slo, 'true', sum(good) FROM slo_events GROUP BY slo HAVING sum(good) > 0 UNION "
            "SELECT slo, 'false', sum(bad) FROM slo_events GROUP BY slo HAVING sum(bad) > 0",
        )
    }
    assert abs(bucket(p95) - bucket(theirs)) <= 1
    assert {rule["health"] for rule in rules} == {"ok"}
    assert {rule["type"] for rule in rules} == {"recording", "alerting"}
    assert prometheus.value('min_over_time(up{job="ai-router"}[10m])') == 1
    assert answer.status_code == 200
    assert len(answer.content) <= 300_000


def test_a_killed_worker_takes_its_last_moments_with_it_and_nothing_else(
    stand: tuple[RouterProcess, Prometheus],
) -> None:
    router, prometheus = stand
    with Load(router) as load:
        time.sleep(8)
        before = prometheus.value(COUNTED)
        killed = router.workers[0]
        at, sent_before = time.time(), load.sent
        os.kill(killed, signal.SIGKILL)
        time.sleep(0.5)
        around = load.sent - sent_before
        lost = load.unexpected
        eventually(lambda: killed not in router.workers and len(router.workers) == 2, 30)
        time.sleep(8)
        later = {pair: n - lost.get(pair, 0) for pair, n in load.unexpected.items()}
    settle()
    assert before > 0
    # The requests that it was serving have no answer; nobody sees anything else.
    assert {was for _, was in load.unexpected} <= {0}
    assert sum(lost.values()) <= CLIENTS
    assert not any(later.values())
    counted = prometheus.value(COUNTED)
    ((indexed,),) = rows(router, "SELECT count(*) FROM requests")
    print(
        f"\nclients sent {load.sent}, {load.answered} were answered; Prometheus counts {counted:g},"
        f" the index has {indexed}; {around} requests in the half second after the kill"
    )
    # A batch waits for at most a moment before it is in the index.
    moment = CLIENTS + around
    assert load.answered - moment <= indexed <= load.sent
    assert load.answered - CLIENTS <= counted <= load.sent
    assert rows(router, "PRAGMA integrity_check") == [("ok",)]
    ((after,),) = rows(router, f"SELECT count(*) FROM requests WHERE at > {at + 1}")
    assert after > 0
    assert prometheus.value(f"resets({COUNTED.removeprefix('sum(')[:-1]}[1m])") == 0
    assert prometheus.value("sum(airouter_in_flight)") == 0
    assert prometheus.value('min_over_time(up{job="ai-router"}[1m])') == 1
    assert {rule["health"] for rule in prometheus.rules()} == {"ok"}
