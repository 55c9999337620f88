"""The encoder's card counts what it says it counts, and its groups are of whole origins."""

from __future__ import annotations

import numpy as np

from learn.tables import row, wrapped
from learn.thresholds import COMPLEX, ENRICH, PRIMARY, Truth
from learn.train_encoder import GROUPS, groups_of


def truth(labels: list[int], origins: list[str] | None = None) -> Truth:
    label = np.array(labels)
    accepted = np.eye(4, dtype=np.bool_)[label]
    return Truth(label, accepted, np.array(origins or ["a"] * len(labels)))


def test_a_row_counts_each_kind_of_error_among_what_is_decided() -> None:
    """Of four decisions: one right, one harmful, one needless search, one needless cloud."""
    labels = [ENRICH, ENRICH, PRIMARY, PRIMARY, COMPLEX]
    predicted = [ENRICH, PRIMARY, ENRICH, COMPLEX, PRIMARY]
    decided = np.array([True, True, True, True, False])
    cells = row("x", np.eye(4)[predicted], decided, truth(labels)).split(" | ")
    assert cells[:4] == ["| x", "5", "80.0%", "25.0%"]
    assert cells[5] == "25.00%"
    assert cells[7:] == ["50.0%", "50.0% |"]


def test_a_row_without_decisions_has_no_rates() -> None:
    cells = row("x", np.eye(4)[[0, 1]], np.zeros(2, np.bool_), truth([0, 1])).split(" | ")
    assert cells[2:] == ["0.0%", "–", "–", "–", "–", "–", "– |"]


def test_groups_are_of_whole_origins_and_alike_in_size() -> None:
    origins = [name for i, name in enumerate("abcdefghij") for _ in range(10 + i)]
    groups = groups_of(truth([0] * len(origins), origins))
    assert len({(origin, int(group)) for origin, group in zip(origins, groups, strict=True)}) == 10
    sizes = np.bincount(groups, minlength=GROUPS)
    assert sizes.max() - sizes.min() <= 10


def test_prose_is_wrapped_and_tables_are_not() -> None:
    table = f"| {'cell ' * 40}|"
    lines = wrapped(["# Head", "word " * 60, "", table]).split("\n")
    assert lines[0] == "# Head"
    assert lines[-1] == table
    assert all(len(line) <= 100 for line in lines[:-1])
