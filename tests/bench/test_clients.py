"""The clients that measure, against the simulator."""

from collections.abc import Iterator

import pytest

from bench.client import Connection, Endpoint, Failure
from bench.crowd import drive, send
from bench.stats import gaps, lateness
from simulator.testing import Simulator

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(roles=("primary",)) as simulator:
        yield simulator


@pytest.fixture
def endpoint(sim: Simulator) -> Endpoint:
    sim.reset()
    return Endpoint.of(sim.url("primary"))


def ask(text: str, **fields: object) -> dict[str, object]:
    return {"model": "primary-model", "messages": [{"role": "user", "content": text}], **fields}


def test_a_url_may_end_in_v1_and_a_key_is_not_shown() -> None:
    endpoint = Endpoint.of("https://host.example/base/v1/", "secret-key")
    assert (endpoint.host, endpoint.port, endpoint.tls, endpoint.prefix) == (
        "host.example",
        443,
        True,
        "/base",
    )
    assert "secret-key" not in repr(endpoint)
    assert b"Bearer secret-key" in endpoint.wire(CHAT, {})


def test_something_that_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="not an http"):
        Endpoint.of("localhost:8002")


def test_requests_share_one_connection(sim: Simulator, endpoint: Endpoint) -> None:
    before = sim.stats("primary")["connections_opened"]
    with Connection(endpoint) as connection:
        replies = [connection.chat(ask(f"Hello {i}")) for i in range(5)]
    assert all(reply.json()["choices"][0]["message"]["content"] for reply in replies)
    assert sim.stats("primary")["connections_opened"] - before == 1


def test_the_first_content_of_a_stream_is_not_its_role_chunk(endpoint: Endpoint) -> None:
    text = (
        'Hello [[sim {"tokens": 5, "faults": [], "fault": {"name": "slow_first_token", "ms": 80}}]]'
    )
    with Connection(endpoint) as connection:
        reply = connection.chat(ask(text, stream=True))
    assert reply.first_content is not None
    assert reply.first_content >= 0.075
    assert reply.body.rstrip().endswith(b"data: [DONE]")


def test_an_error_status_is_a_failure_and_the_connection_goes_on(endpoint: Endpoint) -> None:
    with Connection(endpoint) as connection:
        with pytest.raises(Failure, match="status 404"):
            connection.chat({**ask("Hello"), "model": "nobody"})
        assert connection.chat(ask("Hello")).status == 200


def test_an_answer_that_is_cut_is_a_failure(endpoint: Endpoint) -> None:
    with Connection(endpoint) as connection, pytest.raises(Failure):
        connection.chat(
            ask(
                'Hello [[sim {"tokens": 50, "fault": {"name": "cut", "after_chunks": 3}}]]',
                stream=True,
            )
        )


def test_nobody_there_is_a_failure() -> None:
    with (
        Connection(Endpoint("127.0.0.1", 9)) as connection,
        pytest.raises(Failure, match="ConnectionRefusedError"),
    ):
        connection.get("/")


def test_streams_are_counted_chunk_by_chunk(endpoint: Endpoint) -> None:
    text = 'Count [[sim {"tokens": 12, "tps": 200, "ttft_ms": 0}]]'
    streams = send(endpoint, [endpoint.wire(CHAT, ask(text, stream=True), close=True)] * 8, 10)
    assert [stream.complete(12) for stream in streams] == [True] * 8
    assert all(0.04 < stream.arrivals[-1] < 1 for stream in streams)


def test_a_stream_that_breaks_off_is_not_complete(endpoint: Endpoint) -> None:
    text = 'Count [[sim {"tokens": 12, "fault": {"name": "cut", "after_chunks": 4}}]]'
    (stream,) = send(endpoint, [endpoint.wire(CHAT, ask(text, stream=True), close=True)], 10)
    assert not stream.done
    assert not stream.complete(12)


def test_lateness_is_counted_from_the_most_punctual_chunk() -> None:
    times = [0.5, 0.51, 0.55, 0.53]
    assert [round(late, 3) for late in lateness(times, 0.01)] == [0.0, 0.0, 0.03, 0.0]
    assert [round(gap, 3) for gap in gaps(times)] == [0.01, 0.04, -0.02]


def test_load_counts_answers_and_failures_apart(endpoint: Endpoint) -> None:
    good = drive(endpoint, endpoint.wire(CHAT, ask("Hello")), 4, 0.3, 0.1)
    assert len(good.latencies) >= 4
    assert good.failures == 0
    bad = drive(endpoint, endpoint.wire(CHAT, {**ask("Hello"), "model": "nobody"}), 4, 0.2, 0.0)
    assert not bad.latencies
    assert bad.failures > 0
    assert "404" in bad.first_failure
