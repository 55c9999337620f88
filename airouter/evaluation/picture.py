"""The chart of an evaluation: coverage/accuracy curve and confusion matrix. matplotlib is imported
on demand."""

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
    if found["curve"]:
        left.plot(
            [100 * x for x, _ in found["curve"]],
            [100 * y for _, y in found["curve"]],
            marker=".",
            label="most confident first",
        )
    if found["covered"]:
        left.plot(
            [100 * found["coverage"]],
            [100 * found["accuracy_on_covered"]],
            "o",
            markersize=9,
            label="at the thresholds",
        )
    left.axhline(95, linewidth=0.8, linestyle="--", color="grey")
    left.set(
        xlabel="covered, %",
        ylabel="accuracy on covered, %",
        title=f"Coverage and accuracy, {found['n']} prompts",
        xlim=(0, 100),
    )
    left.legend(loc="lower left")
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
