"""`map`: what its subcommands print, and their exit status."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airouter.__main__ import main
from airouter.cli.map import COMMANDS
from airouter.settings.load import ROOT

FOLDER = ROOT / "config" / "mapper"
SAMPLE = ROOT / "data" / "mapper" / "labelled.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(FOLDER, tmp_path / "mapper")


def test_check_prints_a_table(capsys) -> None:
    assert main(["map", "check"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "openai-moderation" in printed.out
    assert "SOC 2 CC7.2" in printed.out


def test_check_prints_each_problem_and_fails(folder: Path, capsys) -> None:
    (folder / "schema.json").unlink()
    (folder / "frameworks.yaml").write_text("version: 1.0.0\nframeworks: {}\n")
    assert main(["map", "check", "--folder", str(folder)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("ai-router: ") for line in lines)


def test_schema_writes_what_check_expects(folder: Path, capsys) -> None:
    (folder / "schema.json").write_text("{}")
    assert main(["map", "schema", "--folder", str(folder)]) == 0
    assert (folder / "schema.json").read_bytes() == (FOLDER / "schema.json").read_bytes()
    assert main(["map", "check", "--folder", str(folder)]) == 0


def test_evaluate_prints_shares_with_intervals(capsys) -> None:
    assert main(["map", "evaluate", str(SAMPLE)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Exactly the same labels: 9")
    assert "DETECTOR" in printed
    assert "PRECISION" in printed


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path, capsys) -> None:
    assert main(["map", "evaluate", str(tmp_path / "none.jsonl")]) == 1
    assert main(["map", "schema", "--folder", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 2


def test_each_subcommand_has_a_help() -> None:
    assert all(command.help for command in COMMANDS.values())
