"""Tier 1: what needs no model. A frontend's own housekeeping prompts, known by their marks.

`metadata.task` says it outright. Else literal phrases of known frontends do
(`config/meta_markers.yaml`). An instruction with a transcript that no phrase is known of may be a
frontend's or a person's: it stays local, with its whole text, and is not searched for. A person who
pastes `### Task:`, and a retrieval template, which begins the same way but carries the person's own
question, are decided by what they ask.
"""

from airouter.classify.meta_markers import MetaMarkers, load_markers
from airouter.domain.types import Features, Verdict

NAME = "rules"
# Open WebUI's value of metadata.task for ordinary chat, where it sets one.
_NOT_META_TASKS = frozenset({"chat", "chat_completion", "default", "user_chat"})


class RulesTier:
    """Decides META, or MODERATE for what may be META; else abstains. Costs microseconds."""

    name = NAME
    instant = True

    def __init__(self, markers: MetaMarkers | None = None) -> None:
        """Args:
        markers: None reads the shipped file.
        """
        self._markers = markers or load_markers()

    def vote(self, features: Features) -> Verdict:
        if features.task and features.task.lower() not in _NOT_META_TASKS:
            return Verdict(NAME, "META", p=1.0, reason=f"metadata.task is {features.task[:40]!r}")
        marker = self._markers.find(features)
        if marker is not None:
            return Verdict(
                NAME, "META", p=1.0, reason=f"markers of {marker.frontend} ({marker.task})"
            )
        if self._markers.templated(features):
            return Verdict(NAME, "META", p=1.0, reason="structure of a frontend's prompt template")
        if self._markers.shaped(features):
            return Verdict(NAME, "MODERATE", reason="an instruction with a transcript: stays local")
        return Verdict(NAME, None, reason="no rule matched")
