"""The results of `evaluate` as text for a terminal. "At least" and "at most" are one-sided bounds
at 95 % confidence."""

from collections.abc import Mapping
from typing import Any

from airouter.domain.labels import CLASSES

_COLUMNS = f"{'prompts':>9s}{'coverage':>10s}{'accuracy':>10s}{'at least':>9s}"
_HARM = f"{'harmful':>9s}{'at most':>9s}"
_HEADS = f"{{:26s}}{_COLUMNS}{_HARM}"


def text(found: dict[str, Any]) -> str:
    """The report for a terminal."""
    away = found["classifier_away"]
    lines = [
        f"{found['n']} prompts; decided without a model call (covered): {found['covered']} "
        f"({found['coverage']:.1%})",
        f"accuracy on covered          {share(found['accuracy_on_covered'])}   "
        f"lower 95 % bound {share(found['accuracy_lower_95'])}",
        f"harmful on covered           {share(found['harmful_on_covered'])}   "
        f"upper 95 % bound {share(found['harmful_upper_95'])}",
        f"META recall / false META     {share(found['meta_recall'])} / "
        f"{share(found['meta_false_rate'])}",
        f"without model servers        {share(away['accuracy'])} right of all, "
        f"lower 95 % bound {share(away['accuracy_lower_95'])};",
        f"{'':29s}{share(away['hard_answered_locally'])} of all are hard asks answered locally",
        f"calibration error            {share(found['ece'])}   "
        f"(15 bins of equal size, {found['judged']} prompts)",
        f"decision time                p50 {found['decision_ms']['p50']:.3f} ms, "
        f"p99 {found['decision_ms']['p99']:.3f} ms",
        "",
        f"{'class':10s}{'prompts':>9s}{'decided':>9s}{'precision':>11s}{'at least':>9s}"
        f"{'recall':>9s}{'at least':>9s}",
    ]
    for name, row in found["classes"].items():
        lines.append(
            f"{name:10s}{row['n']:9d}{row['decided']:9d}"
            f"{share(row['precision']):>11s}{share(row['precision_lower_95']):>9s}"
            f"{share(row['recall']):>9s}{share(row['recall_lower_95']):>9s}"
        )
    lines += ["", f"{'kind of error':26s}{'errors':>8s}{'of covered':>12s}{'at most':>9s}"]
    for name, row in found["error_kinds"].items():
        lines.append(
            f"{name:26s}{row['n']:8d}{share(row['share']):>12s}{share(row['upper_95']):>9s}"
            + ("   of the META prompts" if name == "meta_missed" else "")
        )
    for group in ("shape", "language", "class", "origin"):
        rows = found[f"by_{group}"]
        if len(rows) > 1:
            lines += ["", _HEADS.format(group), *(_row(name, one) for name, one in rows.items())]
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
    if found.get("changed"):
        lines += ["", *_changes(found["changed"])]
    lines += [
        f"undecided because of an error: {error} ({n})" for error, n in found["errors"].items()
    ]
    return "\n".join(lines)


def share(value: float | None) -> str:
    """A share, 0..1, as a percentage; "-" for None."""
    return "-" if value is None else f"{value:.2%}"


def _row(name: str, one: Mapping[str, Any]) -> str:
    return (
        f"{name:26s}{one['n']:9d}{one['coverage']:10.2%}{share(one['accuracy']):>10s}"
        f"{share(one['accuracy_lower_95']):>9s}{share(one['harmful']):>9s}"
        f"{share(one['harmful_upper_95']):>9s}"
    )


def _changes(changed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What each change of shape does, and which decisions it turns."""
    lines = [_HEADS.format("change of shape") + f"{'flips':>12s}{'share':>9s}{'at most':>9s}"]
    for name, one in changed.items():
        counted = f"{one['flipped']} of {one['both']}"
        lines.append(
            f"{_row(name, one)}{counted:>12s}{share(one['flip_share']):>9s}"
            f"{share(one['flip_upper_95']):>9s}"
        )
    lines.append("flips: another decision, of the prompts covered both as they are and changed")
    for name, one in changed.items():
        if one["moves"]:
            moves = ", ".join(f"{move} {n}" for move, n in one["moves"].items())
            lines.append(f"  {name}: {moves}")
    return lines
