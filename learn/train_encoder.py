"""Train, measure and write the encoder tier's head: `python -m learn.train_encoder`. It needs the
packages in requirements-encoder.txt. Deterministic, apart from the embeddings' last digits.

The origins are in five groups. Each group is measured with a head that was trained without it, and
with a temperature and thresholds from the other groups; these are scored by heads that were trained
without their own group and without the measured one. The shipped head is trained on everything; its
temperature and thresholds are from the scores of held-out groups.
"""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from airouter.classify.encoder.engine import EncoderUnusable
from airouter.classify.encoder.head import Head, length_feature, save_head, text_of
from airouter.classify.learned.text_model import softmax
from airouter.domain.labels import CLASSES
from learn import encoder_card
from learn.data import ROOT, Prompt, read_prompts
from learn.embeddings import embeddings
from learn.encoder_shapes import MEASURED, for_training
from learn.fit import Recipe, Training, fit, scores_of, train_network
from learn.thresholds import META, NEVER, Bools, Budgets, Floats, Truth, choose
from learn.versions import COPY, MAX_CHARS, PLAIN, may_decide, targets_of, truth_of, versions_of

OUT = ROOT / "data" / "model" / "encoder.npz"
GROUPS = 5
COPIES = 0.1  # share of the prompts that are also trained on in another shape
SAMPLE = 400  # prompts measured in other shapes
SEED = 20
_TRAINING = Training(
    hidden=128, epochs=14, rate=0.003, decay=1e-5, dropout=0.7, gain=1.0, batch=512
)
_GAIN = np.float32(0.3)  # scale of the standardised input
# Stricter than what is promised (accuracy 96 %, harmful 2 %, needless 1.5 %): origins of the
# project's own resemble each other more than what comes from outside.
BUDGETS = Budgets(
    harmful_upper=0.004,
    accuracy=0.975,
    cloud=0.01,
    worst_cloud=0.03,
    worst_harmful=0.012,
    worst_accuracy=0.95,
    least={"PRIMARY": 0.985, "COMPLEX": 0.98, "ENRICH": 0.95, "META": 0.993},
)
# Lower bounds of the thresholds: without the origin of the hardest asks, far lower ones seem safe.
FLOORS = {"PRIMARY": 0.94, "COMPLEX": 0.93, "ENRICH": 0.9}

F32 = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Data:
    """The prompts' inputs (n, 385); those of copies in other shapes, whose prompts are `copied`;
    `group` of each prompt's origin; `open_` (n, 4): whether the tier may decide so."""

    inputs: F32
    copies: F32
    copied: Ints
    truth: Truth
    group: Ints
    open_: Bools


def inputs_of(asks: Sequence[str]) -> F32:
    lengths = np.array([[length_feature(len(ask))] for ask in asks], np.float32)
    return np.concatenate((embeddings([text_of(ask) for ask in asks]), lengths), axis=1)


def data_of(prompts: Sequence[Prompt]) -> Data:
    features = [prompt.features for prompt in prompts]
    asks = [one.ask for one in features]
    chance = random.Random(SEED)
    copied = np.flatnonzero([chance.random() < COPIES for _ in asks])
    truth = truth_of(prompts)
    return Data(
        inputs_of(asks),
        inputs_of([for_training(asks[row], chance) for row in copied]),
        copied,
        truth,
        groups_of(truth),
        np.array([may_decide(one) for one in features]),
    )


def groups_of(truth: Truth) -> Ints:
    """The group of each prompt: groups of whole origins with about as many prompts."""
    names, sizes = np.unique(truth.origin, return_counts=True)
    ordered = names[np.argsort(-sizes, kind="stable")]
    number = {name: place % GROUPS for place, name in enumerate(ordered)}
    return np.array([number[name] for name in truth.origin])


