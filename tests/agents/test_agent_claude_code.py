"""Claude Code, unmodified and not interactive."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from agents.conftest import Scratch
from agents.scripted_model import DONE, Json, results, works_through
from scripted_backend import ScriptedBackend

from airouter.dialects.prefix_guard import steady

pytestmark = pytest.mark.agents


@pytest.mark.parametrize("native", [False, True])
def test_a_tool_loop_of_five_turns(
    scratch: Scratch, before: Callable[..., Any], native: bool
) -> None:
    """It writes, reads, edits and runs; each turn is answered by the backend of the first, and
    begins as the one before. `native`: by way of a backend that speaks its API."""
    notes = scratch.work / "notes.txt"
    path = {"file_path": str(notes)}
    calls = [
        ("Write", {**path, "content": "one\ntwo\n"}),
        ("Read", path),
        ("Edit", {**path, "old_string": "two", "new_string": "three"}),
        ("Bash", {"command": "cat notes.txt; echo ran", "description": "Show the notes"}),
        ("Read", path),
    ]
    seen: list[Json] = []
    with ScriptedBackend(works_through(calls, seen)) as backend:
        router = before(backend.url)
        if native:
            router = before(router.url, kind="anthropic", model="ai-router/primary")
        run = scratch.run(
            *("claude", "-p", "Do the five steps.", "--output-format", "json"),
            *("--permission-mode", "acceptEdits", "--allowedTools", "Bash,Read,Write,Edit"),
            ANTHROPIC_BASE_URL=router.url,
            ANTHROPIC_AUTH_TOKEN="any",
        )
    assert run.returncode == 0, run.stdout + run.stderr
    said = json.loads(run.stdout)
    assert (said["result"], said["is_error"], said["num_turns"]) == (DONE, False, 6)
    assert notes.read_text("utf-8") == "one\nthree\n"
    assert len(seen) == 6
    assert "one\nthree\nran" in results(seen[-1])[3]
    for earlier, later in pairwise(seen):
        assert later["tools"] == earlier["tools"]
        assert later["messages"][0] == earlier["messages"][0]
        assert steady(later["messages"]) is later["messages"]
