"""Overrides per request, configuration at run time, counters, disconnects, timing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from simulator import ROLES
from simulator.client import chat, chat_body, connect, content, events, get, post, raw_request
from simulator.overrides import for_role, split_marker
from simulator.testing import Simulator


def tokens(response: requests.Response) -> int:
    count = response.json()["usage"]["completion_tokens"]
    assert isinstance(count, int)
    return count


def test_three_ways_to_steer_a_request(sim: Simulator) -> None:
    assert tokens(chat(sim, "primary", 'hi [[sim {"tokens": 31}]]')) == 31
    assert (
        tokens(chat(sim, "primary", 'hi [[sim {"primary": {"tokens": 32}, "xai": {"tokens": 1}}]]'))
        == 32
    )
    assert tokens(chat(sim, "primary", "hi", sim={"all": {"tokens": 33}})) == 33
    headers = {"X-Sim": json.dumps({"tokens": 34})}
    assert (
        tokens(
            post(
                sim, "primary", "/v1/chat/completions", chat_body("primary", "hi"), headers=headers
            )
        )
        == 34
    )
    assert (
        content(chat(sim, "primary", "hi", sim={"text": "just this, please"}))
        == "just this, please"
    )


def test_markers_survive_quoting_and_nesting() -> None:
    assert split_marker('a [[sim {"x": [[1]]}]] b') == ("a b", {"x": [[1]]})
    assert split_marker(json.dumps('q [[sim {"label": "X"}]]')) == ('"q"', {"label": "X"})
    assert split_marker("no [[sim marker]]") == ("no [[sim marker]]", {})
    assert for_role("xai", {"tokens": 1, "all": {"tokens": 2}, "xai": {"tps": 3}}) == {
        "tokens": 2,
        "tps": 3,
    }


def test_only_the_last_user_message_steers(sim: Simulator) -> None:
    body = chat_body("primary", "again")
    body["messages"].insert(0, {"role": "user", "content": 'earlier [[sim {"tokens": 99}]]'})
    assert tokens(post(sim, "primary", "/v1/chat/completions", body)) == 20


def test_configuration(sim: Simulator) -> None:
    settings = sim.configure("primary", answer_short=7, ttft_ms=[1, 2], model="renamed")
    assert (settings["answer_short"], settings["ttft_ms"]) == ([7, 7], [1, 2])
    body = {**chat_body("primary", "hi"), "model": "renamed"}
    assert tokens(post(sim, "primary", "/v1/chat/completions", body)) == 7
    with pytest.raises(ValueError, match="unknown setting"):
        sim.configure("primary", nonsense=1)
    with pytest.raises(ValueError, match="ttft_ms"):
        sim.configure("primary", ttft_ms=[2, 1])
    sim.reset("primary")
    assert tokens(chat(sim, "primary", "hi")) == 20


def test_requests_are_recorded_without_the_key(sim: Simulator) -> None:
    post(
        sim,
        "primary",
        "/v1/chat/completions",
        chat_body("primary", "héllo", top_p=0.5),
        key="secret-1234",
    )
    get(sim, "primary", "/health")
    stats = get(sim, "primary", "/_sim/stats").json()
    seen = stats["requests"][0]
    assert (seen["authorized"], seen["key_last4"], seen["params"]["top_p"]) == (True, "1234", 0.5)
    assert "héllo" in json.loads(seen["body"])["messages"][0]["content"]
    assert "secret" not in json.dumps(stats)
    assert stats["by_path"] == {"/v1/chat/completions": 1, "/health": 1}
    assert (stats["started"], stats["finished"], stats["aborted"], stats["tokens_generated"]) == (
        1,
        1,
        0,
        20,
    )


def test_prefix_cache(sim: Simulator) -> None:
    text = "the same long beginning of a prompt " * 10
    first = chat(sim, "primary", text).json()["usage"]
    second = chat(sim, "primary", text + "another end").json()["usage"]
    assert "prompt_tokens_details" not in first
    assert second["prompt_tokens_details"]["cached_tokens"] >= 64
    assert sim.stats("primary")["prefix_cache_hits"] >= 4
    metrics = get(sim, "primary", "/metrics").text
    counts = dict(re.findall(r"^vllm:prefix_cache_(\w+)_total\{\S+\} (\S+)$", metrics, re.M))
    assert 0 < float(counts["hits"]) < float(counts["queries"])
    sim.configure("primary", prefill_tps=1000)
    started = time.monotonic()
    chat(sim, "primary", "something entirely different " * 60)
    cold = time.monotonic() - started
    started = time.monotonic()
    chat(sim, "primary", "something entirely different " * 60)
    assert cold > 0.4
    assert time.monotonic() - started < cold / 2


def test_a_disconnect_without_a_stream_is_noticed_at_once(sim: Simulator) -> None:
    with connect(sim, "primary") as sock:
        sock.sendall(raw_request("primary", "hi", sim={"tokens": 10_000, "tps": 100}))
        sim.wait_for("primary", running=1)
        time.sleep(0.2)  # some generation, to be counted as wasted
        closed = time.time()
    stats = sim.wait_for("primary", aborted=1)
    abort = stats["aborts"][0]
    assert abort["phase"] == "before_headers"
    assert abs(abort["at"] - closed) < 0.25
    assert abort["after_ms"] >= 190
    assert 10 <= abort["tokens_generated"] == stats["tokens_wasted"] < 1000
    assert (stats["running"], stats["started"], stats["finished"]) == (0, 1, 0)


def test_a_disconnect_in_a_stream(sim: Simulator) -> None:
    with connect(sim, "primary") as sock:
        sock.sendall(raw_request("primary", "hi", stream=True, sim={"tokens": 10_000, "tps": 100}))
        received = b""
        while received.count(b"data: ") < 6:
            received += sock.recv(65536)
    stats = sim.wait_for("primary", aborted=1)
    assert stats["aborts"][0]["phase"] == "streaming"
    assert 4 <= stats["tokens_wasted"] < 1000


def test_a_disconnect_in_the_queue(sim: Simulator) -> None:
    sim.configure("primary", slots=1)
    with connect(sim, "primary") as first, connect(sim, "primary") as third:
        first.sendall(raw_request("primary", "hi", sim={"ttft_ms": 60_000}))
        sim.wait_for("primary", running=1)
        with connect(sim, "primary") as second:
            second.sendall(raw_request("primary", "hi"))
            sim.wait_for("primary", waiting=1)
            assert "vllm:num_requests_waiting{" in get(sim, "primary", "/metrics").text
        assert sim.wait_for("primary", aborted=1)["aborts"][0]["phase"] == "queued"
        third.sendall(raw_request("primary", "hi"))
        assert sim.wait_for("primary", waiting=1)["max_running"] == 1
        first.close()
        sim.wait_for("primary", finished=1)


def test_a_stream_keeps_its_pace(sim: Simulator) -> None:
    started = time.monotonic()
    chunks = events(
        chat(sim, "primary", "hi", stream=True, sim={"tokens": 200, "tps": 200, "ttft_ms": 50})
    )
    took = time.monotonic() - started
    assert len(chunks) == 202
    assert 1.0 < took < 5  # 50 ms and 199 tokens of 5 ms


def test_homelab_timing() -> None:
    with Simulator(profile="homelab", roles=("router", "primary")) as sim:
        started = time.monotonic()
        chat(sim, "router", "Query: hello")
        assert 0.9 < time.monotonic() - started < 5  # 952-1,087 ms
        chat(sim, "primary", "hi", max_tokens=1)
        started = time.monotonic()
        chat(sim, "primary", "hi", max_tokens=1)
        assert 0.03 < time.monotonic() - started < 2  # 33 ms
        started = time.monotonic()
        chat(sim, "primary", "what is a bicycle")
        assert 0.19 < time.monotonic() - started < 4  # 208-396 ms


def test_parallel_requests_run_side_by_side(sim: Simulator) -> None:
    body = {"ttft_ms": 600}
    threads = [
        threading.Thread(target=chat, args=(sim, "primary", "hi"), kwargs={"sim": body})
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sim.stats("primary")["max_running"] >= 2


def test_command_line(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    ports_file = tmp_path / "ports.json"
    command = [
        sys.executable,
        "-m",
        "simulator",
        "--ports-file",
        str(ports_file),
        "--xai-model",
        "grok-x",
    ]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            addresses = json.loads(process.stdout.readline())
            assert set(addresses) == {"router", "primary", "xai", "control"}
            assert json.loads(ports_file.read_text()) == addresses
            assert requests.get(addresses["primary"] + "/health", timeout=5).status_code == 200
        finally:
            process.terminate()
        assert process.wait(10) == 0


def test_a_port_is_kept_across_a_crash() -> None:
    with Simulator(roles=("primary",)) as first:
        port = first.port("primary")
        first.kill()
    with Simulator(roles=("primary",), ports={"primary": port}) as second:
        assert second.port("primary") == port
        assert second.stop() == 0


def test_control_on_all_roles_and_errors(sim: Simulator) -> None:
    everything = requests.get(sim.url("control") + "/_sim/stats", timeout=5).json()
    assert set(everything) == set(ROLES)
    assert requests.get(sim.url("control") + "/_sim/nothing", timeout=5).status_code == 404
    assert (
        requests.get(sim.url("control") + "/_sim/stats?role=nobody", timeout=5).status_code == 404
    )
