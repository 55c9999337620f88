"""How each answer of a chat is judged: yes, no or unknown, with the evidence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.doctor.conftest import ASK, completion, judged


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"content": "<think>hm</think> yes"},
        {"content": "hm</think> yes"},
    ],
)
def test_thinking_and_its_switch(imitated, subject, message):
    def reply(sent: dict[str, Any]) -> Any:
        return completion("yes") if sent.get("reasoning_effort") == "none" else whole

    whole = completion(**{"content": None, **message})
    imitated.chat(reply)
    subject.found["chat"] = ASK["chat"](subject)
    subject.found["thinking"] = ASK["thinking"](subject)
    assert subject.found["thinking"].verdict == "yes"
    assert ASK["thinking_switch"](subject).value == {"reasoning_effort": "none"}
    subject.chat("later requests do not think")
    assert imitated.asked[-1][1]["reasoning_effort"] == "none"


@pytest.mark.parametrize(("finished", "verdict"), [("stop", "no"), ("length", "unknown")])
def test_a_thought_without_its_beginning(imitated, subject, finished, verdict):
    """A template may write <think> into the prompt, and no parser take the thought out."""
    answer = completion("Okay, the user wants")
    answer["choices"][0]["finish_reason"] = finished
    imitated.chat(answer)
    subject.found["chat"] = ASK["chat"](subject)
    subject.found["thinking"] = ASK["thinking"](subject)
    assert subject.found["thinking"].verdict == verdict
    assert ASK["thinking_switch"](subject).verdict == "unknown"
    assert len(imitated.asked) == 1


def test_thinking_that_cannot_be_switched_off(imitated, subject):
    imitated.chat(completion("yes", reasoning="hm"))
    assert judged(subject, "thinking_switch", thinks="thinks").verdict == "no"
    assert subject.extra == {}


NAMED = {"type": "function", "function": {"name": "get_time"}}
CALL = {"id": "1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
REFUSED = (400, {"error": {"message": "refused"}})


@pytest.mark.parametrize(
    ("auto", "required", "named", "verdict", "evidence"),
    [
        (True, None, None, "yes", "it calls the tool (tool_choice auto)"),
        (False, True, None, "yes", "it calls the tool (tool_choice required)"),
        (False, REFUSED, REFUSED, "no", "it answers with text instead of a call"),
        (False, False, True, "no", "text instead of a call, unless tool_choice names the tool"),
        (REFUSED, True, None, "no", "status 400: refused, unless tool_choice requires one"),
        (REFUSED, REFUSED, True, "no", "status 400: refused, unless tool_choice names the tool"),
        (REFUSED, REFUSED, REFUSED, "no", "status 400: refused"),
    ],
)
def test_tools(imitated, subject, auto, required, named, verdict, evidence):
    does = {"auto": auto, "required": required, str(NAMED): named}

    def reply(sent: dict[str, Any]) -> Any:
        do = does[str(sent["tool_choice"])]
        return completion(None, tool_calls=[CALL] if do else None) if isinstance(do, bool) else do

    imitated.chat(reply)
    found = judged(subject, "tools")
    assert found.verdict == verdict
    assert found.evidence.endswith(evidence)


@pytest.mark.parametrize("cut", ["auto", "required"])
@pytest.mark.parametrize("said", ['<tool_call>{"name": "get_time", ', "<think>They want"])
def test_a_call_that_was_cut(imitated, subject, cut, said):
    def reply(sent: dict[str, Any]) -> Any:
        if sent["tool_choice"] != cut:
            return completion("It is noon.")
        answer = completion(said)
        answer["choices"][0]["finish_reason"] = "length"
        return answer

    imitated.chat(reply)
    assert judged(subject, "tools").verdict == "unknown"


@pytest.mark.parametrize(
    ("content", "verdict"),
    [('{"ok": true}', "yes"), ('{"ok": 1}', "no"), ("All is well.", "no"), (None, "no"),
     ("<think>let me", "unknown")],
)  # fmt: skip
def test_structured_output(imitated, subject, content, verdict):
    imitated.chat(completion(content))
    assert judged(subject, "structured_output").verdict == verdict


@pytest.mark.parametrize(
    ("content", "finished", "verdict"),
    [('{\n\n  "ok"', "length", "unknown"), ("  \n", "length", "unknown"),
     ('{"well', "length", "no"), ('{"ok"', "stop", "no")],
)  # fmt: skip
def test_structured_output_that_was_cut(imitated, subject, content, finished, verdict):
    answer = completion(content)
    answer["choices"][0]["finish_reason"] = finished
    imitated.chat(answer)
    assert judged(subject, "structured_output").verdict == verdict


def with_logprobs(token: str) -> dict[str, Any]:
    answer = completion(token)
    entry = {"token": token, "logprob": -0.1, "top_logprobs": []}
    answer["choices"][0]["logprobs"] = {"content": [entry]}
    return answer


@pytest.mark.parametrize("by", ["structured_outputs", "guided_choice"])
def test_a_choice_of_labels(imitated, subject, by):
    imitated.chat(lambda sent: with_logprobs("SIM" if by in sent else "Hello"))
    found = judged(subject, "choice")
    assert (found.verdict, found.value) == ("yes", by)


def test_a_server_that_ignores_the_choice(imitated, subject):
    imitated.chat(with_logprobs("Hello"))
    assert judged(subject, "choice").verdict == "no"
    assert judged(subject, "logprobs").verdict == "yes"


def test_no_logprobs(imitated, subject):
    imitated.chat(completion())
    assert judged(subject, "logprobs").verdict == "no"


@pytest.mark.parametrize("name", ["continuation", "prefill"])
@pytest.mark.parametrize(
    ("said", "verdict"),
    [("{rest}, four", "yes"), ("{begun}{rest}, four", "unknown"), ("Sure: one", "no"), ("", "no")],
)
def test_an_answer_is_continued(imitated, subject, name, said, verdict):
    def reply(sent: dict[str, Any]) -> Any:
        if sent["messages"][-1]["role"] == "user":
            return completion(text)
        assert sent.get("continue_final_message", False) == (name == "continuation")
        begun = sent["messages"][-1]["content"]
        rest = text[len(begun) :].split(",")[0]
        return completion(said.replace("{rest}", rest).replace("{begun}", begun))

    text = "one, two, three, four"
    imitated.chat(reply)
    assert judged(subject, name).verdict == verdict


@pytest.mark.parametrize(
    ("text", "begun"), [("one, seven", "one, se"), ("#'}j/pW'}I;", "#'}j/"), ("a b c d e", None)]
)
def test_where_an_answer_is_cut(imitated, subject, text, begun):
    imitated.chat(completion(text))
    judged(subject, "continuation")
    assert imitated.asked[0][1]["messages"][-1]["role"] == "user"
    assert [sent["messages"][-1]["content"] for _, sent in imitated.asked[1:]] == [
        *([begun] if begun else [])
    ]


def test_an_answer_too_short_to_cut(imitated, subject):
    imitated.chat(completion("1"))
    assert judged(subject, "prefill").verdict == "unknown"


@pytest.mark.parametrize(
    ("content", "tokens", "verdict"),
    [("It is green.", 20, "yes"), ("Blue.", 300, "yes"), ("Blue.", 22, "unknown")],
)
def test_vision(imitated, subject, content, tokens, verdict):
    subject.prompt_tokens = 20
    imitated.chat({**completion(content), "usage": {"prompt_tokens": tokens}})
    assert judged(subject, "vision").verdict == verdict


@pytest.mark.parametrize("content", ["Blue.", "Green."])
def test_a_server_that_takes_a_picture_for_text(imitated, subject, content):
    def reply(sent: dict[str, Any]) -> Any:
        characters = len(json.dumps(sent["messages"]))
        return {**completion(content), "usage": {"prompt_tokens": characters // 3}}

    imitated.chat(reply)
    subject.prompt_tokens = 20
    found = judged(subject, "vision")
    assert (found.verdict, found.evidence) == ("no", "it takes the picture's data for text")


def test_the_same_request_has_the_same_answer(imitated, subject):
    """Sampled, a continuation would differ from the answer whose beginning it was given."""
    imitated.chat(completion("one, two, three"))
    judged(subject, "continuation")
    assert [sent["temperature"] for _, sent in imitated.asked] == [0, 0]
