"""Turns that only tell the assistant to go on."""

from __future__ import annotations

import time

import pytest

from airouter.classify.assent import is_assent


@pytest.mark.parametrize(
    "text",
    ["yes, do it", "Yes, do it!", "yes", "continue", "Continue.", "ok, go ahead please", "OK 👍",
     "sounds good, thanks", "do both", "2", "option 2", "b)", "next step", "fix it",
     "ja mach das", "ja, mach das bitte", "Weiter", "genau", "passt, mach weiter",
     "oui, vas-y", "d'accord", "d’accord, continue", "sí, hazlo", "sim, continue", "va bene",
     "да, сделай это", "продолжай", "好的", "好的，继续", "没问题，请继续", "はい、お願いします",
     "続けてください", "네, 계속해줘", "हाँ, जारी रखें", "نعم، استمر", "vâng, tiếp tục"],
)  # fmt: skip
def test_it_only_agrees(text: str) -> None:
    assert is_assent(text)


@pytest.mark.parametrize(
    "text",
    ["", "   ", "👍", "no", "why", "yes, but prove it", "now prove it", "do it in Rust",
     "continue the story with a dragon", "is it good?", "good morning", "next train to Berlin",
     "ok computer", "sino", "okays", "好奇", "ja und wie viel kostet das", "and tomorrow?",
     "123", "e", "yes " * 20],
)  # fmt: skip
def test_it_says_something_of_its_own(text: str) -> None:
    assert not is_assent(text)


def test_it_takes_no_time() -> None:
    """Also where phrases overlap, and nearly match."""
    began = time.perf_counter()
    for text in ("yes do it yes do it yes do it yes do it yes do it yes do x", "a " * 29 + "!x"):
        is_assent(text)
    assert time.perf_counter() - began < 0.05
