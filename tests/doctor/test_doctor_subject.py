"""How the server is asked, and what its answers say."""

from __future__ import annotations

from typing import Any

import pytest

from airouter.doctor.http import Answer
from airouter.doctor.subject import get, lacking, message_of
from tests.doctor.conftest import completion


def test_a_reasoning_model_of_openai_takes_another_limit(imitated, subject):
    def reply(sent: dict[str, Any]) -> Any:
        if "max_tokens" in sent:
            return 400, {"error": {"message": "Use 'max_completion_tokens' instead."}}
        return completion()

    imitated.chat(reply)
    assert subject.chat("first").ok
    subject.chat("again")
    assert ["max_tokens" in sent for _, sent in imitated.asked] == [True, False, False]


def test_a_model_that_refuses_a_temperature_is_asked_without(imitated, subject):
    def reply(sent: dict[str, Any]) -> Any:
        for name in ("max_tokens", "temperature"):
            if name in sent:
                instead = "; use max_completion_tokens" if name == "max_tokens" else ""
                return 400, {"error": {"message": f"Unsupported: {name}{instead}"}}
        return completion()

    imitated.chat(reply)
    assert subject.chat("first").ok
    subject.chat("again")
    assert len(imitated.asked) == 4
    assert set(imitated.asked[-1][1]) == {"model", "messages", "max_completion_tokens"}


def test_a_refusal_for_another_reason_is_not_asked_again(imitated, subject):
    imitated.chat({"error": {"message": "too hot"}}, 400)
    assert subject.chat("first").status == 400
    assert len(imitated.asked) == 1


def test_what_is_learnt_goes_into_each_request(imitated, subject):
    imitated.chat(completion())
    subject.extra = {"reasoning_effort": "none"}
    subject.chat([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], 4)
    _, sent = imitated.asked[0]
    assert (sent["model"], sent["max_tokens"], sent["reasoning_effort"]) == ("m", 4, "none")
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("status", "verdict", "value"),
    [(404, "no", None), (501, "no", None), (429, "unknown", None), (401, "unknown", "key")],
)
def test_what_a_status_means(status, verdict, value):
    found = lacking(Answer(status))
    assert (found.verdict, found.value) == (verdict, value)


def test_places_that_are_not_there_are_none():
    assert get({"a": [{"b": 1}]}, "a", 0, "b") == 1
    assert get({"a": [{"b": 1}]}, "a", 1, "b") is None
    assert get([1], "a") is None
    assert message_of(Answer(200, pieces=[(0.0, b"[]")])) is None
