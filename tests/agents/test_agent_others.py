"""OpenCode and Continue's command line, unmodified and not interactive, through chat
completions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from agents.conftest import Scratch
from agents.scripted_model import DONE, Json, results, works_through
from scripted_backend import ScriptedBackend

pytestmark = pytest.mark.agents


def test_opencode_ends_a_tool_loop_of_five_turns(
    scratch: Scratch, before: Callable[..., Any]
) -> None:
    """It writes, reads, edits and runs."""
    notes = scratch.work / "notes.txt"
    path = {"filePath": str(notes)}
    show = {"command": "cat notes.txt; echo ran", "description": "Show the notes"}
    calls = [
        ("write", {**path, "content": "one\ntwo\n"}),
        ("read", path),
        ("edit", {**path, "oldString": "two", "newString": "three"}),
        ("bash", show),
        ("read", path),
    ]
    seen: list[Json] = []
    with ScriptedBackend(works_through(calls, seen)) as backend:
        router = before(backend.url)
        options = {"baseURL": f"{router.url}/v1", "apiKey": "any"}
        provider = {"npm": "@ai-sdk/openai-compatible", "name": "ai-router", "options": options}
        config = {
            "model": "router/ai-router",
            "autoupdate": False,
            "share": "disabled",
            "provider": {"router": {**provider, "models": {"ai-router": {"name": "ai-router"}}}},
        }
        (scratch.work / "opencode.json").write_text(json.dumps(config), "utf-8")
        run = scratch.run("opencode", "run", "Do the five steps.")
    assert run.returncode == 0, run.stdout + run.stderr
    assert DONE in run.stdout
    assert notes.read_text("utf-8") == "one\nthree\n"
    assert len(seen) == 6
    assert "one\nthree\nran" in results(seen[-1])[3]


def test_continue_ends_a_tool_loop_of_five_turns(
    scratch: Scratch, before: Callable[..., Any]
) -> None:
    """It runs commands and reads."""
    commands = ["printf 'one\\ntwo\\n' > notes.txt", "sed -i s/two/three/ notes.txt",
                "cat notes.txt; echo ran", "wc -l notes.txt"]  # fmt: skip
    calls = [("Bash", {"command": command}) for command in commands]
    calls.append(("Read", {"filepath": "notes.txt"}))
    seen: list[Json] = []
    with ScriptedBackend(works_through(calls, seen)) as backend:
        router = before(backend.url)
        config = {
            "name": "local", "version": "0.0.1", "schema": "v1",
            "models": [{
                "name": "ai-router", "provider": "openai", "model": "ai-router",
                "apiBase": f"{router.url}/v1", "apiKey": "any", "roles": ["chat", "edit"],
            }],
        }  # fmt: skip
        (scratch.work / "continue.yaml").write_text(json.dumps(config), "utf-8")
        run = scratch.run(
            *("cn", "-p", "Do the five steps.", "--config", "continue.yaml", "--auto"),
            CONTINUE_TELEMETRY_ENABLED="0",
        )
    assert run.returncode == 0, run.stdout + run.stderr
    assert DONE in run.stdout
    assert (scratch.work / "notes.txt").read_text("utf-8") == "one\nthree\n"
    assert len(seen) == 6
    assert "one\nthree\nran" in results(seen[-1])[2]
