"""Trains a tuned model: the oldest examples fit it, newer ones choose its thresholds, the newest
are the gate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airouter.classify.learned.text_model import load_model
from airouter.classify.tiers.learned import LearnedTier
from airouter.classify.tiers.tuned import voter
from airouter.classify.tuned.head import digest_of_base
from airouter.classify.tuned.registry import Registry
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.learning.fit import fit_head, part_of
from airouter.learning.gate import GATE_SHARE, LEAST, Figures, figures, refusals
from airouter.learning.store import Example, Store

_TUNING_SHARE = 1 / 3
_LEAST = round(LEAST / GATE_SHARE)  # with fewer, the newest could not have enough


@dataclass(frozen=True, slots=True)
class Trained:
    """`refused`: why the gate refused it; empty: it is in shadow now."""

    name: str
    figures: Figures
    refused: list[str]


def train(
    store: Store, registry: Registry, base_path: Path, clock: Clock, say: Callable[[str], None]
) -> Trained:
    """Train a model, judge it, and keep it with its card; if it passed, it is in shadow.

    Args:
        base_path: `cascade.learned.model`.
        say: told what is done, a sentence each.

    Raises:
        ConfigError: there are too few examples, or a file cannot be used.
    """
    base, digest = load_model(base_path), digest_of_base(base_path)
    learned = LearnedTier(base, clock)
    examples = list(store.examples())
    # The others are the learned tier's, and the tuned one is never asked about them.
    open_ = [one for one in examples if learned.vote(one.features).label is None]
    say(f"{len(examples):,} examples; on {len(open_):,} of them the learned tier abstains.")
    if len(open_) < _LEAST:
        raise ConfigError(
            f"There are {len(open_):,} examples on which the learned tier abstains, and "
            f"{_LEAST:,} are needed: {_LEAST - len(open_):,} are missing."
        )
    fitting, tuning, newest = split(open_)
    say(f"Fitting to {len(fitting):,}, choosing thresholds on {len(tuning):,}.")
    name = registry.new_name(f"{clock.now():%Y-%m-%d}")
    head = fit_head(name, base, digest, part_of(base, fitting), part_of(base, tuning))
    say(f"Judging the model {name} on the newest {len(newest):,}.")
    found = figures(
        [one.label for one in newest],
        _labels(voter(head, base, clock), newest),
        _labels(_in_service(registry, base_path, clock), newest),
    )
    refused = refusals(found)
    parts = {"fitting": fitting, "tuning": tuning, "gate": newest}
    registry.add(
        head,
        {
            "made_at": clock.now().isoformat(timespec="seconds"),
            "examples": {part: _span(of) for part, of in parts.items()},
            "thresholds": head.thresholds,
            "gate": found.as_json(),
            "refused": refused,
        },
    )
    return Trained(name, found, refused)


def split(examples: Sequence[Example]) -> tuple[Sequence[Example], ...]:
    """Examples, oldest first, in three parts by time: for fitting, for tuning, for the gate."""
    n = len(examples)
    gate, tuning = round(n * (1 - GATE_SHARE)), round(n * (1 - GATE_SHARE - _TUNING_SHARE))
    return examples[:tuning], examples[tuning:gate], examples[gate:]


def _in_service(registry: Registry, base_path: Path, clock: Clock) -> LearnedTier | None:
    name = registry.state().service
    try:
        head = registry.open(name) if name is not None else None
    except ConfigError:  # it is not used either
        head = None
    if head is None or head.base != digest_of_base(base_path):
        return None
    return voter(head, load_model(base_path), clock)


def _labels(tier: LearnedTier | None, examples: Sequence[Example]) -> list[str | None]:
    return [tier.vote(one.features).label if tier is not None else None for one in examples]


def _span(examples: Sequence[Example]) -> dict[str, Any]:
    first, last = (
        datetime.fromtimestamp(examples[at].at, UTC).isoformat(timespec="seconds") for at in (0, -1)
    )
    return {"n": len(examples), "from": first, "to": last}
