"""From prompts to weights: the matrix of hashed features, the network on it (embeddings of n-grams
summed, ReLU, dropout, softmax; Adam with a falling rate), and a small logistic regression for
calibration."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.optimize import minimize

from airouter.classify.learned.text_features import NAMES, Encoded, Spec
from airouter.classify.learned.text_model import DENSE_LIMIT, Model, rows_of, softmax

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Training:
    """`hidden`: units. `gain`: scale of the input."""

    hidden: int = 64
    epochs: int = 8
    rate: float = 0.012
    decay: float = 1e-5
    dropout: float = 0.5
    gain: float = 3.0
    batch: int = 1024


@dataclass(frozen=True, slots=True)
class Network:
    """embed (d, H), bias (H,), out (H, k), out_bias (k,)."""

    embed: F32
    bias: F32
    out: F32
    out_bias: F32


def train_network(x: Any, targets: F32, training: Training, seed: int) -> Network:
    """The trained network.

    Args:
        x: CSR (n, d) float32. targets: (n, k), rows sum to 1.
    """
    x = (x * np.float32(training.gain)).astype(np.float32)
    rng = np.random.default_rng(seed)
    (n, d), k, h = x.shape, targets.shape[1], training.hidden
    weights = [
        (rng.standard_normal((d, h)) * 0.05).astype(np.float32), np.zeros(h, np.float32),
        (rng.standard_normal((h, k)) * 0.2).astype(np.float32), np.zeros(k, np.float32),
    ]  # fmt: skip
    first = [np.zeros_like(one) for one in weights]
    second = [np.zeros_like(one) for one in weights]
    steps = training.epochs * -(-n // training.batch)
    step = 0
    for _ in range(training.epochs):
        order = rng.permutation(n)
        for start in range(0, n, training.batch):
            rows = order[start : start + training.batch]
            gradients = _gradients(x[rows], targets[rows], weights, training.dropout, rng)
            step += 1
            rate = training.rate * max(0.02, 1 - step / steps)
            for i, gradient in enumerate(gradients):
                first[i] *= 0.9
                first[i] += 0.1 * gradient
                second[i] *= 0.99
                second[i] += 0.01 * (gradient * gradient)
                move = first[i] / (1 - 0.9**step) / (np.sqrt(second[i] / (1 - 0.99**step)) + 1e-6)
                weights[i] -= np.float32(rate) * (move + np.float32(training.decay) * weights[i])
    embed, *rest = weights
    return Network(embed * np.float32(training.gain), *rest)


def _gradients(
    x: Any, targets: F32, weights: list[F32], dropout: float, rng: np.random.Generator
) -> list[F32]:
    embed, bias, out, out_bias = weights
    before = x @ embed + bias
    kept = (rng.random(before.shape) >= dropout).astype(np.float32) / np.float32(1 - dropout)
    hidden = np.maximum(before, 0) * kept
    rest = (softmax(hidden @ out + out_bias) - targets) / np.float32(len(targets))
    inner = (rest @ out.T) * kept * (before > 0)
    return [np.asarray(x.T.tocsr() @ inner), inner.sum(0), hidden.T @ rest, rest.sum(0)]


F32 = NDArray[np.float32]
Rows = NDArray[np.int64]


# Neither the system message nor whether tools are there moves a label: it follows the ask.
_SPEC = Spec(bits=20, ngrams=(1, 2, 3, 4, 5), word_weight=1.5, head_weight=0.5, system_weight=0.0)
_UNREAD = ("tools", "system", "log_system", "last_is_user")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was chosen by leaving one origin out (`tried.py`). `dense_weight`: scale of the dense
    block. `unread`: dense features that count for nothing. `least`: the number of prompts in which
    an n-gram must occur. `copies`: of each prompt in another shape (`shapes.py`)."""

    spec: Spec = _SPEC
    training: Training = field(default_factory=Training)
    dense_weight: float = 0.2
    unread: tuple[str, ...] = _UNREAD
    least: int = 4  # a prompt and its copy count twice
    copies: int = 1
    seed: int = 20


@dataclass(frozen=True, slots=True)
class Matrix:
    """All prompts. `grams`: CSR (n, 2^bits); `dense`: (n, D); `hashes`: per prompt, for the map of
    what was seen."""

    grams: Any
    dense: F32
    hashes: list[NDArray[np.uint64]]


def matrix_of(encoded: Sequence[Encoded], spec: Spec) -> Matrix:
    ends = np.cumsum([0, *(len(one.index) for one in encoded)])
    values = np.concatenate([one.value for one in encoded])
    columns = np.concatenate([one.index for one in encoded])
    grams = sparse.csr_matrix((values, columns, ends), shape=(len(encoded), 2**spec.bits))
    grams.sum_duplicates()
    return Matrix(grams, np.stack([one.dense for one in encoded]), [one.grams for one in encoded])


