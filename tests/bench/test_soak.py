"""The soak in small: random faults and disconnects through a real gunicorn leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.soak import main, soak

pytestmark = pytest.mark.tools


def test_nothing_leaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After some hundred requests with faults and disconnects all slots, sockets and threads are
    back, with one record each."""
    assert soak(500, 16, seed=7, folder=tmp_path) == []
    printed = capsys.readouterr().out
    assert printed.startswith("500 requests from 16 clients")
    assert "client_gone" in printed


def test_a_violation_is_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was violated is printed, and the command ends with 1."""
    monkeypatch.setattr("bench.soak.soak", lambda *_: ["slots not given back"])
    assert main(["--requests", "10"]) == 1
    assert "VIOLATION: slots not given back" in capsys.readouterr().out
