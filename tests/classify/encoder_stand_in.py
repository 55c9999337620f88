"""A stand-in for the sentence encoder, and a tier with it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from doubles import LogLines

from airouter.classify.encoder.engine import F32, SIZE, Embed
from airouter.classify.encoder.head import Head
from airouter.classify.tiers.encoder import EncoderTier
from airouter.domain.clock import Clock
from airouter.domain.labels import CLASSES
from airouter.domain.types import Verdict
from airouter.settings.cascade import EncoderTierSettings
from tests.classify.make import exchange, features, finish

_WORDS = {"poem": "PRIMARY", "prime": "COMPLEX", "weather": "ENRICH", "title": "META"}


def make_head(threshold: float = 0.9) -> Head:
    """The first number of an embedding is for the first class, and so on; the scores are its
    sixfold, so that 1 among zeros is a probability of .993."""
    inner = np.zeros((SIZE + 1, len(CLASSES)), np.float32)
    outer = np.eye(len(CLASSES), dtype=np.float32) * 6
    inner[: len(CLASSES)] = np.eye(len(CLASSES))
    zeros = np.zeros(len(CLASSES), np.float32)
    thresholds = dict.fromkeys(CLASSES, threshold)
    return Head(inner, zeros, outer, zeros, thresholds, {"max_chars": 4000}, "test")


class Encoder:
    """Embeds by the word that a text contains. `hold()` lets calls wait until `go`."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Semaphore(0)
        self.error: Exception | None = None

    def __call__(self, text: str) -> F32:
        self.texts.append(text)
        self.begun.release()
        assert self.go.wait(20)
        if self.error is not None:
            raise self.error
        vector = np.zeros(SIZE, np.float32)
        for word, name in _WORDS.items():
            if word in text:
                vector[CLASSES.index(name)] = 1
        return vector

    def hold(self) -> None:
        self.go.clear()


def make_encoder_tier(
    encoder: Embed | None = None, log: LogLines | None = None, **settings: Any
) -> EncoderTier:
    """A tier that is loaded."""
    chosen = encoder or Encoder()
    tier = EncoderTier(
        make_head(),
        EncoderTierSettings(**{"timeout": 10, **settings}),
        Clock(),
        log or LogLines(),
        lambda: chosen,
    )
    tier.load()
    return tier


def verdict_on(tier: EncoderTier, *messages: Any, **request: Any) -> Verdict:
    with exchange() as ours:
        return finish(ours, tier.ask(ours, features(*messages, **request)))
