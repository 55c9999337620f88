"""Requests of the shapes that Claude Code 2.1.197 sends, with texts of our own of the recorded
lengths (recorded on loopback in 2026-11)."""

from __future__ import annotations

from itertools import count
from typing import Any

Json = dict[str, Any]
ASK = "List the files, please."
REMINDER = f"<system-reminder>{'Today is a day. ' * 19}</system-reminder>"
_CACHED = {"cache_control": {"type": "ephemeral"}}
_numbers = count()
HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": ",".join(f"feature-{n}-2026-01-01" for n in range(8)),
    "X-Claude-Code-Session-Id": "7a1f0c9e-0000-4000-8000-000000000000",
    "x-app": "cli",
}


def billing() -> Json:
    """The first block of the system text, another one each time."""
    varies = f"{next(_numbers):03x}; cch={next(_numbers):05x}"
    return text(f"x-anthropic-billing-header: cc_version=2.1.197.{varies}; cc_entrypoint=cli;")


def text(said: str, **more: Any) -> Json:
    return {"type": "text", "text": said, **more}


def tool(name: str) -> Json:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"command": {"type": "string", "description": "what to run"}},
        "required": ["command"],
        "additionalProperties": False,
    }
    return {"name": name, "description": f"{name} does things. " * 60, "input_schema": schema}


def turn(ask: str = ASK, **more: Any) -> Json:
    """The first turn of an interactive session."""
    asked = [text(REMINDER), text(ask, **_CACHED)]
    return {
        "model": "claude-opus-4-8",
        "messages": [
            {"role": "user", "content": asked},
            {"role": "system", "content": "Agents are available. " * 302},
        ],
        "system": [
            billing(),
            text("You are Claude Code, as far as this test is concerned.", **_CACHED),
            text("You help with software. " * 245, **_CACHED),
        ],
        "tools": [tool(name) for name in ("Agent", "Bash", "Edit", "Read", "WebSearch", "Write")],
        "metadata": {"user_id": "user_" + "0123456789abcdef" * 9},
        "max_tokens": 32000,
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
        **more,
    }


def tool_result(before: Json, known: str = "toolu_1", result: str = "hi") -> Json:
    """The turn after a tool call, whose result is the last thing cached."""
    messages = [{**m, "content": _uncached(m["content"])} for m in before["messages"]]
    use = {"type": "tool_use", "id": known, "name": "Bash",
           "input": {"command": "echo hi", "description": "say hi"}}  # fmt: skip
    answer = {"tool_use_id": known, "type": "tool_result", "content": result, "is_error": False,
              **_CACHED}  # fmt: skip
    return {
        **before,
        "system": [billing(), *before["system"][1:]],
        "messages": [
            *messages,
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [answer]},
        ],
    }


def title() -> Json:
    """The call for a title, which goes first."""
    schema = {"type": "object", "properties": {"title": {"type": "string"}},
              "required": ["title"], "additionalProperties": False}  # fmt: skip
    return {
        "model": "claude-haiku-4-5",
        "messages": [{"role": "user", "content": [text("<session>List the files.</session>" * 4)]}],
        "system": [billing(), text("You are Claude Code."), text("Name the session. " * 66)],
        "tools": [],
        "metadata": {"user_id": "user_" + "0123456789abcdef" * 9},
        "max_tokens": 32000,
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": schema}},
        "stream": True,
    }


def _uncached(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [{k: v for k, v in block.items() if k != "cache_control"} for block in content]
