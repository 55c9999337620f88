"""Which recipe is best on origins never trained on? `python -m learn.compare [NAME …]` measures them one after the other.

What it prints is kept in `learn/tried.py` and shown by the model's card. Minutes per recipe.
"""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np

from airouter.classify.learned.text_features import Spec, encode
from airouter.classify.learned.text_model import softmax
from learn.data import read_prompts
from learn.fit import Recipe, inputs, matrix_of, multinomial
from learn.measure import Floats, Truth, right
from learn.recipes import CHOSEN
from learn.train import leave_origins_out, share, shared, targets_of, truth_of

LINEAR = "linear"
NETWORKS: dict[str, Recipe] = {
    "chosen": CHOSEN,
    "shorter n-grams (2-4)": replace(CHOSEN, spec=replace(CHOSEN.spec, ngrams=(2, 3, 4))),
    "longer n-grams (1-5)": replace(CHOSEN, spec=replace(CHOSEN.spec, ngrams=(1, 2, 3, 4, 5))),
    "small table (2^18)": replace(CHOSEN, spec=replace(CHOSEN.spec, bits=18)),
    "32 hidden units": replace(CHOSEN, training=replace(CHOSEN.training, hidden=32)),
    "three members": replace(CHOSEN, training=replace(CHOSEN.training, members=3)),
    "input dropout": replace(
        CHOSEN, training=replace(CHOSEN.training, input_dropout=0.3, epochs=12)
    ),
    "n-grams of two prompts": replace(CHOSEN, least=2),
}


def linear(spec: Spec, truth: Truth, workers: int) -> Floats:
    """Multinomial logistic regression on the same features: (n, 4) scores, each made without the row's origin."""
    prompts, _ = read_prompts()
    matrix = matrix_of([encode(prompt.features, spec) for prompt in prompts], spec)
    scores = np.zeros((len(prompts), 4))
    names = np.unique(truth.origin)
    with ProcessPoolExecutor(
        workers, initializer=share, initargs=(matrix, truth, replace(CHOSEN, spec=spec))
    ) as pool:
        for name, held in zip(names, pool.map(_linear_without, names), strict=True):
            scores[truth.origin == name] = held
    return scores


def _linear_without(name: str) -> Floats:
    matrix, truth, recipe = shared[0]
    inside, outside = np.flatnonzero(truth.origin == name), np.flatnonzero(truth.origin != name)
    x, *_ = inputs(matrix, outside, recipe.dense_weight, 2)
    weights, bias = multinomial(x[outside], targets_of(truth)[outside], 10.0, 50)
    return np.asarray(x[inside] @ weights + bias, np.float64)


def row(name: str, p: Floats, truth: Truth) -> dict[str, float | str]:
    """One line of the table: shares that are right of all, of the surest half, of the surest 70 %; mean log loss."""
    hits = right(p.argmax(1), truth)[np.argsort(-p.max(1), kind="stable")]
    n = len(hits)
    loss = -float(np.log(np.maximum((p * truth.accepted).max(1), 1e-9)).mean())
    shares = {
        "all": hits.mean(),
        "at_50": hits[: n // 2].mean(),
        "at_70": hits[: n * 7 // 10].mean(),
    }
    return {
        "recipe": name,
        **{key: round(float(value), 4) for key, value in shares.items()},
        "log_loss": round(loss, 4),
    }


def main(arguments: Sequence[str]) -> int:
    prompts, _ = read_prompts()
    truth, workers = truth_of(prompts), min(4, os.cpu_count() or 1)
    for name in arguments or (LINEAR, *NETWORKS):
        if name == LINEAR:
            scores = linear(CHOSEN.spec, truth, workers)
        else:
            recipe = NETWORKS[name]
            matrix = matrix_of(
                [encode(prompt.features, recipe.spec) for prompt in prompts], recipe.spec
            )
            scores = leave_origins_out(matrix, truth, recipe, workers).scores.astype(np.float64)
        print(row(name, softmax(scores.astype(np.float32)).astype(np.float64), truth), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
