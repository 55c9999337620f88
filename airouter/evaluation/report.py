"""The results of `evaluate`, as figures for JSON and as text."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from airouter.domain.labels import CLASSES
from airouter.evaluation.measures import calibration_error, curve, percentile, upper_bound

_HARD = frozenset({"COMPLEX", "ENRICH"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision on one prompt.

    `label`: the correct class; `accepted`: all acceptable ones. `decided`: the class decided; None
    if no tier decided. `covered`: whether it was decided without a model call. `guess`: the most
    probable class, even if the tier abstained, and `p` its probability. `ms`: duration by tier.
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

    @property
    def right(self) -> bool:
        """Whether the decision is acceptable."""
        return self.decided in self.accepted

    @property
    def harmful(self) -> bool:
        """Whether a prompt for the cloud or a web search was answered by the primary."""
        return self.decided == "PRIMARY" and self.label in _HARD and "PRIMARY" not in self.accepted


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All results. Shares are in 0..1, durations in ms; bounds are one-sided at 95 % confidence."""
    covered = [one for one in outcomes if one.covered]
    k = len(covered)
    bad = sum(one.harmful for one in covered)
    cloud = sum(
        one.decided == "COMPLEX" and one.label in ("PRIMARY", "META") and not one.right
        for one in covered
    )
    meta = [one for one in outcomes if one.label == "META"]
    others = [one for one in outcomes if one.label != "META"]
    judged = [one for one in outcomes if one.p is not None and one.guess is not None]
    confidence = np.array([one.p for one in judged], np.float64)
    hits = np.array([one.guess in one.accepted for one in judged], np.bool_)
    return {
        "n": len(outcomes),
        "covered": k,
        "coverage": k / len(outcomes) if outcomes else 0.0,
        "accuracy_on_covered": sum(one.right for one in covered) / k if k else None,
        "harmful_on_covered": bad / k if k else 0.0,
        "harmful_upper_95": upper_bound(bad, k),
        "cloud_instead_of_local": cloud / k if k else 0.0,
        "meta_recall": sum(one.decided == "META" for one in meta) / len(meta) if meta else None,
        "meta_false_rate": sum(one.decided == "META" and not one.right for one in others)
        / len(others)
        if others
        else None,
        "ece": calibration_error(confidence, hits) if judged else None,
        "judged": len(judged),
        "decision_ms": {
            "p50": percentile([one.total_ms for one in outcomes], 0.5),
            "p99": percentile([one.total_ms for one in outcomes], 0.99),
        },
        "tiers": _tiers(outcomes),
        "classes": {name: _class(name, outcomes) for name in CLASSES},
        "confusion": confusion(outcomes),
        "curve": curve(confidence, hits) if judged else [],
        "errors": dict(Counter(one.error for one in outcomes if one.error)),
    }


def confusion(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """Counts by correct class, then by decided class or "abstained"."""
    counts = Counter((one.label, one.decided or "abstained") for one in outcomes)
    return {
        label: {name: counts[label, name] for name in (*CLASSES, "abstained")} for label in CLASSES
    }


def _class(name: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    decided = [one for one in outcomes if one.decided == name]
    true = [one for one in outcomes if one.label == name]
    return {
        "n": len(true),
        "decided": len(decided),
        "precision": sum(one.right for one in decided) / len(decided) if decided else None,
        "recall": sum(one.decided == name for one in true) / len(true) if true else None,
    }


def _tiers(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    names = list(dict.fromkeys(name for one in outcomes for name in one.ms))
    out = {}
    for name in names:
        times = [one.ms[name] for one in outcomes if name in one.ms]
        decided = sum(one.tier == name for one in outcomes)
        out[name] = {
            "asked": len(times),
            "decided": decided,
            "p50_ms": percentile(times, 0.5),
            "p99_ms": percentile(times, 0.99),
        }
    return out


def text(found: dict[str, Any]) -> str:
    """The report for a terminal."""
    lines = [
        f"{found['n']} prompts; decided without a model call (covered): {found['covered']} "
        f"({found['coverage']:.1%})",
        f"accuracy on covered          {share(found['accuracy_on_covered'])}",
        f"harmful on covered           {share(found['harmful_on_covered'])}   "
        f"upper 95 % bound {share(found['harmful_upper_95'])}",
        f"cloud instead of local       {share(found['cloud_instead_of_local'])}",
        f"META recall / false META     {share(found['meta_recall'])} / "
        f"{share(found['meta_false_rate'])}",
        f"calibration error            {share(found['ece'])}   "
        f"(15 bins of equal size, {found['judged']} prompts)",
        f"decision time                p50 {found['decision_ms']['p50']:.3f} ms, "
        f"p99 {found['decision_ms']['p99']:.3f} ms",
        "",
        f"{'class':10s}{'prompts':>9s}{'decided':>9s}{'precision':>11s}{'recall':>9s}",
    ]
    for name, row in found["classes"].items():
        lines.append(
            f"{name:10s}{row['n']:9d}{row['decided']:9d}"
            f"{share(row['precision']):>11s}{share(row['recall']):>9s}"
        )
    lines += ["", f"{'tier':12s}{'asked':>8s}{'decided':>9s}{'p50 ms':>10s}{'p99 ms':>10s}"]
    for name, row in found["tiers"].items():
        lines.append(
            f"{name:12s}{row['asked']:8d}{row['decided']:9d}"
            f"{row['p50_ms']:10.3f}{row['p99_ms']:10.3f}"
        )
    heads = (*CLASSES, "abstained")
    lines += [
        "",
        "correct class, and what was decided:",
        f"{'':10s}" + "".join(f"{name:>11s}" for name in heads),
    ]
    lines += [
        f"{label:10s}" + "".join(f"{row[name]:11d}" for name in heads)
        for label, row in found["confusion"].items()
    ]
    if found["curve"]:
        lines += ["", "accuracy if only the most confident predictions count (coverage: accuracy):"]
        lines.append(
            "  ".join(
                f"{covered:.0%}: {accuracy:.1%}" for covered, accuracy in found["curve"][1::2]
            )
        )
    lines += [
        f"undecided because of an error: {error} ({n})" for error, n in found["errors"].items()
    ]
    return "\n".join(lines)


def share(value: float | None) -> str:
    """A share, 0..1, as a percentage; "-" for None."""
    return "-" if value is None else f"{value:.2%}"
