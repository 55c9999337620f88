"""Text inserted by a harness is removed from user messages; what a person writes about it is
kept."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airouter.classify.features import features_of, human_text
from airouter.dialects.openai_request import parse_request
from airouter.domain.types import Features
from airouter.planning.demand import demand_of

NOTE = "<system-reminder>\nnews\n</system-reminder>"


def read(*messages: dict[str, Any], **fields: Any) -> Features:
    return features_of(parse_request("chat", {"messages": list(messages), **fields}))


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    ("text", "own"),
    [
        (f"{NOTE}{NOTE}fix it{NOTE}", "fix it"),
        (f"fix it\n{NOTE}\n{NOTE}", "fix it"),
        ("<system-reminder>a <system-reminder>b</system-reminder> c</system-reminder>do", "do"),
        ("<system-reminder>names <system-reminder> once</system-reminder>\ndo", "do"),
        ('<system-reminder kind="x">a</system-reminder>\ndo', "do"),
        ("<command-name>/fix</command-name>\n<command-args>the tests</command-args>", "the tests"),
        ("<environment_context><cwd>/</cwd></environment_context>", ""),
        ("<tool_result>\n42\n</tool_result>", ""),
        ("<task>\ndo it\n</task>\n<environment_details>x</environment_details>", "do it"),
        ("[search_files for 'a[0]' in '*.py'] Result:\nFound 3", ""),
        (
            "[ask_followup_question for 'Which?'] Result:\n<answer>\nthe red one\n</answer>",
            "the red one",
        ),
        ("[ERROR] You did not use a tool in your previous response!", ""),
        ("[TASK RESUMPTION] x\n<user_message>\ngo on\n</user_message>", "go on"),
        ("[Request interrupted by user for tool use]", ""),
        ("# Context from my IDE setup:\n\n## Open tabs:\n- a\n\n## My request for Codex:\n"
         "do it", "do it"),
        ("do it\n\n# *SEARCH/REPLACE block* Rules:\n\nEvery block", "do it"),
        ("<additional_data>x</additional_data>\n<user_query>\ndo it\n</user_query>", "do it"),
        ("OBSERVATION:\nfile not found", ""),
    ],
)  # fmt: skip
def test_inserted_text_is_removed(text: str, own: str) -> None:
    found, cut = human_text(user(text))
    assert (found.strip(), cut) == (own, True)


@pytest.mark.parametrize(
    "text",
    [
        "What does <system-reminder> mean?",
        "Is `<environment_details>` closed by `</environment_details>`?",
        "Convert to JSON: <rules><rule>1</rule></rules>",
        "<file>\nmy own xml\n</file>\nIs it valid?",
        "[x] done, [ ] open: make a list",
        "Result: 42. Is that right?",
        "The game's task is <task> and nothing else",
        "<context>\nThe pump runs at 40 Hz.\n</context>\n<user_query>\nHow fast?\n</user_query>",
        "",
    ],
)
def test_a_persons_text_is_unchanged(text: str) -> None:
    assert human_text(user(text)) == (text, False)


def test_a_message_with_inserted_text_only_is_skipped() -> None:
    found = read(
        user("rename foo"),
        {"role": "assistant", "content": "Done."},
        user("now the tests"),
        {"role": "assistant", "content": "Done."},
        user(NOTE),
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]},
    )
    assert (found.ask, found.n_user) == ("now the tests", 2)
    assert found.previous == (("user", "rename foo"), ("assistant", "Done."))


def test_a_system_message_inside_the_conversation_is_neither_the_ask_nor_the_instruction() -> None:
    found = read(user("rename foo"), {"role": "system", "content": "You may use tools."})
    assert (found.ask, found.system) == ("rename foo", "")


def test_all_leading_system_texts_are_read() -> None:
    found = read(
        {"role": "system", "content": "One."}, {"role": "developer", "content": "Two."}, user("Hi")
    )
    assert found.system == "One.\nTwo."


def test_if_all_text_is_inserted_it_is_the_ask() -> None:
    assert read(user(NOTE)).ask == NOTE


def test_the_length_for_the_context_window_includes_inserted_text() -> None:
    assert read(user(f"{NOTE}hi")).total_chars == len(NOTE) + 2


@pytest.mark.parametrize(
    "text",
    [
        "<system-reminder>" * 40_000,
        "<system-reminder></system-reminder>" * 20_000,
        ("<system-reminder>" * 2 + "</system-reminder>") * 15_000,
        "<task>" + " " * 600_000,
        "[read_file for '" * 40_000,
        "\n# " * 200_000,
    ],
)
def test_a_hostile_text_takes_no_longer_than_a_harmless_one(text: str) -> None:
    started = time.monotonic()
    human_text(user(text))
    assert time.monotonic() - started < 5


def test_a_text_larger_than_any_window_is_not_searched() -> None:
    """Searching it for blocks would take seconds in which nothing else is served."""
    block = "<system-reminder>\nx\n</system-reminder>\n"
    fits = block * 1000 + "Why?"
    assert human_text({"role": "user", "content": fits}) == ("Why?", True)
    huge = block * 120_000 + "Why?"
    assert human_text({"role": "user", "content": huge}) == (huge, False)


FILE = '<file path="src/a.py">\ndef f(x):\n    return x\n\nf(1)\n</file>'


@pytest.mark.parametrize(
    ("text", "own"),
    [
        (f"Why is it slow?\n\n{FILE}", "Why is it slow?"),
        (f"{FILE}\n{FILE}\nWhy is it slow?", "Why is it slow?"),
        ("<attached_files>\n<file type='x' url='y'/>\n</attached_files>\nWhat is it?",
         "What is it?"),
        ("Fix it\n<file_content path='b'>\n1 < 2\n</file_content>", "Fix it"),
        (f"{NOTE}\nFix it\n{FILE}", "Fix it"),
    ],
)  # fmt: skip
def test_pasted_files_are_not_the_ask(text: str, own: str) -> None:
    found = read(user(text))
    assert (found.ask, found.n_user) == (own, 1)
    assert found.pasted.startswith("<")


@pytest.mark.parametrize(
    "text",
    [FILE, "<file>\nmy own xml\n</file>\nIs it valid?", "What does <file path='x'> mean?",
     "a < b", "<files>\n<a/>\n</files>\nIs it valid?"],
)  # fmt: skip
def test_what_is_no_pasted_file_stays(text: str) -> None:
    """Nor is a message that has nothing else cut to nothing."""
    found = read(user(text))
    assert (found.ask, found.pasted) == (text, "")


def test_a_pasted_file_still_tells_the_task() -> None:
    """Its code is code."""
    request = parse_request("chat", {"messages": [user(f"Why is it slow?\n\n{FILE}")]})
    assert demand_of(request, features_of(request), None).task == "code"
