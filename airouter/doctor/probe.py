"""Asks one server what it can do. `CAPABILITIES` lists what is asked, in this order, and how the
answer is judged; docs/doctor.md has the same table.

All requests are small: one to 64 tokens, but for the prefix cache's prompt of 1,500.
"""

from collections.abc import Callable
from dataclasses import dataclass

from airouter.doctor import chat_abilities, endpoints
from airouter.doctor.subject import FAILED, Found, Subject


def probe(subject: Subject) -> dict[str, Found]:
    """Ask for every capability.

    Returns:
        What was found, by the capability's name.
    """
    for capability in CAPABILITIES:
        if capability.needs_chat and not subject.chats:
            found = Found("unknown", "not asked: chat does not work")
        elif capability.dear and subject.cloud:
            found = Found("unknown", "not asked: it would cost more than the rest together")
        else:
            found = _asked(capability, subject)
        subject.found[capability.name] = found
    return subject.found


def _asked(capability: "Capability", subject: Subject) -> Found:
    found = _once(capability, subject)
    if found.value == FAILED and _once(capability, subject) == found:
        # Some servers have no other status for what they lack, such as llama-cpp-python's.
        return Found("no", found.evidence)
    return found


def _once(capability: "Capability", subject: Subject) -> Found:
    try:
        return capability.ask(subject)
    except Exception as error:  # such as a text where a number belongs
        return Found("unknown", f"its answer has a form that is not expected ({error!r:.60})")


@dataclass(frozen=True, slots=True)
class Capability:
    """What is asked. `dear`: not asked of a cloud."""

    name: str
    ask: Callable[[Subject], Found]
    needs_chat: bool = True
    dear: bool = False


CAPABILITIES: tuple[Capability, ...] = (
    Capability("models", endpoints.models, needs_chat=False),
    Capability("health", endpoints.health, needs_chat=False),
    Capability("kind", endpoints.kind, needs_chat=False),
    Capability("window", endpoints.window, needs_chat=False),
    Capability("chat", chat_abilities.chat, needs_chat=False),
    Capability("thinking", chat_abilities.thinking),
    Capability("thinking_switch", chat_abilities.thinking_switch),
    Capability("tools", chat_abilities.tools),
    Capability("structured_output", chat_abilities.structured_output),
    Capability("choice", chat_abilities.choice),
    Capability("logprobs", chat_abilities.logprobs),
    Capability("continuation", chat_abilities.continuation),
    Capability("prefill", chat_abilities.prefill),
    Capability("embeddings", endpoints.embeddings, needs_chat=False),
    Capability("vision", chat_abilities.vision),
    Capability("messages", endpoints.messages),
    Capability("responses", endpoints.responses),
    Capability("prefix_cache", endpoints.prefix_cache, dear=True),
    Capability("load", endpoints.load, needs_chat=False),
)
