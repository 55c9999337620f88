"""The decision on one labelled prompt, compared with its label."""

from dataclasses import dataclass

_HARD = frozenset({"COMPLEX", "ENRICH"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision on one prompt.

    `label`: the correct class; `accepted`: all acceptable ones. `decided`: the class decided; None
    if no tier decided. `covered`: whether it was decided without a model call. `guess`: the most
    probable class, even if the tier abstained, and `p` its probability. `ms`: duration by tier.
    `lang`, `origin`: as the file states them. `shapes`: the groups of `groups.shapes_of()`. `away`:
    the class decided while no model server can be asked.
    """

    label: str
    accepted: frozenset[str]
    decided: str | None
    covered: bool
    tier: str | None
    p: float | None
    guess: str | None
    ms: dict[str, float]
    total_ms: float
    error: str = ""
    lang: str = ""
    origin: str = ""
    shapes: tuple[str, ...] = ()
    away: str | None = None

    @property
    def right(self) -> bool:
        """Whether the decision is acceptable."""
        return self.decided in self.accepted

    @property
    def hard(self) -> bool:
        """Whether the prompt is for the cloud or a web search, and for nothing else."""
        return self.label in _HARD and "PRIMARY" not in self.accepted

    @property
    def harmful(self) -> bool:
        """Whether a prompt for the cloud or a web search was answered by the primary."""
        return self.decided == "PRIMARY" and self.hard
