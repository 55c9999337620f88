"""Tier 3: a small model of the text, trained on labelled prompts (`learn/`). Decides in under a millisecond, or abstains.

It abstains on a low probability, and on what it cannot know well: a short ask that leans on the turns before it, text
unlike any it was trained on, very long text, and text that names a label, which may be an order to the router.
"""

import re

from airouter.clock import Clock
from airouter.routing.dense_features import leans
from airouter.routing.text_features import encode
from airouter.routing.text_model import CLASSES, Model
from airouter.types import Features, Verdict

NAME = "learned"
_NAMES_A_LABEL = re.compile(
    r"\b(?:SIMPLE|MODERATE|COMPLEX|ENRICH|PRIMARY|META)\b|(?i:\b(?:rout(?:e|er|ing)|classif(?:y|ier))\s*(?::|=|this|to\b|as\b))"
)
_LOOKED_AT = 4000  # characters, at either end, in which an order to the router is looked for
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
            thresholds: by class, instead of those that were trained; for an operator who wants to be stricter.
        """
        self._model = model
        self._clock = clock
        self._thresholds = {**model.thresholds, **(thresholds or {})}

    def vote(self, features: Features) -> Verdict:
        started = self._clock.monotonic()
        model = self._model
        opinion = model.judge(encode(features, model.spec))
        p, p_primary = max(opinion.p), opinion.p[0]
        name = CLASSES[opinion.p.index(p)]
        needed = self._thresholds[name]
        doubt = self._doubt(features, opinion.strange)
        ms = (self._clock.monotonic() - started) * 1000
        if doubt:
            return Verdict(
                NAME, None, p=p, threshold=needed, ms=ms, reason=doubt, p_primary=p_primary
            )
        if p < needed:
            reason = f"{name} is not sure enough"
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
            return "there are images, which it does not see"
        if leans(features):
            return "a short ask that leans on the turns before it"
        if len(ask) > self._model.limits["max_chars"]:
            return "longer than anything it was trained on"
        if strange > self._model.limits["max_strange"]:
            return f"{strange:.0%} of the text is unlike anything it was trained on"
        if _NAMES_A_LABEL.search(
            ask if len(ask) <= 2 * _LOOKED_AT else f"{ask[:_LOOKED_AT]} {ask[-_LOOKED_AT:]}"
        ):
            return "the text names a label or speaks to the router"
        return ""


def _label(name: str, features: Features) -> str:
    """PRIMARY as one of the two labels that the cascade knows for it."""
    if name != "PRIMARY":
        return name
    return "SIMPLE" if len(features.ask) < _SIMPLE_CHARS and not features.previous else "MODERATE"