def trained(data: Data, rows: Ints) -> Head:
    """A head from these prompts and their copies, without temperature and thresholds."""
    mine = np.isin(data.copied, rows)
    x = np.concatenate((data.inputs[rows], data.copies[mine]))
    targets = targets_of(data.truth)
    mean, scale = x.mean(0), _GAIN / (x.std(0) + np.float32(1e-6))
    net = train_network(
        sparse.csr_matrix((x - mean) * scale),
        np.concatenate((targets[rows], targets[data.copied[mine]])),
        _TRAINING,
        SEED,
    )
    inner = net.embed * scale[:, None]
    return Head(inner, net.bias - mean @ inner, net.out, net.out_bias, {}, {}, "")


def scores(head: Head, x: F32) -> F32:
    hidden = np.maximum(x @ head.inner + head.inner_bias, 0)
    return np.asarray(hidden @ head.outer + head.outer_bias, np.float32)


def temperature_of(found: F32, targets: F32) -> np.float32:
    def loss(temperature: float) -> float:
        p = softmax(found / np.float32(temperature))
        return -float((targets * np.log(np.maximum(p, 1e-9))).sum())

    return np.float32(minimize_scalar(loss, bounds=(0.3, 5), method="bounded").x)


def is_open(data: Data, p: Floats, rows: Ints) -> Bools:
    best = p.argmax(1)
    return np.asarray(data.open_[rows, best] & (best != META), np.bool_)


def thresholds_of(data: Data, p: Floats, rows: Ints) -> dict[str, float]:
    """For prompts other than META, which the rules decide before."""
    open_ = is_open(data, p, rows) & (data.truth.label[rows] != META)
    chosen = choose(p, open_, data.truth.at(rows), BUDGETS)
    return {name: max(chosen[name], FLOORS.get(name, NEVER)) for name in CLASSES}


def decides(data: Data, p: Floats, rows: Ints, thresholds: dict[str, float]) -> Bools:
    needed = np.array([thresholds[name] for name in CLASSES])
    return np.asarray(is_open(data, p, rows) & (p.max(1) >= needed[p.argmax(1)]), np.bool_)


@dataclass(frozen=True, slots=True)
class Held:
    """p (n, 4) and decided (n,): by the head that each prompt's group was measured with. `scores`
    (n, 4): of that head before its temperature. `heads`: by group."""

    p: Floats
    decided: Bools
    scores: F32
    heads: list[Head]


def held_out(data: Data) -> Held:
    n, targets = len(data.group), targets_of(data.truth)
    pairs: dict[tuple[int, int], Head] = {}
    for one in range(GROUPS):
        for other in range(one):
            rows = np.flatnonzero((data.group != one) & (data.group != other))
            pairs[one, other] = pairs[other, one] = trained(data, rows)
        print(f"  pairs of groups with {one + 1} of {GROUPS} left out", flush=True)
    p, decided, heads = np.zeros((n, len(CLASSES))), np.zeros(n, np.bool_), []
    untempered = np.zeros((n, len(CLASSES)), np.float32)
    for one in range(GROUPS):
        inside, outside = np.flatnonzero(data.group == one), np.flatnonzero(data.group != one)
        found = np.zeros((n, len(CLASSES)), np.float32)
        for other in range(GROUPS):
            if other != one:
                at = np.flatnonzero(data.group == other)
                found[at] = scores(pairs[one, other], data.inputs[at])
        raw = trained(data, outside)
        untempered[inside] = scores(raw, data.inputs[inside])
        head = finished(data, raw, found[outside], outside, targets)
        heads.append(head)
        p[inside] = softmax(scores(head, data.inputs[inside]))
        decided[inside] = decides(data, p[inside], inside, head.thresholds)
        print(f"  group {one + 1} of {GROUPS} measured", flush=True)
    return Held(p, decided, untempered, heads)


def finished(data: Data, head: Head, found: F32, rows: Ints, targets: F32) -> Head:
    """The head with temperature and thresholds from scores of heads that did not know the rows."""
    temperature = temperature_of(found, targets[rows])
    p = softmax(found / temperature).astype(np.float64)
    return replace(
        head,
        outer=head.outer / temperature,
        outer_bias=head.outer_bias / temperature,
        thresholds=thresholds_of(data, p, rows),
        limits={"max_chars": MAX_CHARS},
    )


