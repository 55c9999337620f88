"""A tuned model for tests."""

from pathlib import Path

import numpy as np

from airouter.classify.learned.text_model import load_model
from airouter.classify.tuned.head import Head, digest_of_base
from airouter.classify.tuned.registry import Registry
from airouter.domain.labels import CLASSES
from airouter.settings.load import ROOT

LEARNED = ROOT / "data" / "model"
BASE = digest_of_base(LEARNED)


def add(folder: Path, threshold: float = 0.5) -> Registry:
    """A model in shadow that takes everything for COMPLEX."""
    registry, model = Registry(folder), load_model(LEARNED)
    bias = np.array([0, 50, 0, 0], np.float32)
    thresholds = dict.fromkeys(CLASSES, threshold)
    name = registry.new_name("2026-03-09")
    head = Head(name, BASE, model.out, bias, 1.0, thresholds)
    registry.add(head, {"refused": []})
    return registry
