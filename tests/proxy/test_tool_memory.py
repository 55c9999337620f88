"""The memory that keeps a tool conversation where it began."""

from __future__ import annotations

import threading
from typing import Any

from airouter.proxy.tool_memory import ConversationMemory

USER = {"role": "user", "content": "Use the tool"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "22"}


def test_a_tool_result_is_recognised() -> None:
    """What was answered to the messages before the assistant's turn is recalled."""
    memory = ConversationMemory()
    memory.remember([USER], "xai", "cloud")
    assert memory.recall([USER, CALL, RESULT]) == ("xai", "cloud")
    assert memory.recall([USER, CALL, RESULT, RESULT]) == ("xai", "cloud")


def test_each_round_is_remembered_by_itself() -> None:
    """The second round of tools belongs to the request that carried the first."""
    memory = ConversationMemory()
    memory.remember([USER], "xai", "cloud")
    memory.remember([USER, CALL, RESULT], "primary", "local")
    assert memory.recall([USER, CALL, RESULT, CALL, RESULT]) == ("primary", "local")


def test_a_stranger_is_not_recognised() -> None:
    """Other messages, or none of an assistant, are not remembered."""
    memory = ConversationMemory()
    memory.remember([USER], "xai", "cloud")
    assert memory.recall([{"role": "user", "content": "Use the tool "}, CALL, RESULT]) is None
    assert memory.recall([USER, RESULT]) is None
    assert memory.recall([CALL, RESULT]) is None


def test_it_is_bounded_and_forgets_the_oldest() -> None:
    """More conversations than its size push out those not used for longest."""
    memory = ConversationMemory(size=3)
    questions: list[dict[str, Any]] = [{"role": "user", "content": str(i)} for i in range(4)]
    for question in questions[:3]:
        memory.remember([question], "xai", "cloud")
    memory.remember([questions[0]], "xai", "cloud")
    memory.remember([questions[3]], "xai", "cloud")
    assert [memory.recall([question, CALL, RESULT]) is not None for question in questions] == [
        True,
        False,
        True,
        True,
    ]


def test_a_line_that_changes_with_each_request_does_not_count() -> None:
    """Claude Code's, at the head of its system text."""
    memory = ConversationMemory()
    first, second = (
        {"role": "system", "content": f"x-anthropic-billing-header: cch={n};\n\nYou are"}
        for n in "12"
    )
    memory.remember([first, USER], "xai", "cloud")
    assert memory.recall([second, USER, CALL, RESULT]) == ("xai", "cloud")


def test_threads_may_share_it() -> None:
    """Many threads at once neither break nor overfill it."""
    memory = ConversationMemory(size=50)
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            for i in range(300):
                memory.remember([{"role": "user", "content": f"{number}-{i}"}], "xai", "cloud")
                memory.recall([{"role": "user", "content": f"{number}-{i - 1}"}, CALL, RESULT])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failed
    assert len(memory._entries) == 50
