"""Values of `metadata.task`."""

from __future__ import annotations

import pytest

from airouter.classify.metadata_tasks import is_housekeeping, is_ordinary


@pytest.mark.parametrize(
    "task",
    ["title_generation", "tags_generation", "follow_up_generation", "moa_response_generation",
     "function_calling", "autocomplete", "autocompletion", "summary", "memory.update"],
)  # fmt: skip
def test_what_frontends_call_their_housekeeping(task: str) -> None:
    assert is_housekeeping(task)
    assert not is_ordinary(task)


@pytest.mark.parametrize(
    "task", ["chat", "user_chat", "code", "reasoning", "vision", "general", "subtitles", "vintage"]
)
def test_what_is_none_of_it(task: str) -> None:
    assert not is_housekeeping(task)
    assert is_ordinary(task) is task.endswith("chat")
