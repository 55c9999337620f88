"""Codex, unmodified and not interactive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agents.conftest import Scratch
from agents.scripted_model import DONE, Json, results, works_through
from scripted_backend import ScriptedBackend

pytestmark = pytest.mark.agents
CONFIG = """
model = "ai-router"
model_provider = "router"
check_for_update_on_startup = false

[model_providers.router]
name = "ai-router"
base_url = "{url}/v1"
wire_api = "responses"

[analytics]
enabled = false
"""


def test_a_tool_loop_of_five_turns(scratch: Scratch, before: Callable[..., Any]) -> None:
    """It runs commands and sees their output; the answer is its last message."""
    commands = [
        "printf 'one\\ntwo\\n' > notes.txt",
        "cat notes.txt",
        "sed -i s/two/three/ notes.txt",
        "cat notes.txt; echo ran",
        "wc -l notes.txt",
    ]
    seen: list[Json] = []
    calls = [("exec_command", {"cmd": command}) for command in commands]
    with ScriptedBackend(works_through(calls, seen)) as backend:
        router = before(backend.url)
        if router.post("/v1/responses", {}).status_code == 404:
            pytest.skip("The router has no /v1/responses.")
        folder = scratch.home / ".codex"
        folder.mkdir()
        (folder / "config.toml").write_text(CONFIG.format(url=router.url), "utf-8")
        last = scratch.home / "last.txt"
        run = scratch.run(
            *("codex", "exec", "--skip-git-repo-check", "--output-last-message", last),
            # The commands are ours; its sandbox needs rights that containers may not give.
            *("--dangerously-bypass-approvals-and-sandbox", "Do the five steps."),
        )
    assert run.returncode == 0, run.stdout + run.stderr
    assert last.read_text("utf-8").strip() == DONE
    assert (scratch.work / "notes.txt").read_text("utf-8") == "one\nthree\n"
    assert len(seen) == 6
    assert "one\nthree\nran" in results(seen[-1])[3]
