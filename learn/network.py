"""Training the network: embeddings of hashed n-grams summed, ReLU, dropout, softmax; Adam with a
falling rate. numpy and scipy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airouter.classify.learned.text_model import softmax

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Training:
    """`hidden`: units. `gain`: scale of the input."""

    hidden: int = 64
    epochs: int = 10
    rate: float = 0.01
    decay: float = 1e-5
    dropout: float = 0.5
    gain: float = 3.0
    batch: int = 512


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
