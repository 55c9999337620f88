"""Continues a stream that was cut after content had been sent, where that is sound: no text twice,
none missing.

Sound means: one plain text answer, all of it remembered, not in the middle of reasoning, and a
backend that can continue a given beginning. Anything else ends with an error event.
"""

import re
from typing import Any

import orjson

from airouter.dialects import wire_json
from airouter.dialects.openai_compose import Outgoing
from airouter.dialects.openai_request import ChatRequest
from airouter.dialects.openai_stream import Rewrite, StreamState
from airouter.domain.errors import RouterError, UpstreamBroken
from airouter.domain.types import HttpRequest
from airouter.upstream.backend import Backend

MOST = 2  # continuations of one answer
_LEAST_REPEATED = 10  # characters of a sentence that are not written twice by chance
_SENTENCE_END = re.compile(r"[.!?:;。！？]\s+|\n")
_THOUGHT = ("<think>", "</think>")
_CHARS_PER_TOKEN = 4  # of English prose; where the backend cannot count its own tokens
_UNSOUND = (
    "tools", "functions", "logprobs", "top_logprobs", "prompt_logprobs",
    "structured_outputs", "guided_json", "guided_choice", "guided_regex", "guided_grammar",
)  # fmt: skip


def can_continue(request: ChatRequest, state: StreamState, text: str) -> bool:
    """Whether the answer so far may be given to a backend as the beginning of its own."""
    if (
        request.endpoint != "chat"
        or request.choices != 1
        or any(request.payload.get(name) for name in _UNSOUND)
        or request.payload.get("response_format") not in (None, {"type": "text"})
    ):
        return False
    if request.messages[-1].get("role") == "assistant":
        return False  # the client already continues something
    if any(mark in text for mark in _THOUGHT):  # a template may itself open the thought
        return False  # chat templates leave reasoning out of an answer that is given back
    # A backend that says [DONE] without a finish_reason did not break off: there may be nothing to
    # go on with. Behind an error event [DONE] means nothing: vLLM sends it there as well.
    ended = state.done and state.error is None
    settled = bool(state.finish_reasons) or ended
    return bool(text) and state.whole and state.plain and not state.thinking and not settled


def same_backend_first(error: RouterError) -> bool:
    """A server that cut the connection may be up again at once; one that fell silent is not asked
    twice."""
    return isinstance(error, UpstreamBroken)


def continued(
    outgoing: Outgoing, text: str, model: str, max_tokens_left: int | None, *, prefill: bool
) -> Outgoing:
    """The body that lets a backend go on after `text`.

    Args:
        prefill: the backend goes on with a last message of the assistant's by itself; else it is
            told to, in vLLM's way.
    """
    body: dict[str, Any] = {
        key: value for key, value in outgoing.body.items() if key != "stream_options"
    }
    body["model"] = model
    body["messages"] = [*outgoing.messages, {"role": "assistant", "content": text}]
    if not prefill:
        body["add_generation_prompt"], body["continue_final_message"] = False, True
    for name in ("max_tokens", "max_completion_tokens"):
        if name in body and max_tokens_left is not None:
            body[name] = max_tokens_left
    return Outgoing(body, outgoing.adjusted, False)


def asked_max_tokens(outgoing: Outgoing) -> int | None:
    """The answer's limit in tokens, if there is one."""
    return outgoing.body.get("max_completion_tokens") or outgoing.body.get("max_tokens")


def estimated_tokens(text: str, events: int) -> int:
    """How many tokens a text has, roughly: most servers send one per event."""
    return max(events, len(text) // _CHARS_PER_TOKEN)


def count_request(backend: Backend, model: str, text: str) -> HttpRequest:
    """vLLM's `/tokenize`, for how many tokens the beginning has used up."""
    return backend.provider.post(
        "/tokenize", {"model": model, "prompt": text, "add_special_tokens": False}, backend.headers
    )


def read_count(body: bytes) -> int | None:
    try:
        payload = wire_json.strict(body)
    except orjson.JSONDecodeError:
        return None
    count = payload.get("count") if isinstance(payload, dict) else None
    return count if isinstance(count, int) else None


def rewriter(id: str | None, sent: str) -> Rewrite:
    """Makes a continuation's events fit the stream they go into: its id, no second role, no usage
    that is only half of it, and nothing of what the client has already been sent.

    Args:
        sent: the text that the client has; a backend that begins with it again is cut short.
    """
    repeated = _Repetition(sent)

    def rewrite(chunk: dict[str, Any]) -> bytes:
        if id is not None:
            chunk["id"] = id
        chunk.pop("usage", None)
        said = False
        for choice in chunk.get("choices") or []:
            ends = bool(choice.get("finish_reason"))
            delta = choice.get("delta")
            if isinstance(delta, dict):
                delta.pop("role", None)
                text = delta.get("content")
                if isinstance(text, str) or ends:
                    rest = repeated.cut(text if isinstance(text, str) else "", last=ends)
                    if rest or isinstance(text, str):
                        delta["content"] = rest
                said = said or any(value for value in delta.values())
            said = said or ends
        return b"data: " + orjson.dumps(chunk) + b"\n\n" if said else b""

    return rewrite


class _Repetition:
    """Cuts off what a continuation must not begin with: the text that was already sent, all of
    it or from the beginning of its last, unfinished sentence, and a thought. White space does not
    count: templates and models write another one.

    Text that may still be a repetition is held back until that is known.
    """

    def __init__(self, sent: str) -> None:
        self._ends_in_space = sent[-1:].isspace()
        self._repeated = [text for text in map(_squeezed, _beginnings(sent)) if text]
        self._held = ""
        self._over = not self._repeated

    def cut(self, text: str, *, last: bool) -> str:
        """What may go out of the next piece; `last`: there is none after it."""
        if self._over:
            return text
        self._held += text
        answer = _without_thought(self._held)
        if answer is None:
            return "" if not last else self._let_go(self._held)
        said = _squeezed(answer)
        if not last and any(len(t) > len(said) and t.startswith(said) for t in self._repeated):
            return ""
        found = next((t for t in self._repeated if said.startswith(t)), None)
        if found is None:
            return self._let_go(answer)
        rest = _behind(answer, len(found))
        if self._ends_in_space:
            rest = rest.lstrip()
            if not rest and not last:
                return ""
        return self._let_go(rest)

    def _let_go(self, text: str) -> str:
        self._over, self._held = True, ""
        return text


def _beginnings(sent: str) -> list[str]:
    """What a backend may repeat at first, longest first: all of the text, or the unfinished
    sentence, if it is too long to be repeated on purpose."""
    found = [sent]
    start = max((m.end() for m in _SENTENCE_END.finditer(sent)), default=0)
    if start and len(_squeezed(sent[start:])) >= _LEAST_REPEATED:
        found.append(sent[start:])
    return found


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _behind(text: str, count: int) -> str:
    """The text after `count` characters other than white space."""
    for at, character in enumerate(text):
        if count == 0:
            return text[at:]
        count -= not character.isspace()
    return ""


def _without_thought(text: str) -> str | None:
    """The text without reasoning in tags at its beginning; None until the reasoning has ended."""
    begun = text.lstrip()
    if not begun.startswith(_THOUGHT[0]):
        return None if begun and _THOUGHT[0].startswith(begun) else text
    _, closed, rest = begun.partition(_THOUGHT[1])
    return rest.lstrip("\n") if closed else None
