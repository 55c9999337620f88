"""Builds the features of a conversation."""

from typing import Any

from airouter.classify.features import features_of
from airouter.dialects.openai_request import parse_request
from airouter.domain.types import Features


def features(*messages: str | tuple[str, str], **request: Any) -> Features:
    """Features of these messages: strings are user turns, pairs are (role, text)."""
    turns = [("user", message) if isinstance(message, str) else message for message in messages]
    return features_of(
        parse_request(
            "chat",
            {"messages": [{"role": role, "content": text} for role, text in turns], **request},
        )
    )
