"""The two wire formats of decision models, asked and served."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.decision import Decision
from pydantic import TypeAdapter

from airouter.dialects.decision_forms import (
    FORMS,
    Chosen,
    Form,
    Question,
    conversation,
    read_probabilities,
)
from airouter.domain.errors import BadRequest

OPTIONS = ("SIMPLE", "MODERATE", "COMPLEX", "ENRICH")
SHARES = {"SIMPLE": 0.1, "MODERATE": 0.2, "COMPLEX": 0.65, "ENRICH": 0.05}
BOTH = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
SYSTEM_ONE, DECISIONS = FORMS["systemone"], FORMS["decisions"]


def answer_of(form: Form, shares: dict[str, Any], **fields: Any) -> bytes:
    """An answer to the tier's question as a server writes it."""
    if form is SYSTEM_ONE:
        said: dict[str, Any] = {"type": "choice", "probabilities": shares, "confidence": 0.5}
        return json.dumps({"model": "m", "answers": {"route": said | fields}}).encode()
    listed = [{"value": option, "probability": p} for option, p in shares.items()]
    said = {"type": "choice", "name": "route", "probabilities": listed, "confidence": 0.5}
    return json.dumps({"model": "m", "answers": [said | fields]}).encode()


# Asking -------------------------------------------------------------------------------------------


def test_what_is_asked_has_the_documented_fields() -> None:
    """`state` and a map of questions with criteria; `input` and a list with choices."""
    options = {"SIMPLE": "greetings", "COMPLEX": ""}
    assert SYSTEM_ONE.request("m", "Hi", "Which?", options) == {
        "model": "m",
        "state": "Hi",
        "questions": {
            "route": {
                "type": "choice",
                "instructions": "Which?",
                "criteria": {"SIMPLE": "greetings", "COMPLEX": None},
            }
        },
    }
    (question,) = DECISIONS.request("m", "Hi", "Which?", options)["questions"]
    assert question["choices"] == [
        {"value": "SIMPLE", "description": "greetings"},
        {"value": "COMPLEX"},
    ]


@BOTH
def test_what_is_asked_can_be_answered(form: Form) -> None:
    """The questions of a request are those that a router reads from it."""
    body = form.request("m", "Hi", "Which?", dict.fromkeys(OPTIONS, ""))
    (question,) = form.questions(body)
    assert (question.name, question.options) == ("route", OPTIONS)
    assert conversation(form, body) == {"messages": [{"role": "user", "content": "Hi"}]}
    served = form.answer("m", [(question, Chosen("COMPLEX", SHARES))], 7)
    assert read_probabilities(form, json.dumps(served).encode(), OPTIONS) == pytest.approx(SHARES)


@BOTH
def test_rounded_probabilities_are_normalised(form: Form) -> None:
    found = read_probabilities(form, answer_of(form, SHARES | {"SIMPLE": 0.09}), OPTIONS)
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    assert found["COMPLEX"] == pytest.approx(0.65 / 0.99)


