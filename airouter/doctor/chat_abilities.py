"""Asks one server for chat completions, one function for each capability."""

import random
import struct
import zlib
from base64 import b64encode
from typing import Any

from airouter.classify.tiers.one_token import read_shares
from airouter.doctor.http import Answer
from airouter.doctor.subject import (
    ANSWER_TOKENS,
    Found,
    Subject,
    get,
    json_of,
    lacking,
    message_of,
    thought_of,
    was_cut,
)
from airouter.domain.labels import CLASSIFIER_LABELS

_CALL_TOKENS = 64  # of an answer that is to call a tool: some say what they are about to do
_PICTURE_TOKENS = 16  # that a picture adds at the very least
_COMMENT = 150  # bytes in a picture's file; written as text they are 100 tokens and more
_REST = 8  # characters, by which a server is seen to go on within a word
_COUNT = "Count from one to twenty in English words, separated by commas. Only the words."
_COLOUR = "Name the colour of this picture in one word."
_CLOCK = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The current time.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
_TOOL_CHOICES = ("auto", "required", {"type": "function", "function": {"name": "get_time"}})
_TEXT = Found("no", "it answers with text instead of a call")
_SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
_CONFORMING = ('{"ok":true}', '{"ok":false}')
_SWITCHES: tuple[dict[str, Any], ...] = (  # vLLM, SGLang, llama.cpp; Ollama, OpenAI, xAI
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"reasoning_effort": "none"},
)
_CHOICES: dict[str, dict[str, Any]] = {  # vLLM since 0.12, and before
    "structured_outputs": {"structured_outputs": {"choice": list(CLASSIFIER_LABELS)}},
    "guided_choice": {"guided_choice": list(CLASSIFIER_LABELS)},
}


def chat(subject: Subject) -> Found:
    if subject.model is None:
        return Found("unknown", "not asked: no model is known")
    answer = subject.chat(_COLOUR)
    message = message_of(answer)
    if message is None:
        return lacking(answer)
    subject.prompt_tokens = _prompt_tokens(answer)
    subject.cut = was_cut(answer)
    return Found("yes", "it answers", thought_of(answer))


def thinking(subject: Subject) -> Found:
    thought = subject.found["chat"].value
    if thought:
        return Found("yes", thought)
    if subject.cut:  # a thought without its beginning, which the template may have written
        said = f"one word was asked for, and its answer was cut after {ANSWER_TOKENS} tokens"
        return Found("unknown", said)
    return Found("no", "its answer had no reasoning")


def thinking_switch(subject: Subject) -> Found:
    if subject.found["thinking"].verdict != "yes":
        return Found("unknown", "it was not seen to think, so there is nothing to switch off")
    last = Found("no", "")
    for switch in _SWITCHES:
        answer = subject.chat(_COLOUR, **switch)
        if message_of(answer) is not None and not thought_of(answer):
            subject.extra = switch
            return Found("yes", f"by {next(iter(switch))}", switch)
        last = lacking(answer) if message_of(answer) is None else Found("no", "it thinks on")
    return last


def tools(subject: Subject) -> Found:
    """Whether the model calls a tool of its own accord; if not, what else makes it."""
    first: Found | None = None
    for choice in _TOOL_CHOICES:
        ask = "What is the time in Oslo? Use the tool."
        answer = subject.chat(ask, _CALL_TOKENS, tools=[_CLOCK], tool_choice=choice)
        message = message_of(answer)
        if get(message, "tool_calls", 0, "function", "name") == "get_time":
            if choice == "auto" or (choice == "required" and first == _TEXT):
                return Found("yes", f"it calls the tool (tool_choice {choice})", choice)
            assert first is not None
            how = "requires one" if choice == "required" else "names the tool"
            return Found("no", f"{first.evidence}, unless tool_choice {how}")
        if was_cut(answer) and first in (None, _TEXT):
            if thought_of(answer):
                return Found("unknown", f"it was still thinking after {_CALL_TOKENS} tokens")
            if "get_time" in (get(message, "content") or ""):
                return Found("unknown", f"its call was cut after {_CALL_TOKENS} tokens")
        first = first or (lacking(answer) if message is None else _TEXT)
    assert first is not None
    return first


def structured_output(subject: Subject) -> Found:
    form = {
        "type": "json_schema",
        "json_schema": {"name": "result", "strict": True, "schema": _SCHEMA},
    }
    answer = subject.chat("Say that all is well.", response_format=form)
    message = message_of(answer)
    if message is None:
        return lacking(answer)
    content = message.get("content") or ""
    value = json_of(content.encode())
    if set(value) == {"ok"} and isinstance(value["ok"], bool):
        return Found("yes", "its answer conforms to the schema")
    if thought_of(answer):
        return Found("unknown", f"it was still thinking after {ANSWER_TOKENS} tokens")
    compact = "".join(content.split())
    if any(whole.startswith(compact) for whole in _CONFORMING) and was_cut(answer):
        return Found("unknown", f"its answer conforms, but was cut after {ANSWER_TOKENS} tokens")
    return Found("no", "its answer does not conform to the schema")


