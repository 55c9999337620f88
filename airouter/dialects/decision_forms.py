"""The two wire formats of decision models, for both sides: the tier that asks such a model, and the
endpoints that answer as one.

A request has an input and questions; an answer has a probability per option. `/v1/systemone`
(System One: llama.cpp, vLLM, Ollama, LiteLLM) calls the input `state` and maps names to questions,
whose options are `criteria`; `/v1/decisions` (OpenAI, SGLang, vLLM, LiteLLM) calls it `input` and
lists questions, whose options are `choices`. As documented by these servers, and in the types of
OpenAI's SDK 3.52, in 2026-11. Of the types of questions, only `choice` is used here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol

from airouter.dialects import wire_json
from airouter.domain.errors import BadRequest
from airouter.domain.types import immutable

HOPS = "x-router-hops"  # a header of requests: how many routers have asked on behalf of a client
MAX_QUESTIONS = 400  # as OpenAI's
_QUESTION = "route"  # the name of the question that the tier asks
# Servers round probabilities, to 0.01 at worst: four options may be off by 0.02 together.
_SUM_TOLERANCE = 0.021
_MAX_SHOWN = 60  # characters of a client's value in an error


@immutable
class Question:
    """A question of type `choice`: `name` identifies its answer; None: it has no name. `place`: in
    the request, for errors."""

    name: str | None
    options: tuple[str, ...]
    place: str


@immutable
class Chosen:
    """The answer to a question: an option, and the probability of each, in the question's order."""

    option: str
    probabilities: Mapping[str, float]

    @property
    def confidence(self) -> float:
        """How far the highest probability is above an even spread: 0 for that, 1 for certainty."""
        even = 1 / len(self.probabilities)
        return (max(self.probabilities.values()) - even) / (1 - even) if even < 1 else 1.0


class Form(Protocol):
    """One of the two wire formats. Stateless."""

    path: str
    field: str  # that holds the input

    def request(
        self, model: str, given: Any, instructions: str, options: Mapping[str, str]
    ) -> dict[str, Any]:
        """The body that asks one question about `given`: a text, or a list of messages.

        Args:
            options: with their descriptions; "" for none.
        """
        ...

    def answered(self, payload: Any) -> Any:
        """The probabilities in the answer to `request()`, as pairs of option and number.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: there are none.
        """
        ...

    def questions(self, payload: Mapping[str, Any]) -> list[Question]:
        """The questions of a client's request.

        Raises:
            BadRequest: they are malformed, or one has another type than `choice`.
        """
        ...

    def answer(
        self, model: str, answers: Sequence[tuple[Question, Chosen]], tokens: int
    ) -> dict[str, Any]:
        """The body of the answer to a client.

        Args:
            tokens: of the input.
        """
        ...


class SystemOne:
    """`/v1/systemone`."""

    path = "/v1/systemone"
    field = "state"

    def request(
        self, model: str, given: Any, instructions: str, options: Mapping[str, str]
    ) -> dict[str, Any]:
        criteria = {option: text or None for option, text in options.items()}
        question = {"type": "choice", "instructions": instructions, "criteria": criteria}
        return {"model": model, "state": given, "questions": {_QUESTION: question}}

    def answered(self, payload: Any) -> Any:
        answer = payload["answers"][_QUESTION]
        _demand_choice(answer)
        return [*answer["probabilities"].items()]

    def questions(self, payload: Mapping[str, Any]) -> list[Question]:
        given = payload.get("questions")
        if not isinstance(given, dict) or not 1 <= len(given) <= MAX_QUESTIONS:
            _refuse("questions", f"must be an object of 1 to {MAX_QUESTIONS} questions by name")
        found = []
        for name, question in given.items():
            place = f"questions.{name[:_MAX_SHOWN]}"
            _check_question(question, place)
            options = question.get("criteria")
            if not isinstance(options, dict):
                _refuse(f"{place}.criteria", "must be an object with the options as its keys")
            found.append(Question(name, tuple(options), f"{place}.criteria"))
        return found

    def answer(
        self, model: str, answers: Sequence[tuple[Question, Chosen]], tokens: int
    ) -> dict[str, Any]:
        said = {
            question.name: {
                "type": "choice",
                "choice": chosen.option,
                "probabilities": chosen.probabilities,
                "confidence": chosen.confidence,
            }
            for question, chosen in answers
        }
        usage = {"input_tokens": tokens, "output_tokens": 0}
        return {"model": model, "answers": said, "usage": usage}


