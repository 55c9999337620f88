"""Train, measure and write the learned model: `python -m learn.train` (or `make train`).
Deterministic.

1. For each origin: train without it, score it, note how much of it is unseen.
2. Calibrate and choose thresholds on these scores; each origin is measured with a calibration and
   thresholds that were made without it.
3. Train on everything; write weights and card to `data/model/`.
"""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airouter.classify.features import is_follow_up
from airouter.classify.learned.text_features import encode
from airouter.classify.learned.text_model import calibration_rows, save_model, softmax, unseen
from learn import card
from learn.data import CLASSES, ROOT, Prompt, read_prompts
from learn.fit import Matrix, Recipe, fit, matrix_of, multinomial, scores_of
from learn.thresholds import Bools, Budgets, Floats, Truth, choose

OUT = ROOT / "data" / "model"
MAX_CHARS = 4000  # nothing longer was trained on
MAX_STRANGE = (
    0.55  # share of n-grams never seen; above it harmful errors are several times as frequent
)


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores (n, 4) and strangeness (n,), each row from a model that was trained without the row's
    origin; lengths (n,)."""

    scores: NDArray[np.float32]
    strange: NDArray[np.float32]
    log_chars: NDArray[np.float32]

    def rows(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        return calibration_rows(self.scores[at], self.strange[at], self.log_chars[at])


def truth_of(prompts: Sequence[Prompt]) -> Truth:
    label = np.array([CLASSES.index(prompt.label) for prompt in prompts])
    accepted = np.array([[name in prompt.accepted for name in CLASSES] for prompt in prompts])
    return Truth(label, accepted, np.array([prompt.origin for prompt in prompts]))


def targets_of(truth: Truth) -> NDArray[np.float32]:
    """One-hot; where a second label is acceptable, half each."""
    return np.asarray(truth.accepted / truth.accepted.sum(1, keepdims=True), np.float32)


def leave_origins_out(matrix: Matrix, truth: Truth, recipe: Recipe, workers: int) -> Scored:
    """Scores of all prompts, each from a model trained without the prompt's origin."""
    names = np.unique(truth.origin)
    n = len(truth.label)
    scores, strange = np.zeros((n, len(CLASSES)), np.float32), np.zeros(n, np.float32)
    with ProcessPoolExecutor(workers, initializer=_share, initargs=(matrix, truth, recipe)) as pool:
        for name, (rows, *found) in zip(names, pool.map(_held_out, names), strict=True):
            scores[rows], strange[rows] = found
            print(f"  without {name}: {len(rows)} prompts scored", flush=True)
    return Scored(scores, strange, matrix.dense[:, 0])


_shared: list[Any] = []  # in each worker process: matrix, truth, recipe


def _share(*found: Any) -> None:
    _shared[:] = found


def _held_out(name: str) -> tuple[NDArray[np.int64], NDArray[np.float32], list[float]]:
    matrix, truth, recipe = _shared
    rows = np.flatnonzero(truth.origin == name)
    fitted = fit(matrix, targets_of(truth), np.flatnonzero(truth.origin != name), recipe)
    strange = [unseen(matrix.hashes[row], fitted.seen, recipe.spec.seen_bits) for row in rows]
    return rows, scores_of(fitted, matrix, rows), strange


def calibrate(scored: Scored, truth: Truth, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(16, 4): from `calibration_rows` to calibrated scores."""
    weights, bias = multinomial(scored.rows(rows), targets_of(truth)[rows], 1.0, 200)
    weights[-1] += bias  # the last of the rows is one
    return weights


def calibrated(scored: Scored, calibration: NDArray[np.float32], rows: NDArray[np.int64]) -> Floats:
    return softmax(scored.rows(rows) @ calibration).astype(np.float64)


def decides(p: Floats, open_: Bools, thresholds: dict[str, float]) -> Bools:
    needed = np.array([thresholds[name] for name in CLASSES])
    return np.asarray(open_ & (p.max(1) >= needed[p.argmax(1)]), np.bool_)


def honest(scored: Scored, truth: Truth, open_: Bools, budgets: Budgets) -> tuple[Floats, Bools]:
    """Probabilities and decisions per prompt, with calibration and thresholds made without its
    origin."""
    p, decided = np.zeros(scored.scores.shape), np.zeros(len(open_), np.bool_)
    for name in np.unique(truth.origin):
        inside, outside = np.flatnonzero(truth.origin == name), np.flatnonzero(truth.origin != name)
        calibration = calibrate(scored, truth, outside)
        thresholds = choose(
            calibrated(scored, calibration, outside), open_[outside], truth.at(outside), budgets
        )
        p[inside] = calibrated(scored, calibration, inside)
        decided[inside] = decides(p[inside], open_[inside], thresholds)
    return p, decided


def train(out: Path, recipe: Recipe, workers: int, version: str) -> int:
    prompts, faults = read_prompts()
    if faults or not prompts:
        said = faults[0] if faults else "there is none"
        print(f"The data cannot be used: {said} (python -m learn.check_data).", file=sys.stderr)
        return 1
    features = [prompt.features for prompt in prompts]
    truth, budgets = truth_of(prompts), Budgets()
    matrix = matrix_of([encode(one, recipe.spec) for one in features], recipe.spec)
    print(
        f"{len(prompts)} prompts, {matrix.grams.nnz:,} n-grams; leaving out one origin at a time",
        flush=True,
    )
    scored = leave_origins_out(matrix, truth, recipe, workers)
    open_ = np.array([not is_follow_up(one) for one in features]) & (scored.strange <= MAX_STRANGE)
    p, decided = honest(scored, truth, open_, budgets)
    everything = np.arange(len(prompts))
    calibration = calibrate(scored, truth, everything)
    thresholds = choose(calibrated(scored, calibration, everything), open_, truth, budgets)
    print("training on everything", flush=True)
    model = replace(
        fit(matrix, targets_of(truth), everything, recipe),
        calibration=calibration,
        thresholds=thresholds,
        limits={"max_strange": MAX_STRANGE, "max_chars": MAX_CHARS},
        version=version,
    )
    save_model(model, out)
    print(
        card.write(
            out, prompts=prompts, p=p, decided=decided, truth=truth, model=model, recipe=recipe
        )
    )
    print(f"written to {out}")
    return 0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="learn.train", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the model")
    parser.add_argument(
        "--workers", type=int, default=min(4, os.cpu_count() or 1), help="processes"
    )
    parser.add_argument("--version", default="1", help="name of the model in verdicts and the card")
    chosen = parser.parse_args(arguments)
    return train(chosen.out, Recipe(), chosen.workers, chosen.version)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