def fit(matrix: Matrix, targets: F32, rows: Rows, recipe: Recipe) -> Model:
    """Weights from the prompts in `rows`, without a calibration and thresholds. `targets`: (n, 4),
    rows sum to 1."""
    unread = [NAMES.index(name) for name in recipe.unread]
    x, kept, mean, scale = inputs(matrix, rows, recipe.dense_weight, recipe.least, unread)
    network = train_network(x[rows], targets[rows], recipe.training, recipe.seed)
    # int8 with a scale per column: at most half a step of error each, which averages out over the
    # n-grams of a text.
    table_scale = (np.abs(network.embed[: len(kept)]).max(0) / 127 + 1e-12).astype(np.float32)
    table = np.round(network.embed[: len(kept)] / table_scale).astype(np.int8)
    dense = network.embed[len(kept) :] * np.float32(recipe.dense_weight)
    dense[unread] = 0
    seen = seen_map([matrix.hashes[row] for row in rows], recipe.spec.seen_bits)
    padded = np.concatenate((np.zeros((1, table.shape[1]), np.int8), table))
    return Model(
        recipe.spec, rows_of(kept.astype(np.int32), recipe.spec.bits), padded, table_scale, dense,
        mean, scale,
        network.bias, network.out, network.out_bias, np.zeros((16, 4), np.float32), seen, {}, {},
        "",
    )  # fmt: skip


def inputs(
    matrix: Matrix, rows: Rows, dense_weight: float, least: int, unread: Sequence[int] = ()
) -> tuple[Any, NDArray[np.int64], F32, F32]:
    """All prompts as CSR (n, R + D), the R kept buckets, mean and scale of the dense block; fitted
    on `rows` alone."""
    mean = matrix.dense[rows].mean(0).astype(np.float32)
    scale = (1 / (matrix.dense[rows].std(0) + 1e-3)).astype(np.float32)
    dense = np.clip((matrix.dense - mean) * scale, -DENSE_LIMIT, DENSE_LIMIT).astype(np.float32)
    dense[:, unread] = 0
    kept = np.flatnonzero(
        np.bincount(matrix.grams[rows].indices, minlength=matrix.grams.shape[1]) >= least
    )
    both = sparse.hstack(
        [matrix.grams[:, kept], sparse.csr_matrix(dense * np.float32(dense_weight))]
    )
    return both.tocsr().astype(np.float32), kept, mean, scale


def scores_of(model: Model, matrix: Matrix, rows: Rows) -> F32:
    """(len(rows), 4), as `Model.scores`."""
    dense = np.clip((matrix.dense[rows] - model.mean) * model.scale, -DENSE_LIMIT, DENSE_LIMIT)
    table = model.table[1:].astype(np.float32) * model.table_scale
    summed = matrix.grams[rows][:, np.flatnonzero(model.row_of)] @ table
    hidden = np.maximum(summed + dense @ model.dense + model.bias, 0)
    return np.asarray(hidden @ model.out + model.out_bias, np.float32)


def seen_map(hashes: Sequence[NDArray[np.uint64]], bits: int) -> NDArray[np.uint8]:
    """One bit per hash, by its top bits; 2^bits / 8 bytes."""
    flags = np.zeros(2**bits, np.uint8)
    for grams in hashes:
        flags[(grams >> np.uint64(64 - bits)).astype(np.int64)] = 1
    return np.packbits(flags, bitorder="little")


def multinomial(x: Any, targets: F32, c: float, iterations: int) -> tuple[F32, F32]:
    """Weights (d, k) and bias (k,) that minimise c * cross-entropy + |weights|^2 / 2."""
    d, k = x.shape[1], targets.shape[1]
    back = x.T.tocsr() if sparse.issparse(x) else np.ascontiguousarray(x.T)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat[: d * k].reshape(d, k).astype(np.float32)
        scores = x @ weights + flat[d * k :].astype(np.float32)
        p = softmax(scores)
        cost = -float((targets * np.log(np.maximum(p, 1e-12))).sum()) * c + 0.5 * float(
            (weights * weights).sum()
        )
        rest = (p - targets) * np.float32(c)
        return cost, np.concatenate(((back @ rest + weights).ravel(), rest.sum(0))).astype(
            np.float64
        )

    flat = minimize(
        loss,
        np.zeros(d * k + k),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "maxcor": 8},
    ).x
    return flat[: d * k].reshape(d, k).astype(np.float32), flat[d * k :].astype(np.float32)
