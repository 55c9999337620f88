"""`run` and `serve` as processes: they start, say what is wrong, stop and leave nothing behind."""

import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.started import LIMIT, PRIMARY


def test_run_without_a_backend_answers_and_stops(start):
    run = start("airouter", "run", API_KEY="hidden").until_introduced()
    printed = run.printed()
    assert "embedded simulator" in printed
    for name in ("router", "primary", "xai"):
        assert re.search(rf"^{name} +http://127.0.0.1:\d+ +embedded +reachable$", printed, re.M), (
            printed
        )
    assert (
        f"curl http://127.0.0.1:{run.port}/v1/chat/completions -H 'Authorization: Bearer "
        "YOUR_API_KEY'" in printed
    )
    assert "hidden" not in printed
    status, answer = run.get(
        "/v1/chat/completions", "POST",
        {"model": "ai-router", "messages": [{"role": "user", "content": "Hello!"}]},
        {"Authorization": "Bearer hidden"},
    )  # fmt: skip
    assert status == 200
    assert "simulated" in answer["choices"][0]["message"]["content"]
    run.get("/v1/chat/completions", "POST", {"messages": 5}, {"Authorization": "Bearer hidden"})
    run.get("/health/liveness")
    console = r"^\d\d:\d\d:\d\d +"
    run.wait_for(
        lambda: len(re.findall(console, run.printed(), re.M)) == 2, "not a line for each request"
    )
    assert re.search(rf"{console}primary +\w+ +primary +\d+ +200$", run.printed(), re.M)
    assert re.search(rf"{console}none +- +- +\d+ +400 client_error$", run.printed(), re.M)
    assert run.end(signal.SIGTERM) == 0
    run.until_gone()
    assert "Traceback" not in run.printed()


@pytest.mark.skipif(sys.platform != "linux", reason="gunicorn is found by looking into /proc")
def test_run_ends_with_gunicorn_and_takes_the_simulator_along(start):
    run = start("airouter", "run").until_introduced()
    master = min(
        pid for pid in run.descendants() if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(master, signal.SIGKILL)
    assert run.process.wait(LIMIT) == 128 + signal.SIGKILL
    run.until_gone()


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child that its parent was killed"
)
def test_killed_run_leaves_nothing_behind(start):
    run = start("airouter", "run").until_introduced()
    run.end(signal.SIGKILL)
    run.until_gone()


def test_run_with_a_backend_starts_no_simulator_and_says_what_it_cannot_reach(start):
    run = start("airouter", "run", **PRIMARY).until_introduced()
    printed = run.printed()
    assert "simulator" not in printed
    assert "WARNING" not in printed  # its table says it
    assert re.search(
        r"^primary +http://127.0.0.1:9 +configured +not reachable: \S", printed, re.M
    ), printed
    assert re.search(r"^router +- +not used: no url$", printed, re.M), printed
    assert run.end(signal.SIGINT) == 0
    run.until_gone()


@pytest.mark.parametrize("command", ["run", "serve"])
def test_taken_port_is_said_in_one_sentence(start, command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        one = start("airouter", command, PORT=str(port), **PRIMARY)
        assert one.process.wait(LIMIT) == 1
    assert one.printed() == (
        f"ai-router: Port {port} on 127.0.0.1 is in use by another program; stop it, or "
        f"choose another port, e.g. PORT={port + 1}.\n"
    )


@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_second_start_recognises_the_first(start, command):
    first = start("airouter", "serve", **PRIMARY).until_up()
    second = start("airouter", command, PORT=str(first.port), **PRIMARY)
    assert second.process.wait(LIMIT) == 1
    printed = second.printed()
    assert printed.count("\n") == 1
    assert re.match(
        rf"ai-router: ai-router \S+ is already running on 127\.0\.0\.1, port {first.port};", printed
    )
    assert f"PORT={first.port + 1}" in printed
    assert "another program" not in printed


def test_serve_says_which_backends_do_not_answer_and_serves(start):
    serve = start("airouter", "serve", **PRIMARY).until_up()
    warning = r"^ai-router: WARNING: backend primary at http://127.0.0.1:9 is not reachable: \S"
    serve.wait_for(lambda: re.search(warning, serve.printed(), re.M), "no warning")
    assert serve.get("/health/liveness")[0] == 200
    serve.get("/v1/chat/completions", "POST", {"messages": []})
    assert serve.end() == 0
    assert not re.search(r"^\d\d:\d\d:\d\d ", serve.printed(), re.M)  # no line per request
    assert serve.printed().count("WARNING") == 1


def test_serve_prints_a_line_per_request_if_asked_to(start):
    serve = start("airouter", "serve", **PRIMARY, CONSOLE="1").until_up()
    serve.get("/v1/chat/completions", "POST", {"messages": 5})
    serve.wait_for(lambda: re.search(r" 400 client_error$", serve.printed(), re.M), "no line")


@pytest.mark.parametrize("how", [signal.SIG_IGN, signal.SIG_DFL])
def test_an_interrupt_stops_run_however_its_caller_takes_interrupts(start, how):
    """A shell has SIGINT ignored in what it starts in the background."""
    before = signal.signal(signal.SIGINT, how)
    try:
        run = start("airouter", "run", **PRIMARY)
    finally:
        signal.signal(signal.SIGINT, before)
    run.until_introduced()
    assert run.end(signal.SIGINT) == 0
    run.until_gone()
