"""Settings of the routing decision: the tiers, in order, and each tier's own."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from airouter.domain.labels import CACHE_SECONDS
from airouter.settings.section import Seconds, Section

Probability = Annotated[float, Field(ge=0.5, le=1)]
# From here on a local search is more often wanted than not, with a margin for calibration.
_LOCAL_ENRICH = 0.6

ContextTurns = Annotated[
    int, Field(ge=0, le=50, description="Number of earlier turns sent to the classifier.")
]


class ClassifierTier(Section):
    """A tier that calls a backend as classifier."""

    backend: str = Field("router", description="Backend used as classifier.")
    timeout: Seconds
    prompt: str
    max_chars: int = Field(
        4000,
        ge=200,
        description="Maximum characters of the user's request sent to the classifier; the middle "
        "is cut.",
    )
    context_turns: ContextTurns


class ReasoningTierSettings(ClassifierTier):
    """The tier whose classifier reasons before it answers with a label."""

    timeout: Seconds = Field(
        10, description="Classifier timeout in seconds; after it the primary route is taken."
    )
    prompt: str = Field(
        "classifier/system",
        description="Classification prompt. Static, so that the backend can cache its prefix.",
    )
    context_turns: ContextTurns = 4
    max_tokens: int = Field(
        1024,
        ge=16,
        le=1_000_000,
        description="Maximum tokens the classifier may generate, including reasoning; the tier "
        "abstains if they contain no label. Typical: 200 to 400.",
    )


class OneTokenTierSettings(ClassifierTier):
    """The tier whose classifier answers with one constrained token."""

    backend: str = Field(
        "router", description="Backend used as classifier; its answer is one constrained token."
    )
    timeout: Seconds = Field(
        2, description="Classifier timeout in seconds; after it the next tier decides."
    )
    prompt: str = Field("classifier/one_token", description="Classification prompt. Static.")
    context_turns: ContextTurns = 2
    min_p: float = Field(
        0.8,
        ge=0.5,
        le=1,
        description="Minimum probability of the label; below it the tier abstains.",
    )


Threshold = Annotated[float, Field(ge=0.5, le=1)]


class DecisionThresholds(Section):
    """Minimum probabilities of a decision model's labels; below them its tier abstains.

    By default 1 minus the budget for wrong decisions in docs/routes.md: 2 % + 2 % for PRIMARY, 3 %
    for COMPLEX. ENRICH, which has none of its own and also leaves the machine, is as COMPLEX. A
    calibrated model then keeps the budget with each decision.
    """

    primary: Threshold = Field(
        0.96, description="Minimum probability of SIMPLE and MODERATE together."
    )
    complex: Threshold = Field(0.97, description="Minimum probability of COMPLEX.")
    enrich: Threshold = Field(0.97, description="Minimum probability of ENRICH.")

    def of_class(self, name: str) -> float:
        """The threshold of a class that a classifier may answer with."""
        return {"COMPLEX": self.complex, "ENRICH": self.enrich}.get(name, self.primary)


class DecisionModelTierSettings(ClassifierTier):
    """The tier that asks a decision model. Off unless `cascade.tiers` has `decision_model`."""

    backend: str = Field(
        "router",
        description="Backend that serves the decision model; used if `cascade.tiers` has "
        "`decision_model`. If it is a cloud, every request that the tiers before it leave open is "
        "sent there.",
    )
    endpoint: Literal["systemone", "decisions"] = Field(
        "systemone",
        description="The API that it serves, `/v1/systemone` or `/v1/decisions`.",
    )
    timeout: Seconds = Field(
        2, description="Decision model's timeout in seconds; after it the next tier decides."
    )
    prompt: str = Field(
        "classifier/one_token",
        description="Classification prompt: its lines `LABEL: …` become the options' descriptions, "
        "the rest the instructions.",
    )
    context_turns: ContextTurns = 2
    min_p: DecisionThresholds = Field(default_factory=lambda: DecisionThresholds())


class LearnedTierSettings(Section):
    """The tier that runs a small text classifier."""

    model: Path = Field(Path("data/model"), description="Directory of the learned model.")


class TunedTierSettings(Section):
    """The tier whose model is tuned on the router's own sessions (docs/learning.md)."""

    enabled: bool = Field(
        False,
        description="Run the tuned models that passed the gate: in shadow, or in service once "
        "promoted.",
    )
    dir: Path = Field(
        Path("logs/tuned"), description="Directory of the examples and of the tuned models."
    )
    max_examples: int = Field(
        20_000,
        ge=100,
        le=1_000_000,
        description="Maximum number of examples; the oldest are deleted first.",
    )
    max_age_days: float = Field(
        90, gt=0, description="Maximum age of examples in days; older ones are deleted."
    )
    checks_per_week: int = Field(
        200,
        ge=50,
        le=10_000,
        description="Maximum number of the tuned model's decisions per week about which the idle "
        "classifier is asked afterwards, while such a model is in service.",
    )


