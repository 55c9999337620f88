"""Prompts in other shapes."""

from __future__ import annotations

import random

from airouter.classify.features import features_of
from airouter.dialects.openai_request import parse_request
from learn.shapes import reshaped


def test_a_copy_keeps_the_ask_and_adds_to_it() -> None:
    """By a greeting or thanks, quotation marks, or an earlier exchange; or with errors."""
    ask = "What is the capital of France?"
    plain = features_of(parse_request("chat", {"messages": [{"role": "user", "content": ask}]}))
    copies = [reshaped(plain, random.Random(seed)) for seed in range(200)]
    kept = [copy for copy in copies if ask in copy.ask]
    assert 160 < len(kept) < 200
    assert all(abs(len(copy.ask) - len(ask)) < 4 for copy in copies if copy not in kept)
    assert all(copy != plain for copy in copies)
    earlier = [copy for copy in copies if copy.previous]
    assert 40 < len(earlier) < 120
    assert all(copy.ask == ask and copy.n_user == 2 for copy in earlier)
    assert copies == [reshaped(plain, random.Random(seed)) for seed in range(200)]
