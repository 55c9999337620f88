"""Requests of the shapes that Codex 0.171 sends, with texts of our own of the recorded lengths
(recorded on loopback in 2026-11)."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
ASK = "Say hello."
_THREAD = "019a0000-0000-7000-8000-000000000000"
HEADERS = {
    "accept": "text/event-stream",
    "originator": "codex_exec",
    "session-id": _THREAD,
    "thread-id": _THREAD,
    "x-client-request-id": _THREAD,
    "x-codex-beta-features": "remote_compaction_v2",
    "x-codex-turn-metadata": '{"turn": "' + "x" * 700 + '"}',
    "x-codex-window-id": f"{_THREAD}:0",
}


def message(role: str, *texts: str) -> Json:
    content = [{"type": "input_text", "text": text} for text in texts]
    return {"type": "message", "id": f"msg_{_THREAD}", "role": role, "content": content}


def function(name: str, about: str = "It does things. ", **properties: str) -> Json:
    typed = {key: {"type": kind, "description": "what for"} for key, kind in properties.items()}
    schema = {"type": "object", "properties": typed, "additionalProperties": False}
    return {"type": "function", "name": name, "description": about * 5, "strict": False,
            "parameters": schema}  # fmt: skip


def tools() -> list[Json]:
    """Nine: functions, one namespace, one that OpenAI's servers run."""
    agents = ("close_agent", "resume_agent", "send_input", "spawn_agent", "wait_agent")
    nested = [function(name, "Agents. " * (150 if name == "spawn_agent" else 6), target="string")
              for name in agents]  # fmt: skip
    return [
        function("exec_command", cmd="string", tty="boolean", yield_time_ms="number"),
        function("write_stdin", chars="string", session_id="number"),
        function("request_user_input", questions="array"),
        function("view_image", path="string"),
        {"type": "namespace", "name": "multi_agent_v1", "description": "Agents that help.",
         "tools": nested},
        *(function(name, goal="string") for name in ("get_goal", "create_goal", "update_goal")),
        {"type": "web_search", "external_web_access": False},
    ]  # fmt: skip


def turn(ask: str = ASK, **more: Any) -> Json:
    """The first turn."""
    return {
        "model": "ai-router",
        "stream": True,
        "input": [
            message("developer", "You help with software. " * 707),
            message("developer", "Permissions are few. " * 102, "Skills are none. " * 20),
            message("user", "<environment_context>" + "A folder. " * 43 + "</environment_context>"),
            message("user", ask),
        ],
        "tools": tools(),
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": _THREAD,
        "client_metadata": {"session_id": _THREAD, "thread_id": _THREAD, "turn_id": _THREAD},
        **more,
    }


def tool_result(before: Json, known: str = "call_1", result: str = "hello\n") -> Json:
    """The turn after a tool call."""
    call = {"type": "function_call", "status": "completed", "id": "fc_1", "name": "exec_command",
            "arguments": '{"cmd":"echo hello"}', "call_id": known}  # fmt: skip
    output = {"type": "function_call_output", "id": f"fco_{_THREAD}", "call_id": known,
              "output": result}  # fmt: skip
    return {**before, "input": [*before["input"], call, output]}