class EncoderTierSettings(Section):
    """The tier that classifies a sentence embedding, computed in the router's process."""

    model: Path = Field(
        Path("data/model/encoder.npz"), description="The classification head on the embedding."
    )
    queue: int = Field(
        4,
        ge=1,
        le=100,
        description="Maximum number of requests in each worker that wait for the encoder; the next "
        "one goes to the next tier at once.",
    )
    timeout: Seconds = Field(
        1, description="Encoder timeout in seconds, with waiting; after it the next tier decides."
    )


class CacheTierSettings(Section):
    """The tier that reuses earlier decisions."""

    size: int = Field(10_000, ge=1, description="Maximum number of cached decisions.")
    local_s: Seconds = Field(
        CACHE_SECONDS["COMPLEX"],
        description="TTL of a cached PRIMARY or COMPLEX decision, in seconds.",
    )
    enrich_s: Seconds = Field(
        CACHE_SECONDS["ENRICH"], description="TTL of a cached ENRICH decision, in seconds."
    )


class FallbackSettings(Section):
    """The probabilities from which on a guess decides when no tier did, by what an error costs. A
    single number is both."""

    complex: Probability = Field(
        0.9,
        description="If no tier has decided, and the last one is unavailable: from this "
        "probability on, a guess of COMPLEX is followed. With no guess that reaches its "
        "probability, the primary answers. A number as `cascade.fallback_min_p` is for both.",
    )
    enrich: Probability | None = Field(
        None,
        description="The same for ENRICH. None: 0.6 if the search backend is local, since a "
        "needless search then stays at home; otherwise as for COMPLEX.",
    )

    def for_enrich(self, local: bool) -> float:
        """The threshold for ENRICH, with a local or another search backend."""
        if self.enrich is not None:
            return self.enrich
        return min(_LOCAL_ENRICH, self.complex) if local else self.complex


class CascadeSettings(Section):
    """The routing decision."""

    tiers: tuple[str, ...] = Field(
        ("rules", "cache", "learned", "tuned", "encoder", "one_token", "reasoning"),
        description="Tiers, in order; the first that does not abstain decides. `encoder` needs "
        "`pip install -r requirements-encoder.txt` and is left out without it. "
        "`decision_model`, which is not in the default, asks a decision model.",
    )
    reasoning: ReasoningTierSettings = Field(default_factory=lambda: ReasoningTierSettings())
    one_token: OneTokenTierSettings = Field(default_factory=lambda: OneTokenTierSettings())
    decision_model: DecisionModelTierSettings = Field(
        default_factory=lambda: DecisionModelTierSettings()
    )
    learned: LearnedTierSettings = Field(default_factory=lambda: LearnedTierSettings())
    tuned: TunedTierSettings = Field(default_factory=lambda: TunedTierSettings())
    encoder: EncoderTierSettings = Field(default_factory=lambda: EncoderTierSettings())
    cache: CacheTierSettings = Field(default_factory=lambda: CacheTierSettings())
    fallback_min_p: FallbackSettings = Field(
        default_factory=lambda: FallbackSettings(),
        description="If the last tier is unavailable, the most probable label so far is used when "
        "it has at least this probability; otherwise the primary route.",
    )
    patience: Seconds | None = Field(
        None,
        description="Seconds after which a finished speculative answer no longer waits for the "
        "classifier: its call is cancelled and the decision falls back. None: 3, or twice the "
        "95th percentile of recent classifier calls, whichever is longer.",
    )
    meta_max_chars: int = Field(
        112_000,
        ge=1000,
        description="Maximum characters of a META request; older history beyond it is dropped.",
    )

    @field_validator("fallback_min_p", mode="before")
    @classmethod
    def _one_number(cls, value: Any) -> Any:
        one = isinstance(value, int | float | str) and not isinstance(value, bool)
        return {"complex": value, "enrich": value} if one else value
