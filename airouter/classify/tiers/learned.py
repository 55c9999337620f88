"""Tier 3: a small model of the text, trained on labelled prompts (`learn/`). Takes under 1 ms.

It abstains on a low probability, and on what it cannot know well: a short ask that leans on the
turns before it, text unlike any it was trained on, very long text, text that names a label, which
may be an order to the router, and a proof or a large program that it would call easy.

It never decides META: where it sees a frontend's housekeeping that the rules do not know, it says
MODERATE, which is answered locally, without a search, whole, and at normal priority. An agent's
request, or one with tools, is never housekeeping to it.
"""

import re

from airouter.classify.features import is_follow_up
from airouter.classify.learned.text_features import encode
from airouter.classify.learned.text_model import Model
from airouter.domain.clock import Clock
from airouter.domain.labels import CLASSES, DEFAULT_LABEL, ROUTE_OF_LABEL
from airouter.domain.types import Features, Verdict

NAME = "learned"
_NAMES_A_LABEL = re.compile(
    rf"\b(?:{'|'.join(ROUTE_OF_LABEL)})\b|"
    r"(?i:\b(?:rout(?:e|er|ing)|classif(?:y|ier))\s*(?::|=|this|to\b|as\b))"
)
_LOOKED_AT = 4000  # characters, at either end, in which an order to the router is looked for
# An ask that sounds like a textbook's and may be anything: its words do not say how hard it is.
# Looked for in lower case at either end of it; first by a part of a word, which is quick.
_HARD_ENDS = 300
_HARD_HINTS = (
    "prov", "proof", "beweis", "montre", "demuestr", "dimostr", "demonstr", "докаж", "доказ", "證",
    "证", "証", "compiler", "operating system", "kernel", "engine", "browser", "hypervisor",
    "machine", "complete", "entire", "full", "whole",
)  # fmt: skip
_HARD = re.compile(
    r"^\W*(?:(?:please|can you|could you|now)\W+)*(?:prove|disprove|beweise?n? |d[ée]montre|"
    r"demuestr|dimostr|demonstre|докаж|доказ|證明|证明|証明)|"
    r"\bprove (?:that|it|the)\b|\bgive (?:me )?a (?:complete |full |rigorous )?proof\b|"
    r"\b(?:write|implement|build|create|develop|design|code|program)\b[^.?!\n]{0,60}\b"
    r"(?:compilers?|operating system|kernel|(?:database|browser|javascript|game|physics) engine|"
    r"web browser|hypervisor|theorem prover|virtual machine|(?:complete|entire|full|fully|"
    r"full-featured|whole|production-(?:grade|ready))\s+(?:\S+\s+){0,3}"
    r"(?:interpreter|emulator|engine|system|server|framework|language|database|protocol|stack))\b"
)
# The least probability to decide, whatever was trained: PRIMARY was called too early on prompts
# from elsewhere (data/model/card.md says what it costs).
_LEAST = {"PRIMARY": 0.96}
_SIMPLE_CHARS = 80  # a shorter PRIMARY ask is called SIMPLE; both labels share a route


class LearnedTier:
    """Votes with a loaded model, which is read-only: safe for all threads."""

    name = NAME
    instant = True

    def __init__(
        self, model: Model, clock: Clock, thresholds: dict[str, float] | None = None
    ) -> None:
        """
        Args:
            thresholds: by class, instead of those that were trained; for an operator who wants to
                be stricter.
        """
        self._model = model
        self._clock = clock
        trained = {
            name: max(value, _LEAST.get(name, 0.0)) for name, value in model.thresholds.items()
        }
        self._thresholds = {**trained, **(thresholds or {})}

    def vote(self, features: Features) -> Verdict:
        started = self._clock.monotonic()
        model = self._model
        opinion = model.judge(encode(features, model.spec))
        p, p_primary = max(opinion.p), opinion.p[0]
        name = CLASSES[opinion.p.index(p)]
        needed = self._thresholds[name]
        doubt = self._doubt(features, opinion.strange) or _doubt_of(name, features)
        ms = (self._clock.monotonic() - started) * 1000
        if doubt:
            return Verdict(
                NAME, None, p=p, threshold=needed, ms=ms, reason=doubt, p_primary=p_primary
            )
        if p < needed:
            reason = f"the probability of {name} is below the threshold"
            return Verdict(
                NAME,
                None,
                p=p,
                threshold=needed,
                ms=ms,
                reason=reason,
                guess=_label(name, features),
                p_primary=p_primary,
            )
        reason = f"model {model.version}"
        if name == "META":
            reason += ": similar to a frontend's internal prompt, but matched no rule; stays local"
        return Verdict(
            NAME,
            _label(name, features),
            p=p,
            threshold=needed,
            ms=ms,
            reason=reason,
            p_primary=p_primary,
        )

    def _doubt(self, features: Features, strange: float) -> str:
        """Why it should not decide whatever its probability; empty when there is no reason."""
        ask = features.ask
        if features.has_images:
            return "the request contains images, which the model cannot read"
        if is_follow_up(features):
            return "a short follow-up that depends on earlier turns"
        if len(ask) > self._model.limits["max_chars"]:
            return "longer than the training prompts"
        if strange > self._model.limits["max_strange"]:
            return f"{strange:.0%} of the n-grams do not occur in the training data"
        if _NAMES_A_LABEL.search(
            ask if len(ask) <= 2 * _LOOKED_AT else f"{ask[:_LOOKED_AT]} {ask[-_LOOKED_AT:]}"
        ):
            return "the text contains a label or addresses the router"
        return ""


def _doubt_of(name: str, features: Features) -> str:
    """Why it should not decide this class of this request; empty when there is no reason."""
    if name == "META" and (features.has_tools or features.agent):
        return "a request from an agent, or with tools, cannot be META"
    if name == "PRIMARY" and _may_be_hard(features.ask):
        return "proofs and large programs may be harder than they seem"
    return ""


def _may_be_hard(ask: str) -> bool:
    ends = (ask,) if len(ask) <= 2 * _HARD_ENDS else (ask[:_HARD_ENDS], ask[-_HARD_ENDS:])
    return any(
        _HARD.search(end)
        for end in map(str.lower, ends)
        if any(hint in end for hint in _HARD_HINTS)
    )


def _label(name: str, features: Features) -> str:
    """The class as a label of the cascade: PRIMARY has two, and META is left to the rules."""
    if name == "META":
        return DEFAULT_LABEL
    if name != "PRIMARY":
        return name
    simple = len(features.ask) < _SIMPLE_CHARS and not features.previous
    return "SIMPLE" if simple else DEFAULT_LABEL
