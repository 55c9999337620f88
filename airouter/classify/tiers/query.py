"""The part of a classifier's prompt that differs from request to request."""

from airouter.domain.types import Features
from airouter.settings.cascade import ClassifierTier


def classifier_query(features: Features, settings: ClassifierTier, turn_chars: int) -> str:
    """The latest turns of the conversation, then the user's request, both cut in the middle.

    Sent after the static classification prompt, so that the backend can cache that as a prefix.

    Args:
        turn_chars: maximum characters of each earlier turn.
    """
    count = settings.context_turns
    turns = features.previous[-count:] if count else ()
    context = "\n".join(f"{role}: {middle_out(text, turn_chars)}" for role, text in turns)
    lead = f"Conversation so far:\n{context}\n\n" if context else ""
    return f"{lead}Query: {middle_out(features.ask, settings.max_chars)}"


def middle_out(text: str, limit: int) -> str:
    """The text, or the head and tail of one longer than `limit` characters."""
    if len(text) <= limit:
        return text
    return f"{text[: limit * 2 // 3]}\n[…]\n{text[-limit // 3 :]}"
