"""Tier 3: a small text classifier trained on labelled prompts (`learn/`), in under 1 ms.

It abstains if the probability is low, and where it is unreliable: on short follow-ups, on text
unlike its training data, on very long text, on text that contains a label, which may be an attempt
to instruct the router, and on proofs and large programs that it considers easy.

It never decides META. For a frontend's internal prompt that the rules do not know it decides
MODERATE, so that the prompt is answered locally, uncut, without a search and at normal priority.
Requests of agents, or with tools, never count as internal prompts. Instructions about a
conversation (`airouter.classify.machinery`) are never ENRICH or COMPLEX here, decided or guessed.
"""

from airouter.classify.doubts import doubt_about, doubt_of, label_of
from airouter.classify.learned.kernel import predictor
from airouter.classify.learned.text_features import is_cjk
from airouter.classify.learned.text_model import Model
from airouter.domain.clock import Clock
from airouter.domain.labels import CLASSES
from airouter.domain.types import Features, Verdict

NAME = "learned"
_PRIMARY = CLASSES.index("PRIMARY")
# Lower bounds of the trained thresholds: on prompts of other origins, PRIMARY was decided too
# readily (data/model/card.md states the cost in coverage).
_MIN_THRESHOLDS = {"PRIMARY": 0.96}


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
        self._thresholds_cjk = {**(model.thresholds_cjk or trained), **(thresholds or {})}

    def vote(self, features: Features) -> Verdict:
        started = self._clock.monotonic()
        model = self._model
        prediction = self._predict(features)
        p, p_primary = max(prediction.p), prediction.p[_PRIMARY]
        name = CLASSES[prediction.p.index(p)]
        needed = (self._thresholds_cjk if is_cjk(features.ask) else self._thresholds)[name]
        doubt = self._doubt(features, prediction.unseen_ratio) or doubt_of(name, features)
        ms = (self._clock.monotonic() - started) * 1000
        label = guess = None
        if doubt:
            reason = doubt
        elif p < needed:
            guess = label_of(name, features)
            reason = f"the probability of {name} is below the threshold"
        else:
            label = label_of(name, features)
            reason = f"model {model.version}"
            if name == "META":
                reason += ": like a frontend's internal prompt, but no rule matched; stays local"
        return Verdict(
            NAME, label, p, needed, ms, reason=reason, guess=guess, p_primary=p_primary,
            shares=prediction.p,
        )  # fmt: skip

    def _doubt(self, features: Features, unseen_ratio: float) -> str:
        """Why the tier must abstain at any probability; empty if there is no reason."""
        doubt = doubt_about(features, self._model.limits["max_chars"])
        if not doubt and unseen_ratio > self._model.limits["max_strange"]:
            doubt = f"{unseen_ratio:.0%} of the n-grams do not occur in the training data"
        return doubt
