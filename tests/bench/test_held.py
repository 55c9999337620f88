"""Connections that are held: each kind is what it says, and a server that takes no more of them
costs seconds, not minutes."""

import socket
import time

import pytest

from bench.alive import Alive
from bench.client import Endpoint
from bench.connections import QUICK, Amounts
from bench.held import holding
from bench.prompts import body
from bench.stub import MODEL, Stub


def test_idle_connections_have_had_an_answer_and_stay(endpoint: Endpoint) -> None:
    with holding(endpoint) as held:
        held.idle(120, endpoint.wire("/health", None))
        held.unfinished(5)
        assert held.held == {"idle": 120, "unfinished heads": 5}
        assert held.still_open() == {"idle": 120, "unfinished heads": 5}
        assert held.problem == ""
    assert held.held == {}


def test_a_closed_connection_is_seen(endpoint: Endpoint) -> None:
    """The stub closes its side after `Connection: close`; this side does not."""
    with holding(endpoint) as held:
        held.lingering(3, endpoint.chat(body("Hello.", MODEL), close=True))
        assert held.held == {"not closing": 3}
        time.sleep(0.2)
        assert held.still_open() == {"not closing": 0}


def test_a_reader_that_stops_holds_its_stream_up(stub: Stub, endpoint: Endpoint) -> None:
    stub.pace(chunks=1000, tps=100, padding=65_536)
    with holding(endpoint) as held:
        held.stopped(2, endpoint.chat(body("Hello.", MODEL, stream=True)))
        assert held.held == {"stopped readers": 2}
        assert held.still_open() == {}  # to ask would be to read on


def test_what_is_refused_is_counted_with_a_reason(endpoint: Endpoint) -> None:
    with holding(endpoint) as held:
        held.idle(3, endpoint.wire("/elsewhere", None))
        assert held.held == {"idle": 0}
        assert held.problem == "HTTP/1.1 404 Not Found"


def test_a_server_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.held._PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = Endpoint("127.0.0.1", silent.getsockname()[1])
        begun = time.monotonic()
        with holding(endpoint) as held:
            held.idle(5000, endpoint.wire("/health", None))
            assert held.held == {"idle": 0}
            assert held.problem.startswith("TimeoutError")
        assert time.monotonic() - begun < 5


def test_liveness_is_asked_many_times_a_second(endpoint: Endpoint) -> None:
    with Alive(endpoint) as watch:
        time.sleep(0.5)
    assert len(watch.seconds) > 3
    assert watch.failures == 0
    assert max(watch.seconds) < 1


def test_a_dead_server_is_not_alive() -> None:
    with Alive(Endpoint("127.0.0.1", 9)) as watch:
        time.sleep(0.1)
    assert watch.failures == len(watch.seconds) > 0


def test_fewer_open_files_are_fewer_connections_in_proportion() -> None:
    assert Amounts().within(100_000) == Amounts()
    half = Amounts().within(200 + Amounts().held // 2)
    assert (half.idle, half.unfinished, half.stopped, half.lingering) == (2500, 150, 100, 25)
    assert half.bodies == Amounts().bodies
    assert QUICK.within(0).held == 0
