"""The results of `evaluate` as figures, for JSON and for the report."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from airouter.domain.labels import CLASSES
from airouter.evaluation.groups import SHAPE_GROUPS, by, classifier_away, error_kinds
from airouter.evaluation.measures import (
    calibration_error,
    curve,
    lower_bound,
    percentile,
    upper_bound,
)
from airouter.evaluation.outcome import Outcome


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All results. Shares are in 0..1, durations in ms; bounds are one-sided at 95 % confidence."""
    covered = [one for one in outcomes if one.covered]
    k = len(covered)
    right, bad = sum(one.right for one in covered), sum(one.harmful for one in covered)
    cloud = sum(
        one.decided == "COMPLEX" and one.label in ("PRIMARY", "META") and not one.right
        for one in covered
    )
    meta = [one for one in outcomes if one.label == "META"]
    others = [one for one in outcomes if one.label != "META"]
    judged = [one for one in outcomes if one.p is not None and one.guess is not None]
    confidence = np.array([one.p for one in judged], np.float64)
    hits = np.array([one.guess in one.accepted for one in judged], np.bool_)
    harmless = np.array([not (one.hard and one.guess == "PRIMARY") for one in judged], np.bool_)
    return {
        "n": len(outcomes),
        "covered": k,
        "coverage": k / len(outcomes) if outcomes else 0.0,
        "accuracy_on_covered": right / k if k else None,
        "accuracy_lower_95": lower_bound(right, k),
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
        "error_kinds": error_kinds(outcomes),
        "classifier_away": classifier_away(outcomes),
        "by_shape": by(outcomes, lambda one: one.shapes, SHAPE_GROUPS),
        "by_language": by(outcomes, lambda one: (one.lang,)),
        "by_class": by(outcomes, lambda one: (one.label,), CLASSES),
        "by_origin": by(outcomes, lambda one: (one.origin,) if one.origin else ()),
        "confusion": confusion(outcomes),
        "curve": curve(confidence, hits) if judged else [],
        "harmless_curve": curve(confidence, harmless) if judged else [],
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
    right, found = sum(one.right for one in decided), sum(one.decided == name for one in true)
    return {
        "n": len(true),
        "decided": len(decided),
        "precision": right / len(decided) if decided else None,
        "precision_lower_95": lower_bound(right, len(decided)),
        "recall": found / len(true) if true else None,
        "recall_lower_95": lower_bound(found, len(true)),
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
