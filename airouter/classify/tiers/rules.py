"""Tier 1: recognises prompts that frontends generate for themselves, such as titles and tags.

They are recognised by `metadata.task`, or by literal phrases of known frontends
(`config/meta_markers.yaml`). An instruction with a transcript that matches no phrase may be from a
frontend or a person: it stays local, uncut and without a search. Two kinds of prompts look similar
and are left to the other tiers: those of people who paste `### Task:`, and retrieval templates,
which contain the person's own question.
"""

from airouter.classify.meta_markers import MetaMarkers, load_markers
from airouter.domain.types import Features, Verdict

NAME = "rules"
# Values of metadata.task for ordinary chat.
_NOT_META_TASKS = frozenset({"chat", "chat_completion", "default", "user_chat"})


class RulesTier:
    """Decides META, or MODERATE for what may be META; otherwise abstains. Takes microseconds."""

    name = NAME
    instant = True

    def __init__(self, markers: MetaMarkers | None = None) -> None:
        """
        Args:
            markers: the phrases to look for; None: those of `config/meta_markers.yaml`.
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
