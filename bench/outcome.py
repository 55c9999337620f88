"""What an answer is worth to a client: whole, an honest error, or one of the things that must not happen. Pure."""

from enum import StrEnum
from itertools import pairwise
from typing import Any

from bench.ask import Answer
from simulator.testing import answer_numbers

_HEAD = "simulated answer"  # each simulated answer says so once, before its numbered words


class Outcome(StrEnum):
    WHOLE = "whole"
    ERROR = "clean error"
    HUNG = "hung"
    TRUNCATED = "truncated as success"
    DUPLICATED = "duplicated text"
    BROKEN = "broken off"  # neither an answer nor an error that a client could read


UNBEARABLE = frozenset((Outcome.HUNG, Outcome.TRUNCATED, Outcome.DUPLICATED, Outcome.BROKEN))


def outcome_of(answer: Answer, words: int) -> Outcome:
    """Judge an answer that should have had so many numbered words."""
    if answer.late:
        return Outcome.HUNG
    text = answer.text
    if repeats(text):
        return Outcome.DUPLICATED
    if not answer.whole:
        return Outcome.BROKEN
    if answer.status != 200:
        return Outcome.ERROR if is_error(answer.payload()) else Outcome.BROKEN
    complete = text_is_whole(text, words)
    if not answer.streamed:
        payload = answer.payload()
        if isinstance(payload, dict) and is_error(payload) and "choices" not in payload:
            return Outcome.BROKEN  # an error under a status of 200
        return Outcome.WHOLE if complete and _finished(payload) else Outcome.TRUNCATED
    events = answer.events()
    done = "[DONE]" in events
    if any(is_error(event) for event in events):
        # Said to be over and broken at once: a client that looks at the end only takes it for complete.
        return (
            Outcome.ERROR
            if not done and is_error(events[-1]) and text_is_prefix(text)
            else Outcome.TRUNCATED
        )
    if any(isinstance(event, bytes) for event in events):
        return Outcome.BROKEN
    finished = any(_finished(event) for event in events)
    return (
        Outcome.WHOLE
        if complete and done and events[-1] == "[DONE]" and finished
        else Outcome.TRUNCATED
    )


def repeats(text: str) -> bool:
    """Whether a word comes twice, or out of order, or the answer begins again in its middle."""
    numbers = answer_numbers(text)
    return any(b <= a for a, b in pairwise(numbers)) or text.count(_HEAD) > 1


def text_is_whole(text: str, words: int) -> bool:
    return answer_numbers(text) == list(range(1, words + 1))


def text_is_prefix(text: str) -> bool:
    """Whether nothing is missing as far as it goes; its last word may be half a word."""
    numbers = answer_numbers(text)
    return numbers == list(range(1, len(numbers) + 1)) or numbers[:-1] == list(
        range(1, len(numbers))
    )


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