def learned_scores(prompts: Sequence[Prompt], data: Data) -> F32:
    """The learned tier's scores of each prompt, trained without its group."""
    recipe = Recipe()
    rows = versions_of(prompts, recipe)
    targets, n = targets_of(rows.truth), len(prompts)
    known = np.isin(rows.shape, (PLAIN, COPY))
    found = np.zeros((n, len(CLASSES)), np.float32)
    for group in range(GROUPS):
        inside = np.flatnonzero(data.group == group)
        outside = np.flatnonzero(known & (data.group[rows.prompt] != group))
        found[inside] = scores_of(fit(rows.matrix, targets, outside, recipe), rows.matrix, inside)
        print(f"  learned tier: group {group + 1} of {GROUPS} scored", flush=True)
    return found


def learned_decisions(prompts: Sequence[Prompt], data: Data) -> tuple[Floats, Bools]:
    """What the learned tier decides, with the same groups, budgets and abstentions."""
    found, targets = learned_scores(prompts, data), targets_of(data.truth)
    p, decided = np.zeros(found.shape), np.zeros(len(prompts), np.bool_)
    for group in range(GROUPS):
        inside, outside = np.flatnonzero(data.group == group), np.flatnonzero(data.group != group)
        tempered = softmax(found / temperature_of(found[outside], targets[outside]))
        chosen = thresholds_of(data, tempered[outside].astype(np.float64), outside)
        p[inside] = tempered[inside]
        decided[inside] = decides(data, p[inside], inside, chosen)
    return p, decided


def in_other_shapes(
    prompts: Sequence[Prompt], data: Data, held: Held
) -> dict[str, tuple[Ints, Floats, Bools]]:
    """Rows, p and decisions of a sample in each shape, by the heads that did not know them."""
    chance = random.Random(SEED)
    eligible = np.flatnonzero(data.truth.label != META).tolist()
    rows = np.array(sorted(chance.sample(eligible, SAMPLE)))
    measured = {}
    for shape, change in MEASURED.items():
        x = inputs_of([change(prompts[row].features.ask, chance) for row in rows])
        p, decided = np.zeros((len(rows), len(CLASSES))), np.zeros(len(rows), np.bool_)
        for group, head in enumerate(held.heads):
            at = np.flatnonzero(data.group[rows] == group)
            p[at] = softmax(scores(head, x[at]))
            decided[at] = decides(data, p[at], rows[at], head.thresholds)
        measured[shape] = rows, p, decided
    return measured


def train(out: Path, version: str, with_learned: bool) -> int:
    prompts, faults = read_prompts()
    if faults or not prompts:
        said = faults[0] if faults else "there is none"
        print(f"The data cannot be used: {said} (python -m learn.check_data).", file=sys.stderr)
        return 1
    print(f"{len(prompts)} prompts; embedding those that are new", flush=True)
    try:
        data = data_of(prompts)
        held = held_out(data)
        shapes = in_other_shapes(prompts, data, held)
    except EncoderUnusable as error:
        print(f"The encoder cannot be used: {error}.", file=sys.stderr)
        return 1
    learned = learned_decisions(prompts, data) if with_learned else None
    everything = np.arange(len(prompts))
    targets = targets_of(data.truth)
    head = finished(data, trained(data, everything), held.scores, everything, targets)
    save_head(replace(head, version=version), out)
    card = encoder_card.markdown(
        prompts, data.truth, held.p, held.decided, shapes, learned, head.thresholds
    )
    out.with_suffix(".md").write_text(card, "utf-8")
    print(f"{card}\nwritten to {out}")
    return 0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="learn.train_encoder", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--out", type=Path, default=OUT, help="file for the head")
    parser.add_argument("--version", default="1", help="name of the head in verdicts and the card")
    parser.add_argument(
        "--alone",
        action="store_true",
        help="leave out the measurement with the learned tier, which takes minutes",
    )
    chosen = parser.parse_args(arguments)
    return train(chosen.out, chosen.version, not chosen.alone)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
