"""`sessions`: each subcommand at work, and the one sentence per mistake."""

import json
import sys

import pytest
from records import record, session_loggers

from airouter.__main__ import main


@pytest.fixture
def folder(bare, tmp_path):
    """The configured directory of logs, with a session file and no index."""
    with session_loggers(tmp_path / "logs" / "sessions") as build:
        logger = build()
        logger.emit(record(user_query="a heron\x1b[2J", reason="ok", key_id="reports"))
        assert logger.flush(20)
    return tmp_path / "logs"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list"], "01234567"),
        (["list", "--json"], '"route": "primary"'),
        (["list", "--key", "reports"], "01234567"),
        (["show", "01234567"], "reports"),
        (["slow"], "answer"),
        (["show", "01234567"], "first content"),
        (["stats"], "1 requests"),
        (["grep", "quest.on"], "question"),
    ],
)
def test_a_subcommand_prints(folder, capsys, arguments, says):
    assert main(["sessions", *arguments]) == 0
    printed = capsys.readouterr().out
    assert says in printed
    assert "\x1b" not in printed


def test_files_are_relative_to_the_caller(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["sessions", "export", "--csv", "out.csv", "--log-dir", "logs"]
    assert main(arguments) == 0
    assert (tmp_path / "out.csv").read_text().count("\n") == 2


def test_show_as_json_is_the_file(folder, capsys):
    assert main(["sessions", "show", "01234567", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["user_query"] == "a heron\x1b[2J"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "--log-dir", "/nowhere"], "send the router a request"),
        (["show", "ffffffff"], "no session file"),
        (["export", "--csv", "/nowhere/out.csv"], "No such file"),
        (["grep", "nothing like it"], "Nothing was found"),
    ],
)
def test_a_mistake_is_a_sentence(folder, capsys, arguments, says):
    assert main(["sessions", *arguments]) == 1
    assert says in capsys.readouterr().err


def test_without_duckdb(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert main(["sessions", "sql", "SELECT 1"]) == 1
    assert "install it with" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["list", "--since", "soon"], ["grep", "("]])
def test_a_wrong_argument_is_refused(bare, capsys, arguments):
    with pytest.raises(SystemExit):
        main(["sessions", *arguments])
    assert "error: argument" in capsys.readouterr().err
