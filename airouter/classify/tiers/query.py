"""What the tiers that ask a classifier share: the part of its prompt that differs from request to
request, and what its status means."""

from airouter.domain.errors import UpstreamStatus
from airouter.domain.types import Features
from airouter.settings.cascade import ClassifierTier
from airouter.upstream.backend import Backend


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


def status_error(backend: Backend, status: int, body: bytes = b"") -> UpstreamStatus:
    """A classifier's answer with a status other than 200: a 4xx is the request's own fault, a 5xx
    the backend's."""
    error = UpstreamStatus(
        f"The classifier {backend.name!r} answered with status {status}.",
        upstream_status=status,
        body=body,
        headers={},
    )
    error.code = f"status_{status}"
    return error
