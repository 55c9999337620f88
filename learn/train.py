"""Train, measure and write the learned model: `python -m learn.train` (or `make train`).
Deterministic.

1. For each group of origins: train without it, on each prompt as it is and in another shape, and
   score it, in the shapes of `evaluate --shape` too (`protocol.py`).
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
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from airouter.classify.learned.text_model import save_model
from learn import card
from learn.data import ROOT, read_prompts
from learn.fit import Recipe
from learn.protocol import (
    GROUPS,
    as_from_outside,
    calibration_of,
    fit_on,
    fitted,
    leave_groups_out,
    measured,
)
from learn.thresholds import Budgets
from learn.versions import COPY, MAX_CHARS, PLAIN, versions_of

OUT = ROOT / "data" / "model"
MAX_STRANGE = 1.0  # any share of n-grams never seen: a lower one shut out most Chinese text


def train(out: Path, recipe: Recipe, workers: int, version: str) -> int:
    prompts, faults = read_prompts()
    if faults or not prompts:
        said = faults[0] if faults else "there is none"
        print(f"The data cannot be used: {said} (python -m learn.check_data).", file=sys.stderr)
        return 1
    rows, budgets = versions_of(prompts, recipe), Budgets()
    print(
        f"{len(prompts)} prompts and {len(rows.where(COPY))} copies, "
        f"{rows.matrix.grams.nnz:,} n-grams; leaving out {GROUPS} groups of origins in turn",
        flush=True,
    )
    scores = leave_groups_out(rows, recipe, workers)
    held_out = measured(rows, scores, budgets)
    print("training on half of the origins at a time", flush=True)
    outside = as_from_outside(rows, recipe, budgets, workers)
    plain = rows.where(PLAIN)
    fit = fitted(rows, plain, scores[plain], budgets)
    print("training on everything", flush=True)
    model = replace(
        fit_on(rows, np.unique(rows.truth.origin), recipe),
        calibration=calibration_of(fit.temperature),
        thresholds=fit.thresholds,
        thresholds_cjk=fit.cjk,
        limits={"max_strange": MAX_STRANGE, "max_chars": MAX_CHARS},
        version=version,
    )
    save_model(model, out)
    print(
        card.write(
            out, prompts=prompts, rows=rows, held_out=held_out, outside=outside, model=model,
            recipe=recipe,
        )
    )  # fmt: skip
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
