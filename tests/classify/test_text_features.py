"""The features of a text are deterministic, in every script and at any length."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airouter.classify.learned.text_features import (
    NAMES,
    Spec,
    char_grams,
    code_points,
    distinct_buckets,
    encode,
    fold,
    word_hashes,
)
from tests.classify.make import features

SPEC = Spec()


def test_folding_makes_alike_what_is_alike() -> None:
    assert fold("  ＨＥＬＬＯ\n\n World 1998 ", 100, 0) == " hello world 0000 "
    assert fold("٣ أسئلة", 100, 0) == " 0 أسئلة "


def test_a_long_text_keeps_head_and_tail() -> None:
    folded = fold("head " + "x" * 9000 + " tail", 1500, 500)
    assert len(folded) <= 2004
    assert folded.startswith(" head")
    assert folded.endswith("tail ")


def test_words_are_runs_between_spaces_and_punctuation() -> None:
    def words(text: str) -> list[int]:
        return word_hashes(code_points(fold(text, 500, 0))).tolist()

    assert len(words("what is the time?")) == 4
    assert words("Time!")[0] == words("what is the time?")[3]
    assert words("(time)") == words("«time»") == words("time、") == words("time")
    assert words("emit") != words("time")
    assert len(words("हिन्दी में लिखो")) == 3, "vowel signs do not end a word"
    assert words("?!") == words("") == []
    assert len(words("今天天气怎么样")) == 1, (
        "scripts without spaces are carried by their characters"
    )


def test_character_grams_count() -> None:
    codes = code_points(" abc ")
    grams, fours = char_grams(codes, (2, 3))
    assert len(grams) == 4 + 3
    assert len(fours) == 0
    grams, fours = char_grams(codes, (2, 3, 4))
    assert len(grams) == 4 + 3 + 2
    assert len(fours) == 2


@given(st.text(max_size=300))
def test_any_text_can_be_encoded(text: str) -> None:
    one = encode(features(text or "x"), SPEC)
    assert len(one.index) == len(one.value)
    assert (one.index >= 0).all()
    assert (one.index < 2**SPEC.bits).all()
    assert np.isfinite(one.value).all()
    assert np.isfinite(one.dense).all()
    assert one.dense.shape == (len(NAMES),)


def test_lone_surrogates_pass() -> None:
    assert len(encode(features("bad \ud800 text"), SPEC).index)


def test_each_block_has_its_weight() -> None:
    one = encode(features("hello there"), SPEC)
    whole = float((one.value**2).sum())
    assert whole == pytest.approx(
        SPEC.char_weight**2 + SPEC.word_weight**2 + SPEC.head_weight**2, rel=1e-3
    )


def test_the_conversation_around_it_counts() -> None:
    alone = encode(features("and tomorrow?"), SPEC)
    after = encode(features("weather in Oslo", ("assistant", "rain"), "and tomorrow?"), SPEC)
    framed = encode(features(("system", "answer in French"), "and tomorrow?"), SPEC)
    assert len(alone.index) < len(after.index)
    assert len(alone.index) < len(framed.index)
    names = dict(zip(NAMES, after.dense, strict=True))
    assert names["leans"] == names["previous"] == 1


def test_hashes_spread_over_the_table() -> None:
    words = word_hashes(
        code_points(
            " "
            + " ".join(
                f"w{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}"
                for i in range(3000)
            )
            + " "
        )
    )
    used, value = distinct_buckets([(words, 1.0), (words[:0], 0.5), (words[:3], 0.5)], 18)
    used, after = used[:-3], used[-3:]
    assert (np.diff(used) > 0).all()
    assert len(used) > 2950
    assert set(after) <= set(used)
    assert value[0] == pytest.approx(1 / np.sqrt(len(used)))
    assert value[-1] == pytest.approx(0.5 / np.sqrt(3))


def test_fast_enough() -> None:
    ask = features("How do I get the current value of my integral when the weather changes? " * 7)
    encode(ask, SPEC)
    times = []
    for _ in range(50):
        started = time.perf_counter()
        encode(ask, SPEC)
        times.append(time.perf_counter() - started)
    assert sorted(times)[25] < 0.05, "about 0.3 ms on an idle machine"
