"""The stub backend and the client that measures the delay of each chunk: what they count is what
happened, and the client is fast enough to be trusted."""

import socket
import threading
import time

import pytest

from bench.client import Connection, Endpoint
from bench.environment import cpu_seconds, descriptors, rss_mb
from bench.prompts import body
from bench.relayed import complete, follow
from bench.stats import percentile
from bench.stub import MODEL, Stub


def wire(endpoint: Endpoint, close: bool = True) -> bytes:
    return endpoint.chat(body("Hello.", MODEL, stream=True), close=close)


def test_the_stub_answers_as_a_backend_does(endpoint: Endpoint) -> None:
    with Connection(endpoint) as connection:
        assert connection.get("/v1/models").json()["data"][0]["id"] == MODEL
        assert connection.get("/health").status == 200
        assert connection.get("/elsewhere").status == 404
        whole = connection.chat(body("Hello.", MODEL))
        assert len(whole.text.split()) == 20
        options = {"include_usage": True}
        streamed = connection.chat(body("Hello.", MODEL, stream=True, stream_options=options))
        assert streamed.done
        assert streamed.events()[-2]["usage"]["total_tokens"] == 30


@pytest.mark.parametrize("close", [True, False])
def test_every_chunk_is_counted_with_its_delay(stub: Stub, close: bool) -> None:
    endpoint = Endpoint.of(stub.url())
    stub.pace(chunks=8, tps=50)
    found = follow(endpoint, wire(endpoint, close), 20, limit_s=10)
    assert len(complete(found, 8)) == 20
    for one in found:
        assert len(one.delays) == len(one.at) == 8
        assert all(0 <= delay < 1 for delay in one.delays)
        assert one.at[-1] - one.at[0] > 0.09  # seven intervals of 20 ms, less what the first waited
        assert one.answer.chunks[0] < 1


def test_streams_are_opened_over_the_time_asked_for(stub: Stub, endpoint: Endpoint) -> None:
    stub.pace(chunks=2, tps=100)
    found = follow(endpoint, wire(endpoint), 10, limit_s=10, over_s=0.5)
    first = sorted(one.at[0] for one in found)
    assert first[-1] - first[0] > 0.35
    assert max(one.answer.chunks[0] for one in found) < 0.3  # counted from when each was due


def test_a_relay_that_holds_chunks_back_is_seen(stub: Stub) -> None:
    """What a gateway adds to each chunk is in the delays, not only its jitter."""
    stub.pace(chunks=4, tps=20)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_slow_relay, args=(listening, stub.port()), daemon=True).start()
        endpoint = Endpoint.of(f"http://127.0.0.1:{listening.getsockname()[1]}")
        (one,) = follow(endpoint, wire(endpoint), 1, limit_s=10)
    assert len(one.delays) == 4
    assert 0.03 < min(one.delays) < 1


def _slow_relay(listening: socket.socket, port: int) -> None:
    client, _ = listening.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as backend:
        backend.sendall(client.recv(65_536))
        while data := backend.recv(65_536):
            time.sleep(0.03)
            client.sendall(data)


def test_a_stream_that_does_not_end_is_given_up(stub: Stub, endpoint: Endpoint) -> None:
    stub.pace(chunks=100, tps=10)
    begun = time.monotonic()
    (one,) = follow(endpoint, wire(endpoint), 1, limit_s=0.3)
    assert time.monotonic() - begun < 2
    assert complete([one], 100) == []
    assert "no end within 0.3 s" in one.answer.said()


def test_nobody_there_is_a_stream_with_a_reason() -> None:
    endpoint = Endpoint("127.0.0.1", 9)
    (one,) = follow(endpoint, wire(endpoint), 1, limit_s=2)
    assert one.at == []
    assert "ConnectionRefusedError" in one.answer.said()


@pytest.mark.tools
def test_two_thousand_streams_are_no_burden_for_the_client(stub: Stub) -> None:
    """Measured against the backend itself: what remains is the floor of all comparisons."""
    if descriptors(4096) < 4096:
        pytest.skip("too few open files are allowed here")
    endpoint = Endpoint.of(stub.url())
    stub.pace(chunks=6, tps=2)
    used = time.process_time()
    found = follow(endpoint, wire(endpoint), 2000, limit_s=30, over_s=1)
    used = time.process_time() - used
    assert len(complete(found, 6)) == 2000
    assert percentile([delay for one in found for delay in one.delays], 0.5) < 0.005
    assert used < 4  # of about 4 s; most of it reads the answers afterwards


def test_memory_and_limits_of_processes() -> None:
    import os

    assert 5 < (rss_mb([os.getpid()]) or 0) < 5000
    assert rss_mb([]) is None
    assert cpu_seconds([]) is None
    assert descriptors(64) == 64  # never lowered, and no error
