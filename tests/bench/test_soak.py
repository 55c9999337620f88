"""The soak in small: random faults and disconnects through a real gunicorn leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import soak as module
from bench.soak import DRIVERS, Job, grown, main, memory, soak, stages


@pytest.mark.tools
@pytest.mark.parametrize("driver", DRIVERS)
def test_nothing_leaks(driver: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After some hundred requests with faults and disconnects all slots, sockets and threads are
    back, with one record each."""
    assert soak(500, 16, seed=7, folder=tmp_path, driver=driver) == []
    printed = capsys.readouterr().out
    assert printed.startswith("500 requests from 16 clients")
    assert "client_gone" in printed


def test_a_violation_is_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was violated is printed, and the command ends with 1."""
    monkeypatch.setattr("bench.soak.soak", lambda *_: ["slots not given back"])
    assert main(["--requests", "10", "--driver", "both"]) == 1
    printed = capsys.readouterr().out
    for driver in ("loop", "thread"):
        assert f"VIOLATION: {driver}: slots not given back" in printed


def test_memory_is_judged_after_the_first_ten_thousand_requests() -> None:
    assert memory(100.0, 104.9)[1] == []
    said, violations = memory(100.0, 106.0)
    assert violations == [said]
    assert "+6.0%, allowed +5%" in said
    said, violations = memory(None, 500.0)
    assert violations == []
    assert "not judged" in said


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(20_000, [1000, 9000, 10_000]), (500, [64, 436, 0]), (30, [30, 0, 0])],
)
def test_all_requests_are_sent_in_three_stages(requests: int, expected: list[int]) -> None:
    assert stages(requests, 32) == expected
    assert sum(expected) == requests


def test_what_grows_is_a_violation() -> None:
    before = {"descriptors": 40, "threads": 20, "MB": 60, "clients": 8}
    assert grown(before, {**before, "descriptors": 48}, "loop") == []
    assert "descriptors grew" in grown(before, {**before, "descriptors": 49}, "loop")[0]
    assert "81 threads" in grown(before, {**before, "threads": 81}, "thread")[0]
    assert grown(before, {**before, "threads": 80}, "thread") == []


def test_the_threaded_driver_is_gunicorns_own_worker() -> None:
    assert DRIVERS["loop"] == {}
    (command,) = DRIVERS["thread"].values()
    assert command == "--worker-class=gthread --threads=64"


def test_a_stream_ends_with_done_or_with_an_error_that_says_why() -> None:
    job = Job("/v1/chat/completions", {"stream": True}, None, flawless=True)
    for end in (b"data: [DONE]\n\n", b': waiting\ndata: {"error":{"message":"late"}}\n\n'):
        assert module._objection(job, 200, b'data: {"choices": []}\n\n' + end) is None
    cut = module._objection(job, 200, b'data: {"choices": []}\n\n')
    assert cut is not None
    assert "without its end" in cut