class Decisions:
    """`/v1/decisions`."""

    path = "/v1/decisions"
    field = "input"

    def request(
        self, model: str, given: Any, instructions: str, options: Mapping[str, str]
    ) -> dict[str, Any]:
        choices = [
            {"value": option, "description": text} if text else {"value": option}
            for option, text in options.items()
        ]
        question = {
            "type": "choice",
            "name": _QUESTION,
            "instructions": instructions,
            "choices": choices,
        }
        return {"model": model, "input": given, "questions": [question]}

    def answered(self, payload: Any) -> Any:
        (answer,) = payload["answers"]
        _demand_choice(answer)
        return [(one["value"], one["probability"]) for one in answer["probabilities"]]

    def questions(self, payload: Mapping[str, Any]) -> list[Question]:
        given = payload.get("questions")
        if not isinstance(given, list) or not 1 <= len(given) <= MAX_QUESTIONS:
            _refuse("questions", f"must be a list of 1 to {MAX_QUESTIONS} questions")
        found = []
        for i, question in enumerate(given):
            place = f"questions[{i}]"
            _check_question(question, place)
            name, choices = question.get("name"), question.get("choices")
            if name is not None and not isinstance(name, str):
                _refuse(f"{place}.name", "must be a string")
            if not isinstance(choices, list):
                _refuse(f"{place}.choices", 'must be a list of objects such as {"value": "…"}')
            options = [_value(choice, f"{place}.choices[{j}]") for j, choice in enumerate(choices)]
            found.append(Question(name, tuple(options), f"{place}.choices"))
        return found

    def answer(
        self, model: str, answers: Sequence[tuple[Question, Chosen]], tokens: int
    ) -> dict[str, Any]:
        said = [
            {
                "type": "choice",
                "name": question.name,
                "choice": chosen.option,
                "confidence": chosen.confidence,
                "probabilities": [
                    {"value": option, "probability": p}
                    for option, p in chosen.probabilities.items()
                ],
            }
            for question, chosen in answers
        ]
        usage = {
            "input_tokens": tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens,
        }
        return {"model": model, "answers": said, "usage": usage}


FORMS: Mapping[str, Form] = {"systemone": SystemOne(), "decisions": Decisions()}


# Asking -------------------------------------------------------------------------------------------


def read_probabilities(form: Form, raw: bytes, options: Sequence[str]) -> dict[str, float]:
    """The probability of each option in a decision model's answer; they add up to 1.

    Raises:
        ValueError: the answer is malformed, has other options, or its probabilities do not add up
            to about 1; the message says which.
    """
    try:
        given = form.answered(wire_json.lenient(raw))
        names = [name for name, _ in given]
        numbers = [p for _, p in given]
    except _Refused:
        raise ValueError("the model refused to answer") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError("the answer has no probabilities") from None
    if not all(isinstance(name, str) for name in names) or sorted(names) != sorted(options):
        raise ValueError("the answer has other options than those asked about")
    if not all(_is_probability(p) for p in numbers):
        raise ValueError("the answer's probabilities are not numbers from 0 to 1")
    total = sum(numbers)
    if abs(total - 1) > _SUM_TOLERANCE:
        raise ValueError(f"the answer's probabilities add up to {total:.3g}, not to 1")
    found = dict(zip(names, numbers, strict=True))
    return {option: found[option] / total for option in options}


class _Refused(Exception):
    """The model declined to answer."""


def _demand_choice(answer: Any) -> None:
    if answer.get("type") == "refusal":
        raise _Refused
    if answer.get("type", "choice") != "choice":
        raise ValueError


def _is_probability(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and 0 <= value <= 1


# Being asked --------------------------------------------------------------------------------------


def conversation(form: Form, payload: Mapping[str, Any]) -> dict[str, Any]:
    """A client's input as the body of a chat request: a text is one user message.

    Raises:
        BadRequest: it is neither a text, nor a list of messages, nor an object with `messages`.
    """
    given = payload.get(form.field)
    if isinstance(given, str):
        return {"messages": [{"role": "user", "content": given}]}
    if isinstance(given, dict) and "messages" in given:
        kept = ("messages", "tools", "functions", "metadata")
        return {name: given[name] for name in kept if name in given}
    if isinstance(given, list) and given:
        return {"messages": [_message(item) for item in given]}
    _refuse(
        form.field,
        'must be a text, a list of messages such as [{"role": "user", "content": "Hello"}], '
        "or an object with 'messages' and, if there are any, 'tools'",
    )


def _message(item: Any) -> Any:
    """An item of an input as a message of a chat: calls of tools and their results become those."""
    if not isinstance(item, dict):
        return item
    kind = item.get("type")
    if kind in ("function_call", "custom_tool_call"):
        return {"role": "assistant", "content": None}
    if kind in ("function_call_output", "custom_tool_call_output"):
        return {"role": "tool", "content": _content(item.get("output"))}
    return {**item, "content": _content(item.get("content"))}


def _content(content: Any) -> Any:
    """A content with its parts' types as in a chat."""
    if not isinstance(content, list):
        return content
    return [
        {**part, "type": "text"}
        if isinstance(part, dict) and part.get("type") in ("input_text", "output_text")
        else part
        for part in content
    ]


def _value(choice: Any, place: str) -> str:
    value = choice.get("value") if isinstance(choice, dict) else None
    if isinstance(value, bool):
        return str(value).lower()  # which is no option of this router's
    if not isinstance(value, str):
        _refuse(f"{place}.value", "must be a string")
    return value


def _check_question(question: Any, place: str) -> None:
    if not isinstance(question, dict):
        _refuse(place, "must be an object with type, instructions and options")
    kind = question.get("type")
    if kind != "choice":
        shown = kind[:_MAX_SHOWN] if isinstance(kind, str) else type(kind).__name__
        _refuse(
            f"{place}.type",
            f"must be 'choice', the only type of question that the router answers; got {shown!r}",
            code="unsupported_question",
        )


def _refuse(param: str, what: str, code: str = "invalid_type") -> NoReturn:
    raise BadRequest(f"'{param}' {what}.", param=param, code=code)