def choice(subject: Subject) -> Found:
    last = Found("no", "")
    for name, constraint in _CHOICES.items():
        answer = subject.chat("Query: Hello", 1, logprobs=True, top_logprobs=20, **constraint)
        if answer.ok and read_shares(answer.body) is not None:
            return Found("yes", f"a label with its probability, by {name}", name)
        last = (
            lacking(answer)
            if message_of(answer) is None
            else Found("no", "it does not answer with a label and log-probabilities")
        )
    return last


def logprobs(subject: Subject) -> Found:
    answer = subject.chat("Hello", 1, logprobs=True, top_logprobs=2)
    if message_of(answer) is None:
        return lacking(answer)
    top = get(answer.json(), "choices", 0, "logprobs", "content", 0, "logprob")
    if isinstance(top, int | float):
        return Found("yes", "its answer has them")
    return Found("no", "it ignores the request for them")


def continuation(subject: Subject) -> Found:
    return _continues(subject, {"add_generation_prompt": False, "continue_final_message": True})


def prefill(subject: Subject) -> Found:
    return _continues(subject, {})


def _continues(subject: Subject, how: dict[str, Any]) -> Found:
    """Whether the server goes on with the first half of its own answer, cut within a word."""
    if not subject.text:
        message = message_of(subject.chat(_COUNT)) or {}
        subject.text = (message.get("content") or "").strip()
    cut = _within_a_word(subject.text)
    if cut is None:
        return Found("unknown", "no answer that could be cut in two")
    begun, rest = subject.text[:cut], subject.text[cut:].split(maxsplit=1)[0][:_REST]
    turns = [{"role": "user", "content": _COUNT}, {"role": "assistant", "content": begun}]
    answer = subject.chat(turns, **how)
    going_on = message_of(answer)
    if going_on is None:
        return lacking(answer)
    said = going_on.get("content") or ""
    if said.startswith(rest):
        return Found("yes", "it goes on within the word")
    if said.startswith(begun):
        return Found("unknown", "it repeats the beginning, or says the same anew")
    return Found("no", "it begins anew")


def vision(subject: Subject) -> Found:
    answer = subject.chat(_with_picture(_picture()))
    message = message_of(answer)
    if message is None:
        return lacking(answer)
    counted = _prompt_tokens(answer) - subject.prompt_tokens
    if subject.prompt_tokens and counted >= _PICTURE_TOKENS:
        # A picture costs the same with a comment in its file, unless its URL is taken for text.
        longer = subject.chat(_with_picture(_picture(random.randbytes(_COMMENT))))
        if message_of(longer) is None:
            return lacking(longer)
        if _prompt_tokens(longer) - _prompt_tokens(answer) >= _PICTURE_TOKENS:
            return Found("no", "it takes the picture's data for text")
    if "green" in (message.get("content") or "").lower():
        return Found("yes", "it names the picture's colour")
    if subject.prompt_tokens and counted >= _PICTURE_TOKENS:
        return Found("yes", f"it counts {counted:,} tokens for the picture")
    return Found("unknown", "it accepts the picture, but does not name its colour")


def _with_picture(picture: bytes) -> list[dict[str, Any]]:
    url = f"data:image/png;base64,{b64encode(picture).decode()}"
    return [{"type": "text", "text": _COLOUR}, {"type": "image_url", "image_url": {"url": url}}]


def _prompt_tokens(answer: Answer) -> int:
    counted = get(answer.json(), "usage", "prompt_tokens")
    return counted if isinstance(counted, int) else 0


def _within_a_word(text: str) -> int | None:
    """A place in the second half of a text with two letters or digits on either side of it; else,
    as of a model whose answers make no sense, with any characters but spaces."""
    for fits in (str.isalnum, _has_no_space):
        for at in range(len(text) // 2, len(text) - 1):
            if at >= 2 and fits(text[at - 2 : at + 2]):
                return at
    return None


def _has_no_space(text: str) -> bool:
    return not any(map(str.isspace, text))


def _picture(comment: bytes = b"") -> bytes:
    """A green PNG of 64 by 64 pixels; some models refuse pictures of less than 28."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\0\xc0\0" * 64) * 64
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    if comment:
        parts.insert(1, chunk(b"tEXt", b"Comment\0" + b64encode(comment)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
