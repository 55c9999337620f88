"""Tier 1: what needs no model. A frontend's own housekeeping prompts, known by their marks.

Open WebUI's shape: one user message of more than 300 characters that carries the marks of a housekeeping prompt. Its
retrieval template begins with the same mark but carries the user's own question, and a user may paste such marks: so one
mark alone is not enough. `metadata.task` says it outright.
"""

from airouter.types import Features, Verdict

NAME = "rules"
# Open WebUI's value of metadata.task for ordinary chat, where it sets one.
_NOT_META_TASKS = frozenset({"chat", "chat_completion", "default", "user_chat"})
_MIN_CHARS = 300
_TASK, _GUIDELINES, _HISTORY = "### Task:", "### Guidelines:", "<chat_history>"
# The retrieval template hands the user's question over together with its sources.
_RETRIEVAL_MARKS = ("<context>", "<source", "<user_query>", "[source_id]")


class RulesTier:
    """Decides META, else abstains. Costs microseconds."""

    name = NAME
    instant = True

    def vote(self, features: Features) -> Verdict:
        if features.task and features.task.lower() not in _NOT_META_TASKS:
            return Verdict(NAME, "META", p=1.0, reason=f"metadata.task is {features.task[:40]!r}")
        if is_open_webui_task(features):
            return Verdict(NAME, "META", p=1.0, reason="the marks of a frontend's housekeeping prompt")
        return Verdict(NAME, None, reason="no rule applies")


def is_open_webui_task(features: Features) -> bool:
    """One user message, > 300 characters, that hands over a conversation together with instructions about it."""
    text = features.ask
    if features.n_user != 1 or features.n_messages > 2 or features.last_role != "user" or len(text) <= _MIN_CHARS:
        return False
    if any(mark in text for mark in _RETRIEVAL_MARKS):
        return False
    transcript = _HISTORY in text or ("USER:" in text and "ASSISTANT:" in text)
    instructed = text.lstrip().startswith(_TASK) or _GUIDELINES in text or _TASK in text
    return transcript and instructed
