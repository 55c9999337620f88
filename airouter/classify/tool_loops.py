"""Whether an agent is stuck: rounds of tool calls that repeat themselves, or fail in the same way.
Pure."""

import re
from collections.abc import Iterator
from typing import Any

from airouter.dialects.openai_request import text_of

ROUNDS = 3  # as many that are the same: stuck
_EDGE = 400  # characters at the ends of a result, where it says that it failed
_FAILED = re.compile(
    r"(?i)\b(?:errors?|errno|exception|traceback|fail(?:ed|s|ure)?|fatal|panic|cannot|can't|"
    r"could not|couldn't|unable|denied|refused|invalid|not found|no such|does not exist|"
    r"unexpected|timed? ?out|exit (?:code|status):? [1-9]\d*|fehler|erreur)\b"
)


def stuck_in(messages: list[dict[str, Any]]) -> str | None:
    """Why an agent is stuck: its latest three rounds have the same tool call with the same result,
    or the same error of a tool. None if it is not.

    The same call with another result is no repetition: a program that is waited for is asked again.
    Rounds are counted back to the latest message of the user.
    """
    called: set[tuple[str, str, str]] | None = None
    failed: set[str] | None = None
    for n, (calls, errors) in enumerate(_rounds(messages), 1):
        called = calls if called is None else called & calls
        failed = errors if failed is None else failed & errors
        if not called and not failed:
            return None
        if n == ROUNDS:
            what = "error" if failed else "call"
            return f"same tool {what} {ROUNDS} times"
    return None


def _rounds(
    messages: list[dict[str, Any]],
) -> Iterator[tuple[set[tuple[str, str, str]], set[str]]]:
    """The calls with their results, and the errors, of each round; the latest first."""
    results: dict[Any, str] = {}
    for message in reversed(messages):
        role = message.get("role")
        if role in ("tool", "function"):
            results[message.get("tool_call_id") or message.get("name")] = text_of(message).strip()
        elif role == "assistant":
            if not results:
                return
            yield _calls_of(message, results), {text for text in results.values() if _fails(text)}
            results = {}
        elif role == "user":
            return


def _calls_of(message: dict[str, Any], results: dict[Any, str]) -> set[tuple[str, str, str]]:
    calls = message.get("tool_calls")
    found = [(call.get("id"), call.get("function")) for call in calls or () if _is_object(call)]
    if not found and (function := message.get("function_call")):
        found = [(function.get("name") if _is_object(function) else None, function)]
    return {
        (str(function.get("name")), str(function.get("arguments")), results.get(known, ""))
        for known, function in found
        if _is_object(function)
    }


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _fails(text: str) -> bool:
    return bool(_FAILED.search(text[:_EDGE]) or _FAILED.search(text[-_EDGE:]))
