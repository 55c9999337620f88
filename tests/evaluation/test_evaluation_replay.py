"""`replay`: the command at work, and the one sentence per mistake."""

import json
import os
import socket
from pathlib import Path

import pytest
import yaml
from records import record, session_loggers

from airouter.__main__ import main
from airouter.settings.load import ENVIRONMENT, ROOT

ASKS = {
    "a" * 32: ("Write a polite email to my landlord about the dripping kitchen tap.", "ENRICH"),
    "b" * 32: (
        "Write a short birthday poem for my aunt\x1b[2J Ruth, who likes gardening.",
        "SIMPLE",
    ),
}


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three sessions, one without content and one that is damaged; no backend is configured."""
    for name in (*ENVIRONMENT, "ROUTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for content in ("full", "off"):
        with session_loggers(tmp_path / "sessions") as build:
            logger = build(content=content)
            for id, (ask, label) in ASKS.items():
                messages = [{"role": "user", "content": ask}]
                logger.emit(record(id=id, label=label, client_messages=messages, tier="reasoning"))
            assert logger.flush(20)
    (tmp_path / "sessions" / "2026-03-01_12-30-45_damaged.json").write_text('{"id": "')
    monkeypatch.chdir(tmp_path)  # which the command leaves
    return tmp_path


def test_it_shows_what_would_move_and_calls_nobody(
    logs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", None)
    monkeypatch.setattr(socket.socket, "connect_ex", None)
    assert main(["replay", "."]) == 0
    printed = capsys.readouterr()
    assert "2 sessions decided again: 1 would move (50.0%), 1 of them in the harmful" in printed.out
    assert "aaaaaaaa" in printed.out
    assert "polite email" in printed.out
    assert "bbbbbbbb" not in printed.out
    assert "without content (logging.content: off): 2." in printed.err
    assert "truncated, were skipped: 1." in printed.err


def test_as_json_of_the_folder_itself(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(logs / "sessions"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["decided"], found["directions"]["harmful"], found["unreadable"]) == (2, 1, 1)
    assert found["moved"][0]["id"] == "a" * 32


def test_another_configuration(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the learned tier, nothing is decided but by rules."""
    settings = yaml.safe_load((ROOT / "config" / "router.yaml").read_text())
    settings["cascade"] = {"tiers": ["rules", "reasoning"]}
    (logs / "other.yaml").write_text(yaml.safe_dump(settings))
    assert main(["replay", ".", "--config", "other.yaml", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts["ENRICH"] == {"asks a model": 1}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "There are no session files"),
        ([".", "--config", "none.yaml"], "does not exist"),
        ([".", "--ask"], "PRIMARY_URL"),
    ],
)
def test_a_mistake_is_a_sentence(
    logs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(["replay", *arguments]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (logs / "sessions").chmod(0)
    try:
        assert main(["replay", "."]) == 1
    finally:
        (logs / "sessions").chmod(0o700)
    assert "Permission denied" in capsys.readouterr().err
