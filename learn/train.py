"""Train, measure and write the learned model: `python -m learn.train` (or `make train`).
Deterministic.

1. For each group of origins: train without it, on each prompt as it is and in another shape
   (`shapes.py`), score it, note how much of it is unseen.
2. Find one temperature and the thresholds on these scores; each group is measured with a
   temperature and thresholds that were made without it.
3. Train on everything; write weights and card to `data/model/`.
"""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import os
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from airouter.classify.features import is_follow_up
from airouter.classify.learned.text_features import encode
from airouter.classify.learned.text_model import (
    CALIBRATION_ROWS,
    Model,
    calibration_rows,
    save_model,
    softmax,
    unseen,
)
from learn import card
from learn.data import CLASSES, ROOT, Prompt, read_prompts
from learn.fit import Matrix, Recipe, fit, matrix_of, scores_of
from learn.shapes import reshaped
from learn.thresholds import META, PRIMARY, Bools, Budgets, Floats, Truth, choose

OUT = ROOT / "data" / "model"
MAX_CHARS = 4000  # nothing longer was trained on
MAX_STRANGE = 1.0  # any share of n-grams never seen: a lower one shut out most Chinese text
GROUPS = 6  # of origins that are left out together


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


def groups_of(truth: Truth) -> list[NDArray[np.str_]]:
    """The origins in groups of about as many prompts."""
    names, sizes = np.unique(truth.origin, return_counts=True)
    order = names[np.argsort(-sizes, kind="stable")]
    return [order[start::GROUPS] for start in range(GROUPS)]


def leave_origins_out(matrix: Matrix, truth: Truth, recipe: Recipe, workers: int) -> Scored:
    """Scores of all prompts, each from a model trained without the prompt's group of origins.

    Args:
        matrix: the prompts, then their copies in the same order.
    """
    names = groups_of(truth)
    n = len(truth.label)
    scores, strange = np.zeros((n, len(CLASSES)), np.float32), np.zeros(n, np.float32)
    with ProcessPoolExecutor(workers, initializer=_share, initargs=(matrix, truth, recipe)) as pool:
        for name, (rows, *found) in zip(names, pool.map(_held_out, names), strict=True):
            scores[rows], strange[rows] = found
            print(f"  without {', '.join(name)}: {len(rows)} prompts scored", flush=True)
    return Scored(scores, strange, matrix.dense[:n, 0])


_shared: list[Any] = []  # in each worker process: matrix, truth, recipe


def _share(*found: Any) -> None:
    _shared[:] = found


def _held_out(
    names: NDArray[np.str_],
) -> tuple[NDArray[np.int64], NDArray[np.float32], list[float]]:
    matrix, truth, recipe = _shared
    inside = np.isin(truth.origin, names)
    rows = np.flatnonzero(inside)
    fitted = fit_with_copies(matrix, truth, np.flatnonzero(~inside), recipe)
    strange = [unseen(matrix.hashes[row], fitted.seen, recipe.spec.seen_bits) for row in rows]
    return rows, scores_of(fitted, matrix, rows), strange


def fit_with_copies(matrix: Matrix, truth: Truth, rows: NDArray[np.int64], recipe: Recipe) -> Model:
    """Weights from these prompts and their copies."""
    n, versions = len(truth.label), 1 + recipe.copies
    targets = np.tile(targets_of(truth), (versions, 1))
    return fit(matrix, targets, np.concatenate([rows + n * k for k in range(versions)]), recipe)


def calibrate(scored: Scored, truth: Truth, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(16, 4): from `calibration_rows` to calibrated scores. One temperature: of more parameters,
    origins never seen got worse."""
    targets = targets_of(truth)[rows]
    centred = scored.rows(rows)[:, :4]

    def loss(temperature: float) -> float:
        p = softmax(centred / np.float32(temperature))
        return -float((targets * np.log(np.maximum(p, 1e-12))).sum())

    best = minimize_scalar(loss, bounds=(0.2, 10), method="bounded").x
    weights = np.zeros((CALIBRATION_ROWS, len(CLASSES)), np.float32)
    weights[: len(CLASSES)] = np.eye(len(CLASSES), dtype=np.float32) / np.float32(best)
    return weights


def routed(truth: Truth) -> Truth:
    """What is right of a decision: a frontend's own prompt that the rules do not know is answered
    by the primary."""
    accepted = truth.accepted.copy()
    accepted[truth.label == META, PRIMARY] = True
    return replace(truth, accepted=accepted)


def calibrated(scored: Scored, calibration: NDArray[np.float32], rows: NDArray[np.int64]) -> Floats:
    return softmax(scored.rows(rows) @ calibration).astype(np.float64)


def decides(p: Floats, open_: Bools, thresholds: dict[str, float]) -> Bools:
    needed = np.array([thresholds[name] for name in CLASSES])
    return np.asarray(open_ & (p.max(1) >= needed[p.argmax(1)]), np.bool_)


def honest(scored: Scored, truth: Truth, open_: Bools, budgets: Budgets) -> tuple[Floats, Bools]:
    """Probabilities and decisions per prompt, with calibration and thresholds made without its
    group of origins."""
    p, decided = np.zeros(scored.scores.shape), np.zeros(len(open_), np.bool_)
    for names in groups_of(truth):
        inside = np.flatnonzero(np.isin(truth.origin, names))
        outside = np.flatnonzero(~np.isin(truth.origin, names))
        calibration = calibrate(scored, truth, outside)
        p_outside = calibrated(scored, calibration, outside)
        thresholds = choose(p_outside, open_[outside], routed(truth.at(outside)), budgets)
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
    chance = random.Random(recipe.seed)
    copies = [reshaped(one, chance) for _ in range(recipe.copies) for one in features]
    matrix = matrix_of([encode(one, recipe.spec) for one in (*features, *copies)], recipe.spec)
    print(
        f"{len(prompts)} prompts, {matrix.grams.nnz:,} n-grams with those of their copies; "
        f"leaving out a group of origins at a time, {GROUPS} in all",
        flush=True,
    )
    scored = leave_origins_out(matrix, truth, recipe, workers)
    open_ = np.array([not is_follow_up(one) for one in features]) & (scored.strange <= MAX_STRANGE)
    p, decided = honest(scored, truth, open_, budgets)
    everything = np.arange(len(prompts))
    calibration = calibrate(scored, truth, everything)
    p_all = calibrated(scored, calibration, everything)
    thresholds = choose(p_all, open_, routed(truth), budgets)
    print("training on everything", flush=True)
    model = replace(
        fit_with_copies(matrix, truth, everything, recipe),
        calibration=calibration,
        thresholds=thresholds,
        limits={"max_strange": MAX_STRANGE, "max_chars": MAX_CHARS},
        version=version,
    )
    save_model(model, out)
    print(
        card.write(
            out,
            prompts=prompts,
            p=p,
            decided=decided,
            truth=routed(truth),
            model=model,
            recipe=recipe,
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
    parser.add_argument("--version", default="2", help="name of the model in verdicts and the card")
    chosen = parser.parse_args(arguments)
    return train(chosen.out, Recipe(), chosen.workers, chosen.version)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
