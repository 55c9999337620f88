"""The server that is asked, and how its answers are read."""

from dataclasses import dataclass, field
from typing import Any, Literal

from airouter.doctor.http import Answer, Server

ANSWER_TOKENS = 32  # at most, of an answer
Verdict = Literal["yes", "no", "unknown"]
# Statuses by which a server says that it does not have what was asked for.
_LACKING = frozenset({400, 404, 405, 415, 422, 501})

FAILED = "failed"  # the value where the server failed, which it may do each time


@dataclass(frozen=True, slots=True)
class Found:
    """Whether the server has a capability. `value`: what it states, such as its window."""

    verdict: Verdict
    evidence: str
    value: Any = None


@dataclass(slots=True)
class Subject:
    """The server that is asked, and what was learnt of it on the way (mutable).

    `model`: the configured one; else the first listed, once that is known. `extra`: what is added
    to each request: the switch for thinking. `limit`: the name of the limit of tokens. `fixed`: the
    temperature by which the same request has the same answer; {} where it is refused.
    """

    server: Server
    model: str | None
    cloud: bool = False
    found: dict[str, Found] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    listed: bytes = b""
    extra: dict[str, Any] = field(default_factory=dict)
    limit: str = "max_tokens"
    fixed: dict[str, Any] = field(default_factory=lambda: {"temperature": 0})
    prompt_tokens: int = 0  # of `_COLOUR` without a picture
    cut: bool = False  # whether the answer to it reached the limit of tokens
    text: str = ""  # the answer to `_COUNT`, as far as it got

    def chat(self, content: Any, tokens: int = ANSWER_TOKENS, **more: Any) -> Answer:
        """Ask for a chat completion; `content` is the user's message, or all messages."""
        messages = [{"role": "user", "content": content}]
        if isinstance(content, list) and content and "role" in content[0]:
            messages = content
        body = {"model": self.model, "messages": messages, **self.extra, **more}
        path = "/v1/chat/completions"
        answer = self.server.post(path, body | self.fixed | {self.limit: tokens})
        while answer.status == 400 and self._adapts_to(answer.body):
            answer = self.server.post(path, body | self.fixed | {self.limit: tokens})
        return answer

    def _adapts_to(self, refusal: bytes) -> bool:
        """Ask otherwise from now on if a refusal is about the limit's name or the temperature."""
        other = "max_completion_tokens"  # of OpenAI's reasoning models, which know no temperature
        if self.limit != other and other.encode() in refusal:
            self.limit = other
        elif self.fixed and b"temperature" in refusal:
            self.fixed = {}
        else:
            return False
        return True

    @property
    def chats(self) -> bool:
        return self.found["chat"].verdict == "yes"


def lacking(answer: Answer) -> Found:
    """The verdict on an answer that is not what was asked for."""
    said = answer.said()
    if answer.status in (401, 403):
        return Found("unknown", f"the key is refused ({said})", "key")
    if answer.status == 500:
        return Found("unknown", said, FAILED)
    return Found("no" if answer.status in _LACKING else "unknown", said)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def get(value: Any, *path: Any) -> Any:
    """What is at this place of a JSON value; None where there is nothing."""
    for key in path:
        if isinstance(key, int):
            value = value[key] if isinstance(value, list) and key < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def json_of(raw: bytes) -> dict[str, Any]:
    """The object in a text; {} where there is none."""
    value = Answer(200, pieces=[(0.0, raw)]).json()
    return value if isinstance(value, dict) else {}


def message_of(answer: Answer) -> dict[str, Any] | None:
    """The message of a chat completion; None where the answer is not one."""
    message = get(answer.json(), "choices", 0, "message") if answer.ok else None
    if not isinstance(message, dict) or not isinstance(message.get("content"), str | None):
        return None
    return message


def was_cut(answer: Answer) -> bool:
    """Whether the answer ended at the limit of tokens."""
    return bool(get(answer.json(), "choices", 0, "finish_reason") == "length")


def thought_of(answer: Answer) -> str:
    """How the answer shows that the model has thought; "" if it does not."""
    message = message_of(answer) or {}
    for name in ("reasoning_content", "reasoning"):
        if message.get(name):
            return f"the answer has {name}"
    if (message.get("content") or "").lstrip().startswith("<think>"):
        return "the answer begins with <think>"
    if "</think>" in (message.get("content") or ""):  # the template wrote the beginning
        return "the answer has a </think>"
    spent = get(answer.json(), "usage", "completion_tokens_details", "reasoning_tokens")
    return f"{spent} tokens of reasoning" if isinstance(spent, int) and spent > 0 else ""
