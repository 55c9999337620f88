"""Tier 3: a small text classifier trained on labelled prompts (`learn/`), in under 1 ms.

It abstains if the probability is low, and where it is unreliable: on short follow-ups, on text
unlike its training data, on very long text, on text that contains a label, which may be an attempt
to instruct the router, and on proofs and large programs that it considers easy.

It never decides META. For a frontend's internal prompt that the rules do not know it decides
MODERATE, so that the prompt is answered locally, uncut, without a search and at normal priority.
Requests of agents, or with tools, never count as internal prompts. Instructions about a
conversation (`airouter.classify.machinery`) are never ENRICH or COMPLEX here, decided or guessed.
"""

import re

from airouter.classify.features import is_follow_up
from airouter.classify.learned.kernel import predictor
from airouter.classify.learned.text_model import Model
from airouter.classify.machinery import may_be_a_programs
from airouter.domain.clock import Clock
from airouter.domain.labels import CLASSES, DEFAULT_LABEL, ROUTE_OF_LABEL
from airouter.domain.types import Features, Verdict

NAME = "learned"
_PRIMARY = CLASSES.index("PRIMARY")
_LABEL = re.compile(
    rf"\b(?:{'|'.join(ROUTE_OF_LABEL)})\b|"
    r"(?i:\b(?:rout(?:e|er|ing)|classif(?:y|ier))\s*(?::|=|this|to\b|as\b))"
)
# Without regard to case, the pattern takes dotless i, long s and a dotted I for i and s.
_LABEL_HINTS = ("rout", "classif", "ı", "ſ", "\u0307")
_LABEL_CHARS = 4000  # characters at each end that are searched for a label
# Tasks whose wording does not show how hard they are. Both ends of the ask are searched in lower
# case, first for parts of words, which is quick.
_HARD_ENDS = 300
_HARD_HINTS = (
    "prov", "proof", "beweis", "montre", "demuestr", "dimostr", "demonstr", "докаж", "доказ",
    "證", "证", "証", "compiler", "operating system", "kernel", "engine", "browser", "hypervisor",
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
# Lower bounds of the trained thresholds: on prompts of other origins, PRIMARY was decided too
# readily (data/model/card.md states the cost in coverage).
_MIN_THRESHOLDS = {"PRIMARY": 0.96}
_SIMPLE_CHARS = 80  # shorter PRIMARY requests are labelled SIMPLE; the route is the same


class LearnedTier:
    """Decides by a loaded model, which is read-only and therefore thread-safe."""

    name = NAME
    instant = True

    def __init__(
        self, model: Model, clock: Clock, thresholds: dict[str, float] | None = None
    ) -> None:
        """
        Args:
            thresholds: minimum probability by class, instead of the trained one.
        """
        self._model = model
        self._predict = predictor(model)
        self._clock = clock
        trained = {
            name: max(value, _MIN_THRESHOLDS.get(name, 0.0))
            for name, value in model.thresholds.items()
        }
        self._thresholds = {**trained, **(thresholds or {})}

    def vote(self, features: Features) -> Verdict:
        started = self._clock.monotonic()
        model = self._model
        prediction = self._predict(features)
        p, p_primary = max(prediction.p), prediction.p[_PRIMARY]
        name = CLASSES[prediction.p.index(p)]
        needed = self._thresholds[name]
        doubt = self._doubt(features, prediction.unseen_ratio) or _doubt_of(name, features)
        ms = (self._clock.monotonic() - started) * 1000
        label = guess = None
        if doubt:
            reason = doubt
        elif p < needed:
            guess = _label(name, features)
            reason = f"the probability of {name} is below the threshold"
        else:
            label = _label(name, features)
            reason = f"model {model.version}"
            if name == "META":
                reason += ": like a frontend's internal prompt, but no rule matched; stays local"
        return Verdict(NAME, label, p, needed, ms, reason=reason, guess=guess, p_primary=p_primary)

    def _doubt(self, features: Features, unseen_ratio: float) -> str:
        """Why the tier must abstain at any probability; empty if there is no reason."""
        ask = features.ask
        if features.has_images:
            return "the request contains images, which the model cannot read"
        if is_follow_up(features):
            return "a short follow-up that depends on earlier turns"
        if len(ask) > self._model.limits["max_chars"]:
            return "longer than the training prompts"
        if unseen_ratio > self._model.limits["max_strange"]:
            return f"{unseen_ratio:.0%} of the n-grams do not occur in the training data"
        if _contains_label(
            ask if len(ask) <= 2 * _LABEL_CHARS else f"{ask[:_LABEL_CHARS]} {ask[-_LABEL_CHARS:]}"
        ):
            return "the text contains a label or addresses the router"
        return ""


def _doubt_of(name: str, features: Features) -> str:
    """Why the tier must not decide this class; empty if there is no reason."""
    if name == "META" and (features.has_tools or features.agent):
        return "a request from an agent, or with tools, cannot be META"
    if name in ("ENRICH", "COMPLEX") and may_be_a_programs(features):
        return "may be a frontend's internal prompt: no search and no cloud on a guess"
    if name == "PRIMARY" and _may_be_hard(features.ask):
        return "proofs and large programs may be harder than they seem"
    return ""


def _contains_label(text: str) -> bool:
    """Whether it contains a label or addresses the router. Parts of words, which are found quickly,
    decide whether the pattern is searched for."""
    lower = text.lower()
    hinted = any(hint in lower for hint in _LABEL_HINTS) or any(
        label in text for label in ROUTE_OF_LABEL
    )
    return hinted and _LABEL.search(text) is not None


def _may_be_hard(ask: str) -> bool:
    ends = (ask,) if len(ask) <= 2 * _HARD_ENDS else (ask[:_HARD_ENDS], ask[-_HARD_ENDS:])
    return any(
        _HARD.search(end)
        for end in map(str.lower, ends)
        if any(hint in end for hint in _HARD_HINTS)
    )


def _label(name: str, features: Features) -> str:
    """The label for a class: PRIMARY has two, and META is left to the rules."""
    if name == "META":
        return DEFAULT_LABEL
    if name != "PRIMARY":
        return name
    simple = len(features.ask) < _SIMPLE_CHARS and not features.previous
    return "SIMPLE" if simple else DEFAULT_LABEL
