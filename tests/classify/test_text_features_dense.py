"""What the learned tier counts in a request beside its words."""

import time

import pytest

from airouter.classify.learned.text_features import NAMES, dense_of
from tests.classify.make import features


def test_dense_features_see_shapes() -> None:
    def seen(text: str) -> dict[str, float]:
        return dict(zip(NAMES, dense_of(features(text)), strict=True))

    assert seen("who won in 1998?")["year_old"] == 1
    assert seen("who won in 2027?")["year_2025"] == 1
    assert seen("call 19980 now")["year_old"] == 0
    assert seen("```py\nx\n```")["fence"] == 1
    assert seen("какая погода")["script_400"] > 0.8
    assert seen("天気はどう？")["question"] == 1
    assert seen(r"let $x\in\mathbb{R}$")["latex"] > 0


@pytest.mark.parametrize("blank", ["\n", "\n ", "\n*", "###\n", "\r\n", "\n<\n\n"])
def test_blank_lines_cost_little(blank: str) -> None:
    started = time.monotonic()
    for _ in range(20):
        dense_of(features(f"Note: see below.{blank * 1200}user: hello"))
    assert time.monotonic() - started < 5  # 1,200 blank lines took a minute


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("user: a\n\n\nASSISTANT: b", 2),
        ("** \n\n ai: c", 1),
        ("\n\n# Human 1: d", 1),
        ("a user: e", 0),
    ],
)
def test_names_of_speakers_are_counted_by_line(text: str, marks: int) -> None:
    assert dense_of(features(text))[NAMES.index("role_marks")] == pytest.approx(marks / 6)
