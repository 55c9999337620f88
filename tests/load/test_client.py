"""The client that the users have, against the simulator."""

from collections.abc import Iterator
from typing import Any

import pytest

from bench.client import EMBEDDINGS, Endpoint
from bench.stats import gaps
from load.__main__ import parser
from load.client import Client
from load.stand import target
from simulator.testing import Simulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(roles=("primary", "embedding")) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    simulator.reset()
    found = Client(Endpoint.of(simulator.url("primary")))
    yield found
    found.close()


def body(steering: str = "", **fields: Any) -> dict[str, Any]:
    return {
        "model": "primary-model",
        "messages": [{"role": "user", "content": f"Hello {steering}"}],
        **fields,
    }


def test_a_stream_is_timed_piece_by_piece(client: Client) -> None:
    answer = client.request(body('[[sim {"tokens": 20, "ttft_ms": 60, "tps": 200}]]', stream=True))
    assert (answer.problem, answer.status, len(answer.chunks)) == ("", 200, 20)
    assert 0.055 < answer.chunks[0] < answer.chunks[-1]
    assert answer.tokens_per_s is not None
    assert 100 < answer.tokens_per_s < 260
    assert answer.text


def test_a_silence_within_a_stream_is_seen(client: Client) -> None:
    answer = client.request(
        body(
            '[[sim {"tokens": 10, "fault": {"name": "stall", "after_chunks": 4, "ms": 150}}]]',
            stream=True,
        )
    )
    assert not answer.problem
    assert max(gaps(answer.chunks)) > 0.12


def test_requests_share_one_connection(simulator: Simulator, client: Client) -> None:
    before = simulator.stats("primary")["connections_opened"]
    for _ in range(3):
        assert not client.request(body(stream=True)).problem
        assert not client.request(body()).problem
    assert simulator.stats("primary")["connections_opened"] - before == 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ('{"name": "cut", "after_chunks": 3}', "closed before"),
        ('{"name": "cut_clean", "after_chunks": 3}', "without [DONE]"),
        ('{"name": "no_done"}', "without [DONE]"),
        ('{"name": "error_event", "after_chunks": 3}', "an error within the stream"),
        ('{"name": "error_status", "status": 500}', "status 500"),
        ('{"name": "empty_200"}', ""),
    ],
)
def test_what_is_not_whole_is_a_problem_and_the_next_request_works(
    client: Client, fault: str, says: str
) -> None:
    answer = client.request(body(f'[[sim {{"tokens": 20, "fault": {fault}}}]]', stream=True))
    assert answer.problem
    assert says in answer.problem
    assert not client.request(body(stream=True)).problem


def test_hanging_up_frees_the_server(simulator: Simulator, client: Client) -> None:
    answer = client.request(body('[[sim {"tokens": 200, "tps": 100}]]', stream=True), abort_after=5)
    assert answer.aborted
    assert 5 <= len(answer.chunks) < 50
    assert simulator.wait_for("primary", aborted=1)["aborted"] == 1


def test_a_client_without_patience(client: Client) -> None:
    answer = client.request(body('[[sim {"ttft_ms": 9000}]]', stream=True), limit=0.2)
    assert answer.late
    assert answer.seconds < 8


def test_nobody_there_is_a_problem_and_no_exception() -> None:
    answer = Client(Endpoint("127.0.0.1", 9)).request(body())
    assert "ConnectionRefusedError" in answer.problem
    assert answer.status == 0


def test_a_server_that_closed_an_idle_connection_is_asked_again(
    simulator: Simulator, client: Client
) -> None:
    assert not client.request(body()).problem
    assert client._sock is not None
    client._sock.shutdown(2)
    assert not client.request(body()).problem


def test_headers_and_vectors(simulator: Simulator) -> None:
    client = Client(Endpoint.of(simulator.url("embedding")))
    answer = client.request(
        {"model": "embedding-model", "input": ["a", "b"]},
        path=EMBEDDINGS,
        headers={"X-Sim": '{"ttft_ms": 80}'},
    )
    client.close()
    assert not answer.problem
    assert answer.seconds > 0.075


@pytest.mark.parametrize(
    ("words", "name"), [((), "load"), (("--test", "storm"), "storm")], ids=["default", "named"]
)
def test_the_probe_beside_the_load_is_marked_as_a_test(
    simulator: Simulator, words: tuple[str, ...], name: str
) -> None:
    with target(parser().parse_args(["--url", simulator.url("primary"), *words])) as found:
        assert b"\r\nX-Router-Test: %b\r\n" % name.encode() in found.router.chat({})
