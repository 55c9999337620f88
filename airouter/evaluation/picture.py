"""The chart of an evaluation: risk/coverage curve and confusion matrix. matplotlib is imported on
demand."""

from pathlib import Path
from typing import Any

from airouter.domain.errors import ConfigError
from airouter.domain.labels import CLASSES


def draw(found: dict[str, Any], path: Path) -> None:
    """Plot the results of `figures()` as a PNG.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError(
            "--png needs matplotlib; install requirements-dev.txt, or omit --png."
        ) from None
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_risk(left, found)
    heads = (*CLASSES, "abstained")
    counts = [[found["confusion"][label][name] for name in heads] for label in CLASSES]
    shares = [[n / max(1, sum(row)) for n in row] for row in counts]
    right.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    right.set_xticks(range(len(heads)), heads, rotation=25)
    right.set_yticks(range(len(CLASSES)), CLASSES)
    right.set(xlabel="decided", ylabel="label", title="Confusion")
    for i, row in enumerate(counts):
        for j, n in enumerate(row):
            right.text(
                j,
                i,
                str(n),
                ha="center",
                va="center",
                color="white" if shares[i][j] > 0.6 else "black",
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _draw_risk(axes: Any, found: dict[str, Any]) -> None:
    """Errors over coverage if only the most confident guesses count, and where the thresholds are,
    with the one-sided bounds at 95 %."""
    curves = (("all errors", "curve", "C0"), ("harmful errors", "harmless_curve", "C3"))
    for label, name, color in curves:
        points = found[name]
        if points:
            shares = [(100 * x, 100 * (1 - y)) for x, y in points]
            axes.plot(*zip(*shares, strict=True), marker=".", color=color, label=label)
    if found["covered"]:
        at, accuracy, harmful = (
            100 * found[name] for name in ("coverage", "accuracy_on_covered", "harmful_on_covered")
        )
        bounds = 100 * (1 - found["accuracy_lower_95"]), 100 * found["harmful_upper_95"]
        for risk, bound, color in zip((100 - accuracy, harmful), bounds, ("C0", "C3"), strict=True):
            axes.errorbar(
                [at], [risk], yerr=[[0], [bound - risk]], fmt="o", markersize=8, capsize=5,
                color=color, markeredgecolor="black",
            )  # fmt: skip
        axes.plot(
            [],
            [],
            "o",
            color="white",
            markeredgecolor="black",
            label="at the thresholds, and bound",
        )
    axes.set(
        xlabel="covered, %",
        ylabel="errors among the covered, %",
        title=f"Risk and coverage, {found['n']} prompts",
        xlim=(0, 100),
    )
    axes.set_ylim(bottom=0)
    axes.grid(linewidth=0.4, alpha=0.6)
    axes.legend(loc="upper left")
