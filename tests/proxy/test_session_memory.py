"""The memory of where conversations are."""

from __future__ import annotations

import threading
from typing import Any

from airouter.planning.sessions import Standing
from airouter.proxy.session_memory import SessionMemory, before_last_turn, digest, prefix_key

USER = {"role": "user", "content": "Use the tool"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "22"}
CLOUD, LOCAL = Standing("COMPLEX", "xai", "cloud", 0.0), Standing("SIMPLE", "primary", "local", 0.0)


def remember(memory: SessionMemory, messages: list[Any], standing: Standing = CLOUD) -> None:
    memory.remember([prefix_key(messages, None)], standing)


def recall(memory: SessionMemory, messages: list[Any], owner: str | None = None) -> Standing | None:
    """As the next turn of the conversation does."""
    earlier = before_last_turn(messages)
    return memory.recall(prefix_key(earlier, owner), 1.0) if earlier else None


def test_a_tool_result_is_recognised() -> None:
    """What was answered to the messages before the assistant's turn is recalled."""
    memory = SessionMemory()
    remember(memory, [USER])
    assert recall(memory, [USER, CALL, RESULT]) == CLOUD
    assert recall(memory, [USER, CALL, RESULT, RESULT]) == CLOUD


def test_each_round_is_remembered_by_itself() -> None:
    """The second round of tools belongs to the request that carried the first."""
    memory = SessionMemory()
    remember(memory, [USER])
    remember(memory, [USER, CALL, RESULT], LOCAL)
    assert recall(memory, [USER, CALL, RESULT, CALL, RESULT]) == LOCAL


def test_a_stranger_is_not_recognised() -> None:
    """Other messages, or none of an assistant, or those of another key's, are not remembered."""
    memory = SessionMemory()
    remember(memory, [USER])
    assert recall(memory, [{"role": "user", "content": "Use the tool "}, CALL, RESULT]) is None
    assert recall(memory, [USER, RESULT]) is None
    assert recall(memory, [CALL, RESULT]) is None
    assert recall(memory, [USER, CALL, RESULT], owner="somebody") is None


def test_it_is_bounded_and_forgets_the_oldest() -> None:
    """More entries than its size push out those not used for longest."""
    memory = SessionMemory(size=3)
    for name in "abc":
        memory.remember([digest(name)], CLOUD)
    assert memory.recall(digest("a"), 1.0)
    memory.remember([digest("d")], CLOUD)
    assert [memory.recall(digest(name), 1.0) is not None for name in "abcd"] == [
        True, False, True, True,
    ]  # fmt: skip
    memory.limit(1, 10)
    assert len(memory) == 1


def test_it_forgets_what_is_idle() -> None:
    memory = SessionMemory(idle=60)
    memory.remember([b"k"], CLOUD)
    assert memory.recall(b"k", 60.0) == CLOUD
    assert memory.recall(b"k", 60.1) is None
    assert len(memory) == 0


def test_keys_keep_their_parts_apart() -> None:
    keys = {digest("ab", "c"), digest("a", "bc"), digest(None, "c"), digest("", "c"), digest("c")}
    assert len(keys) == 5
    assert digest("\ud800")  # no text is refused


def test_a_line_that_changes_with_each_request_does_not_count() -> None:
    """Claude Code's, at the head of its system text."""
    memory = SessionMemory()
    first, second = (
        {"role": "system", "content": f"x-anthropic-billing-header: cch={n};\n\nYou are"}
        for n in "12"
    )
    remember(memory, [first, USER])
    assert recall(memory, [second, USER, CALL, RESULT]) == CLOUD


def test_threads_may_share_it() -> None:
    """Many threads at once neither break nor overfill it."""
    memory = SessionMemory(size=50)
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            for i in range(300):
                memory.remember([digest(str(number), str(i)), b"shared"], CLOUD)
                memory.recall(digest(str(number), str(i - 1)), 1.0)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failed
    assert len(memory) == 50


def test_reasoning_that_is_left_out_later_changes_nothing() -> None:
    """Clients leave out that of earlier turns, as the translations of Messages and Responses do."""
    memory = SessionMemory()
    thought = {"role": "assistant", "content": "Look", "reasoning_content": "Hm"}
    remember(memory, [USER, thought, RESULT])
    assert recall(memory, [USER, {"role": "assistant", "content": "Look"}, RESULT, CALL]) == CLOUD
    assert recall(memory, [USER, {"role": "assistant", "content": "See"}, RESULT, CALL]) is None