@BOTH
@pytest.mark.parametrize(
    ("shares", "why"),
    [
        (SHARES | {"OTHER": 0.0}, "other options"),
        ({"SIMPLE": 0.5, "MODERATE": 0.5}, "other options"),
        ({}, "other options"),
        (SHARES | {"SIMPLE": 0.3}, "add up to 1.2"),
        (dict.fromkeys(OPTIONS, 0.0), "add up to 0"),
        (SHARES | {"SIMPLE": -0.1}, "numbers from 0 to 1"),
        (SHARES | {"SIMPLE": True}, "numbers from 0 to 1"),
        (SHARES | {"SIMPLE": "0.1"}, "numbers from 0 to 1"),
        (SHARES | {"SIMPLE": float("nan")}, "numbers from 0 to 1"),
        (SHARES | {"SIMPLE": None}, "numbers from 0 to 1"),
    ],
    ids=repr,
)
def test_an_answer_that_is_no_distribution_is_refused(
    form: Form, shares: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        read_probabilities(form, answer_of(form, shares), OPTIONS)


@BOTH
def test_a_refusal_is_no_answer(form: Form) -> None:
    with pytest.raises(ValueError, match="refused"):
        read_probabilities(form, answer_of(form, SHARES, type="refusal"), OPTIONS)
    with pytest.raises(ValueError, match="no probabilities"):
        read_probabilities(form, answer_of(form, SHARES, type="score"), OPTIONS)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["answers", "route", "type", "choice", "probabilities", "value", "probability"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(_JSON)
def test_any_answer_is_probabilities_or_a_reason(payload: Any) -> None:
    for form in FORMS.values():
        for raw in (json.dumps(payload).encode(), b"[" * 3000, b"\xff", b""):
            try:
                found = read_probabilities(form, raw, OPTIONS)
            except ValueError:
                continue
            assert tuple(found) == OPTIONS


# Being asked --------------------------------------------------------------------------------------


def test_openais_types_read_what_is_served() -> None:
    """The SDK's own type, strictly."""
    question = Question(None, OPTIONS, "questions[0].choices")
    body = DECISIONS.answer("ai-router", [(question, Chosen("COMPLEX", SHARES))], 7)
    read = TypeAdapter(Decision).validate_python(body, strict=True)
    answer: Any = read.answers[0]
    assert (answer.type, answer.choice, answer.name) == ("choice", "COMPLEX", None)
    assert {one.value: one.probability for one in answer.probabilities} == SHARES
    assert (read.usage.input_tokens, read.usage.total_tokens) == (7, 7)


def test_the_first_format_maps_names_to_answers() -> None:
    """Its confidence is how far the highest probability is above an even spread."""
    question = Question("tier", OPTIONS, "questions.tier.criteria")
    body = SYSTEM_ONE.answer("ai-router", [(question, Chosen("COMPLEX", SHARES))], 7)
    assert body == {
        "model": "ai-router",
        "answers": {
            "tier": {
                "type": "choice",
                "choice": "COMPLEX",
                "probabilities": SHARES,
                "confidence": pytest.approx((0.65 - 0.25) / 0.75),
            }
        },
        "usage": {"input_tokens": 7, "output_tokens": 0},
    }
    assert Chosen("a", {"a": 0.5, "b": 0.5}).confidence == 0
    assert Chosen("a", {"a": 1.0, "b": 0.0}).confidence == 1


def one(**fields: Any) -> dict[str, Any]:
    return {"type": "choice", "instructions": "?"} | fields


@pytest.mark.parametrize(
    ("form", "questions", "param"),
    [
        (SYSTEM_ONE, None, "questions"),
        (SYSTEM_ONE, {}, "questions"),
        (SYSTEM_ONE, [one()], "questions"),
        (SYSTEM_ONE, {"q": "?"}, "questions.q"),
        (SYSTEM_ONE, {"q": one(type="noul")}, "questions.q.type"),
        (SYSTEM_ONE, {"q": one(type=["choice"])}, "questions.q.type"),
        (SYSTEM_ONE, {"q": one(criteria=["SIMPLE"])}, "questions.q.criteria"),
        (SYSTEM_ONE, {str(i): one(criteria={}) for i in range(401)}, "questions"),
        (DECISIONS, {"q": one()}, "questions"),
        (DECISIONS, [], "questions"),
        (DECISIONS, [one(choices=[])] * 401, "questions"),
        (DECISIONS, [7], "questions[0]"),
        (DECISIONS, [one(type="predicate")], "questions[0].type"),
        (DECISIONS, [one(choices={"SIMPLE": ""})], "questions[0].choices"),
        (DECISIONS, [one(choices=["SIMPLE"])], "questions[0].choices[0].value"),
        (DECISIONS, [one(choices=[{"value": 7}])], "questions[0].choices[0].value"),
        (DECISIONS, [one(choices=[], name=7)], "questions[0].name"),
    ],
)
def test_malformed_questions_are_refused_with_their_place(
    form: Form, questions: Any, param: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        form.questions({"questions": questions})
    assert caught.value.param == param


@BOTH
def test_an_input_may_be_a_conversation(form: Form) -> None:
    """A list of messages, with calls of tools and their results, or a chat request's fields."""
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert conversation(form, {form.field: turns}) == {"messages": turns}
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = {"messages": turns, "tools": tools}
    assert conversation(form, {form.field: {**body, "stream": True}}) == body
    items = [
        turns[0],
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "42"},
    ]
    assert conversation(form, {form.field: items})["messages"][1:] == [
        {"role": "assistant", "content": None},
        {"role": "tool", "content": "42"},
    ]


@BOTH
@pytest.mark.parametrize("given", [None, 7, [], {}, {"user_request": "Hi"}], ids=repr)
def test_another_input_is_refused(form: Form, given: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        conversation(form, {form.field: given})
    assert caught.value.param == form.field
