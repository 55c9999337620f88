"""Each fault, as a client sees it."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import requests

import simulator
from simulator.client import (
    chat,
    connect,
    content,
    events,
    get,
    post,
    raw_chat,
    raw_request,
    streamed_text,
)
from simulator.control import ENDPOINTS
from simulator.faults import CATALOGUE
from simulator.testing import Simulator, answer_numbers


def marked(*faults: Any) -> str:
    """A message with its faults in a marker, as a test sends it through a router."""
    return f"hello [[sim {json.dumps({'primary': {'fault': list(faults)}})}]]"


def stream(sim: Simulator, *faults: Any, **fields: Any) -> requests.Response:
    return chat(sim, "primary", marked(*faults), stream=True, **fields)


def test_refuse_and_accept(sim: Simulator) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.get(sim.url("primary") + "/health", timeout=5)
        sim.refuse("primary")
        with pytest.raises(requests.ConnectionError):
            session.get(sim.url("primary") + "/health", timeout=5)
    with pytest.raises(ConnectionRefusedError):
        connect(sim, "primary")
    sim.accept("primary")
    assert get(sim, "primary", "/health").status_code == 200
    sim.fault("primary", "refuse")
    sim.reset("primary")
    assert get(sim, "primary", "/health").status_code == 200


def test_reset_before_read(sim: Simulator) -> None:
    sim.fault("primary", "reset_before_read", times=1)
    # The reset may already meet the connecting client.
    with pytest.raises(ConnectionResetError), connect(sim, "primary") as sock:
        sock.recv(10)
    assert get(sim, "primary", "/health").status_code == 200


def test_reset(sim: Simulator) -> None:
    with pytest.raises(ConnectionResetError):
        raw_chat(sim, "primary", marked("reset"))


def test_hang(sim: Simulator) -> None:
    with connect(sim, "primary") as sock:
        sock.sendall(raw_request("primary", marked("hang")))
        sim.wait_for("primary", started=1)
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    assert sim.wait_for("primary", aborted=1)["aborts"][0]["phase"] == "before_headers"


def test_hang_headers(sim: Simulator) -> None:
    with connect(sim, "primary") as sock:
        sock.sendall(raw_request("primary", marked({"name": "hang_headers", "interval_ms": 2})))
        received = b""
        while len(received) < 60:
            data = sock.recv(1000)
            assert data
            received += data
    assert received.startswith(b"HTTP/1.1 200 OK\r\nX-Slow: x")
    assert b"\r\n\r\n" not in received


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_error_status(sim: Simulator, status: int) -> None:
    sim.fault("primary", "error_status", status=status, retry_after=7, times=1)
    answer = chat(sim, "primary", "hi")
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")
    assert answer.json()["error"]["code"] == status
    assert chat(sim, "primary", "hi").status_code == 200
    sim.fault("primary", "error_status", status=status, body={"detail": "own"})
    own = chat(sim, "primary", "hi")
    assert own.json() == {"detail": "own"}
    assert "Retry-After" not in own.headers
    sim.clear_faults("primary")
    assert chat(sim, "primary", "hi").status_code == 200


def test_html_and_empty(sim: Simulator) -> None:
    page = chat(sim, "primary", marked({"name": "html", "status": 502}))
    assert (page.status_code, page.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    empty = chat(sim, "primary", marked("empty_200"))
    assert (empty.status_code, empty.content) == (200, b"")


def test_loading_holds_for_every_path(sim: Simulator) -> None:
    sim.fault("primary", "loading")
    assert get(sim, "primary", "/health").status_code == 503
    assert get(sim, "primary", "/v1/models").status_code == 503
    assert chat(sim, "primary", "hi").status_code == 503


def test_headers(sim: Simulator) -> None:
    for streaming in (True, False):
        typed = chat(sim, "primary", marked("wrong_content_type"), stream=streaming)
        assert typed.headers["Content-Type"] == "text/plain"
        received = raw_chat_closing(sim, marked("oversized_header"), stream=streaming)
        assert len(received.partition(b"\r\n\r\n")[0]) > 70_000
        closed = raw_chat(sim, "primary", marked("early_close_after_headers"), stream=streaming)
        assert closed.startswith(b"HTTP/1.1 200 OK\r\n")
        assert closed.endswith(b"\r\n\r\n")


def raw_chat_closing(sim: Simulator, text: str, /, **fields: Any) -> bytes:
    """All bytes of a well-ended answer, by asking the server to close after it."""
    with connect(sim, "primary") as sock:
        request = raw_request("primary", text, **fields).replace(
            b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n"
        )
        sock.sendall(request)
        received = b""
        while data := sock.recv(65536):
            received += data
        return received


def test_slow_first_token(sim: Simulator) -> None:
    for streaming in (True, False):
        answer = chat(
            sim, "primary", marked({"name": "slow_first_token", "ms": 300}), stream=streaming
        )
        assert answer.status_code == 200
    with connect(sim, "primary") as sock:
        sock.sendall(
            raw_request("primary", marked({"name": "slow_first_token", "ms": 60_000}), stream=True)
        )
        received = sock.recv(65536)
        assert b'"role":"assistant"' in received
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_stall(sim: Simulator) -> None:
    assert len(events(stream(sim, {"name": "stall", "after_chunks": 2, "ms": 100}))) == 22
    for streaming in (True, False):
        with connect(sim, "primary") as sock:
            sock.sendall(
                raw_request(
                    "primary", marked({"name": "stall", "after_chunks": 2}), stream=streaming
                )
            )
            received = sock.recv(65536)
            sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                sock.recv(1)
        assert received.count(b'"content":"') == (3 if streaming else 1)
    assert sim.wait_for("primary", aborted=2)["aborts"][0]["phase"] == "streaming"


def test_dribble(sim: Simulator) -> None:
    plain = content(chat(sim, "primary", "hello"))
    assert content(chat(sim, "primary", marked("dribble"))) == plain
    assert streamed_text(events(stream(sim, "dribble"))) == plain
    sizes = re.findall(
        rb"\r\n([0-9a-f]+)\r\n", raw_chat_closing(sim, marked("dribble"), stream=True)
    )
    assert {int(size, 16) for size in sizes} <= {0, 1, 2, 3}


def test_truncated_json(sim: Simulator) -> None:
    head, _, body = raw_chat(sim, "primary", marked("truncated_json")).partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    assert 0 < len(body) < int(length[1])


def test_cut(sim: Simulator) -> None:
    received = raw_chat(sim, "primary", marked({"name": "cut", "after_chunks": 5}), stream=True)
    assert received.count(b'"content":"') == 6
    assert not received.endswith(b"0\r\n\r\n")
    with pytest.raises(requests.RequestException):
        _ = stream(sim, {"name": "cut", "after_chunks": 0}).content
    with pytest.raises(requests.RequestException):
        chat(sim, "primary", marked("cut"))


def test_cut_clean(sim: Simulator) -> None:
    text = stream(sim, {"name": "cut_clean", "after_chunks": 5}).text
    assert text.count('"content":"') == 6
    assert "[DONE]" not in text
    assert '"finish_reason":"' not in text
    with pytest.raises(requests.JSONDecodeError):
        chat(sim, "primary", marked("cut_clean")).json()


def test_role_only_then_cut(sim: Simulator) -> None:
    received = raw_chat(sim, "primary", marked("role_only_then_cut"), stream=True)
    assert received.count(b"data: ") == received.count(b'"role":"assistant"') == 1
    assert not received.endswith(b"0\r\n\r\n")


def test_events_that_should_not_be_there(sim: Simulator) -> None:
    blocks = stream(sim, {"name": "garbage_event", "after_chunks": 1}).text.split("\n\n")
    assert blocks[2] == "data: {not json"
    assert blocks[-2] == "data: [DONE]"
    failed = events(stream(sim, {"name": "error_event", "after_chunks": 2}))
    assert len(failed) == 4
    assert failed[-1]["error"]["code"] == 500


def test_events_that_are_missing(sim: Simulator) -> None:
    assert "[DONE]" not in stream(sim, "no_done").text
    chunks = events(stream(sim, "no_finish_reason_with_done"))
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
    usage = {"include_usage": True}
    assert all(
        "usage" not in chunk for chunk in events(stream(sim, "usage_missing", stream_options=usage))
    )
    assert "usage" not in chat(sim, "primary", marked("usage_missing")).json()


def test_unusual_but_valid_streams(sim: Simulator) -> None:
    plain = content(chat(sim, "primary", "hello"))
    crlf = stream(sim, "crlf").text
    assert crlf.count("\r\n\r\n") == 23
    assert crlf.replace("\r\n", "\n").count("\n\n") == 23
    merged = raw_chat_closing(sim, marked({"name": "merged", "events": 5}), stream=True)
    assert merged.count(b"\r\ndata: ") == 5
    assert merged.count(b"data: ") == 23
    pings = stream(sim, {"name": "keepalive_comments", "every": 3}).text
    assert pings.count(": ping\n\n") == 8
    last = events(stream(sim, "finish_in_content_chunk"))
    assert last[-1]["choices"][0]["finish_reason"] == "stop"
    assert last[-1]["choices"][0]["delta"]["content"]
    assert streamed_text(last) == plain


def test_times_path_and_probability(sim: Simulator) -> None:
    sim.fault("primary", "error_status", path="/v1/models", status=500)
    assert get(sim, "primary", "/v1/models").status_code == 500
    assert chat(sim, "primary", "hi").status_code == 200
    sim.clear_faults("primary")
    sim.fault("primary", "error_status", probability=0.5)
    statuses = {chat(sim, "primary", "hi").status_code for _ in range(40)}
    assert statuses == {200, 500}
    sim.clear_faults("primary")
    once = marked({"name": "error_status", "status": 503, "times": 1})
    assert [chat(sim, "primary", once).status_code for _ in range(3)] == [503, 200, 200]


def test_unknown_faults_are_an_error(sim: Simulator) -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        sim.fault("primary", "nonsense")
    assert chat(sim, "primary", 'hi [[sim {"fault": "nonsense"}]]').status_code == 400


def test_faults_show_in_the_stats(sim: Simulator) -> None:
    sim.fault("xai", "error_status", times=2)
    post(sim, "xai", "/v1/responses", {"model": "grok-4", "input": "hi"})
    stats = sim.stats("xai")
    assert stats["faults"] == {"error_status": 1}
    assert stats["active_faults"][0]["times"] == 1
    assert stats["requests"][0]["faults"] == ["error_status"]


def test_a_killed_simulator_refuses() -> None:
    with Simulator(roles=("primary",)) as sim:
        port = sim.port("primary")
        sim.kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_the_readme_lists_every_fault_and_control_endpoint() -> None:
    readme = (Path(simulator.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert [name for name in CATALOGUE if f"| `{name}` |" not in readme] == []
    assert [endpoint for endpoint in ENDPOINTS if f"| `{endpoint}` |" not in readme] == []


def test_every_fault_has_a_test_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in CATALOGUE if f'"{name}"' not in source] == []


def test_a_fault_may_let_requests_past_it_first(sim: Simulator) -> None:
    sim.fault("primary", "error_status", status=503, skip=1, times=1)
    assert [chat(sim, "primary", "hello").status_code for _ in range(3)] == [200, 503, 200]
    with pytest.raises(ValueError, match="skip"):
        sim.fault("primary", "reset", skip=-1)


def test_an_event_that_is_not_json_may_take_the_place_of_one(sim: Simulator) -> None:
    """Inserted, it costs nothing; in place of an event, that event's text is lost."""
    for instead in (False, True):
        fault = {"name": "garbage_event", "after_chunks": 12, "instead": instead}
        lines = stream(sim, fault).text.split("\n\n")
        broken = [line for line in lines if line and not _is_json(line.removeprefix("data: "))]
        assert len([line for line in broken if line != "data: [DONE]"]) == 1
        text = "".join(
            json.loads(line[6:])["choices"][0]["delta"].get("content", "")
            for line in lines
            if line and line not in broken
        )
        missing = sorted(set(range(1, 13)) - set(answer_numbers(text)))
        assert missing == ([5] if instead else [])


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
