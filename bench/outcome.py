"""What an answer is worth to a client: whole, an honest error, or one of the things that must not
happen."""

from enum import StrEnum
from itertools import pairwise
from typing import Any

from bench.client import Answer
from bench.fault_cases import EITHER, ERROR
from simulator.testing import answer_numbers

_HEAD = "simulated answer"  # each simulated answer says so once, before its numbered words


class Outcome(StrEnum):
    WHOLE = "whole"
    ERROR = "clean error"
    HUNG = "hung"
    TRUNCATED = "truncated as success"
    DUPLICATED = "duplicated text"
    BROKEN = "broken off"  # neither an answer nor an error that a client could read


UNBEARABLE = (Outcome.HUNG, Outcome.TRUNCATED, Outcome.DUPLICATED, Outcome.BROKEN)


def outcome_of(answer: Answer, words: int) -> Outcome:
    """Judge an answer that should have had so many numbered words."""
    if answer.late:
        return Outcome.HUNG
    numbers = answer_numbers(answer.text)
    if any(b <= a for a, b in pairwise(numbers)) or answer.text.count(_HEAD) > 1:
        return Outcome.DUPLICATED
    if not answer.whole:
        return Outcome.BROKEN
    if answer.status != 200:
        return Outcome.ERROR if is_error(answer.payload()) else Outcome.BROKEN
    complete = numbers == list(range(1, words + 1))
    if not answer.streamed:
        payload = answer.payload()
        if is_error(payload) and "choices" not in payload:
            return Outcome.BROKEN  # an error under a status of 200
        return Outcome.WHOLE if complete and _finished(payload) else Outcome.TRUNCATED
    events = answer.events()
    if any(is_error(event) for event in events):
        # Said to be over and broken at once: a client that looks only at the end takes it for
        # complete. Nothing may be missing before it; the last word may be half a word.
        counted = list(range(1, len(numbers) + 1))
        honest = numbers == counted or numbers[:-1] == counted[:-1]
        clean = "[DONE]" not in events and is_error(events[-1]) and honest
        return Outcome.ERROR if clean else Outcome.TRUNCATED
    if any(isinstance(event, bytes) for event in events):
        return Outcome.BROKEN
    ended = events[-1:] == ["[DONE]"] and any(_finished(event) for event in events)
    return Outcome.WHOLE if complete and ended else Outcome.TRUNCATED


def as_promised(outcome: Outcome, promised: str) -> bool:
    if promised == EITHER:
        return outcome in (Outcome.WHOLE, Outcome.ERROR)
    return outcome is (Outcome.ERROR if promised == ERROR else Outcome.WHOLE)


def is_error(payload: Any) -> bool:
    """Whether it is an error in the shape that OpenAI's clients read."""
    error = payload.get("error") if isinstance(payload, dict) else None
    return (
        isinstance(error, dict)
        and {"message", "type", "param", "code"} <= set(error)
        and isinstance(error["message"], str)
    )


def _finished(payload: Any) -> bool:
    choices = payload.get("choices") if isinstance(payload, dict) else None
    return bool(choices) and all(
        isinstance(choice, dict) and choice.get("finish_reason") for choice in choices or []
    )
