"""The gate: may a new model run? Judged on the newest examples, which it was not trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airouter.domain.labels import CLASS_OF_LABEL
from airouter.evaluation.measures import lower_bound, upper_bound

AGREEMENT = 0.97  # with the classifier, of what the model covers
HARMFUL = 0.01  # of it
# Covered examples: without a harmful error among them, the upper bound (95 %) of harmful ones is
# 1 %.
LEAST = 300
GATE_SHARE = 1 / 3  # of all examples, the newest


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of examples. `before`: covered by the model in service. `agreed`, `harmful`: of those
    that the new one covers."""

    n: int
    covered: int
    agreed: int
    harmful: int
    before: int

    def as_json(self) -> dict[str, Any]:
        """For the card: with shares of 1, and one-sided bounds at 95 %."""
        k = max(self.covered, 1)
        return {
            "n": self.n,
            "covered": self.covered,
            "coverage": self.covered / max(self.n, 1),
            "coverage_in_service": self.before / max(self.n, 1),
            "agreement": self.agreed / k,
            "agreement_lower": lower_bound(self.agreed, self.covered),
            "harmful": self.harmful / k,
            "harmful_upper": upper_bound(self.harmful, self.covered),
        }


def figures(
    truth: Sequence[str], decided: Sequence[str | None], before: Sequence[str | None]
) -> Figures:
    """The figures of a model on examples.

    Args:
        truth: the classifier's labels.
        decided: the model's; None where it abstains. `before`: of the model in service.
    """
    covered = [(said, label) for said, label in zip(truth, decided, strict=True) if label]
    return Figures(
        n=len(truth),
        covered=len(covered),
        agreed=sum(agrees(said, label) for said, label in covered),
        harmful=sum(is_harmful(said, label) for said, label in covered),
        before=sum(label is not None for label in before),
    )


def agrees(said: str, label: str) -> bool:
    """Whether a decision is in the class of the classifier's label."""
    return CLASS_OF_LABEL[said] == CLASS_OF_LABEL[label]


def is_harmful(said: str, label: str) -> bool:
    """Whether a hard ask was decided for the primary (as in `learn/thresholds.py`)."""
    return CLASS_OF_LABEL[label] == "PRIMARY" and CLASS_OF_LABEL[said] in ("COMPLEX", "ENRICH")


def refusals(found: Figures) -> list[str]:
    """One sentence per reason why the model must not run; none if it passed."""
    if found.covered < LEAST:
        return [_too_few(found)]
    agreement, harmful = found.agreed / found.covered, found.harmful / found.covered
    reasons = []
    if agreement < AGREEMENT:
        reasons.append(f"it agrees with the classifier in {agreement:.1%}, below {AGREEMENT:.0%}")
    if harmful > HARMFUL:
        reasons.append(f"{harmful:.1%} of its decisions are harmful, above {HARMFUL:.0%}")
    if found.covered < found.before:
        reasons.append(f"it covers {found.covered} examples, the model in service {found.before}")
    return reasons


def _too_few(found: Figures) -> str:
    told = f"it covers {found.covered} of the {found.n} newest examples, and {LEAST} are needed"
    if not found.covered:
        return f"{told}; no threshold made it agree often enough"
    missing = math.ceil((LEAST - found.covered) * found.n / found.covered / GATE_SHARE)
    return f"{told}: about {missing:,} examples are missing"
