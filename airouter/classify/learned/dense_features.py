"""Dense features: a few numbers about a text (length, lines, scripts, code, formulas, years) and
the conversation around it."""

import math
import re

import numpy as np
from numpy.typing import NDArray

from airouter.classify.features import is_follow_up
from airouter.domain.types import Features

_MAX_CHARS = 1200  # of a longer ask, only the beginning is examined
_YEAR = re.compile(r"(?<!\d)(1[0-9]{3}|20[0-4][0-9])(?!\d)")
_CODE = frozenset("{}();=<>[]|&\\/_#`")
_LATEX = re.compile(r"\\[a-zA-Z]+|\$|[\^_]\{|[∑∫√≤≥≠∈∀∃∞→⊂⊆∪∩ℝℤℕℚℂ]")
_SYMBOLIC = re.compile(r"[a-zA-Z0-9)]\s?[\^=+*<>≤≥]\s?[a-zA-Z0-9(]")
# NFKC turns the Greek question mark into a semicolon.
_QUESTION = re.compile(r"[?？؟;՞]")
_QUOTED = re.compile(r"[\"“”«»„「」『』]")
# Without newlines in the leading white space: many blank lines would take cubic time.
_ROLES = re.compile(r"(?im)^[^\S\n]*(?:[*#<\[]{1,3}\s*)?(user|assistant|human|ai|bot)\b.{0,4}:")
# First and last code points of blocks by which scripts are recognised.
_SCRIPTS = (
    (0x41, 0x24F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x5FF), (0x600, 0x77F), (0x900, 0x97F),
    (0x980, 0x9FF), (0xB80, 0xBFF), (0xE00, 0xE7F), (0x3040, 0x30FF), (0x3400, 0x9FFF),
    (0xAC00, 0xD7AF),
)  # fmt: skip
_LOWS = np.array([low for low, _ in _SCRIPTS], np.uint32)
_HIGHS = np.array([high for _, high in _SCRIPTS], np.uint32)
_ASCII = (
    bytes(range(0x41, 0x5B)),  # upper case
    bytes(range(0x30, 0x3A)),  # digits
    bytes(range(_SCRIPTS[0][0], 0x80)),  # Latin
)
_NO_OTHERS = [0] * (len(_SCRIPTS) - 1)
_LENGTHS = (12, 25, 40, 60, 90, 140, 220, 350, 600, 1200, 3000)

# Stored with the weights and compared on loading: a new name needs `make train`. `leans`: whether
# the request is a follow-up.
NAMES = (
    "log_chars", "log_words", "log_lines", "code_share", "latex", "symbolic", "digit_share",
    "question", "questions", "quoted", "upper_share", "fence", "url", "list_marks", "year_old",
    "year_2020", "year_2023", "year_2025", "tools", "images", "turns", "previous", "leans",
    "system", "log_system", "log_previous", "last_is_user", "heading", "role_marks", "tag_marks",
    "json_marks", "ends_colon",
    *(f"script_{low:x}" for low, _ in _SCRIPTS),
    *(f"chars_{bound}" for bound in _LENGTHS),
)  # fmt: skip


def dense_of(features: Features) -> NDArray[np.float32]:
    """One float32 per name in `NAMES`; most are in 0..1, the logarithms are natural."""
    ask = features.ask
    text = ask[:_MAX_CHARS]
    length = max(len(text), 1)
    ascii_only = text.isascii()
    upper, digits, scripts = _ascii_counts(text) if ascii_only else _counts(text)
    # Cheap checks first: a pattern is not searched for without a character that it requires.
    years = [int(year) for year in _YEAR.findall(text)] if digits >= 4 or not ascii_only else []
    questions = text.count("?") + text.count(";") if ascii_only else len(_QUESTION.findall(text))
    quoted = text.count('"') if ascii_only else len(_QUOTED.findall(text))
    latex = (
        len(_LATEX.findall(text))
        if not ascii_only or "\\" in text or "$" in text or "{" in text
        else 0
    )
    symbolic = (
        len(_SYMBOLIC.findall(text))
        if not ascii_only or any(mark in text for mark in "^=+*<>")
        else 0
    )
    roles = len(_ROLES.findall(text)) if ":" in text else 0
    values = [
        math.log1p(len(ask)), math.log1p(text.count(" ")), math.log1p(ask.count("\n")),
        sum(map(text.count, _CODE)) / length, min(latex, 12) / 12, min(symbolic, 8) / 8,
        digits / length, float(questions > 0), min(questions, 5) / 5, min(quoted, 6) / 6,
        upper / length, float("```" in text), float("http" in text or "www." in text),
        min(text.count("\n- ") + text.count("\n* ") + text.count("\n1"), 6) / 6,
        float(any(y < 2020 for y in years)), float(any(2020 <= y < 2023 for y in years)),
        float(any(2023 <= y < 2025 for y in years)), float(any(y >= 2025 for y in years)),
        float(features.has_tools), float(features.has_images), min(features.n_user, 8) / 8,
        float(bool(features.previous)), float(is_follow_up(features)), float(bool(features.system)),
        math.log1p(len(features.system)),
        math.log1p(sum(len(turn) for _, turn in features.previous)),
        float(features.last_role == "user"),
        float(text.lstrip().startswith("#")), min(roles, 6) / 6, float("</" in text),
        float('{"' in text or '{ "' in text), float(text.rstrip().endswith(":")),
    ]  # fmt: skip
    return np.array(
        [
            *values,
            *(count / length for count in scripts),
            *(float(len(ask) > bound) for bound in _LENGTHS),
        ],
        np.float32,
    )


def _counts(text: str) -> tuple[int, int, list[int]]:
    """The numbers of upper-case characters, of ASCII digits, and of characters per script."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    lower = np.frombuffer(text.lower().encode("utf-32-le", "surrogatepass"), np.uint32)
    upper = int(np.count_nonzero(codes != lower)) if len(lower) == len(codes) else 0
    digits = int(np.count_nonzero((codes >= 0x30) & (codes <= 0x39)))
    at = np.searchsorted(_LOWS_SORTED, codes, side="right") - 1
    inside = (at >= 0) & (codes <= _HIGHS_SORTED[at])
    scripts: list[int] = np.bincount(_ORDER[at[inside]], minlength=len(_SCRIPTS)).tolist()
    return upper, digits, scripts


def _ascii_counts(text: str) -> tuple[int, int, list[int]]:
    """`_counts()` for ASCII text, in a tenth of the time."""
    data = text.encode()
    counts = [len(data) - len(data.translate(None, characters)) for characters in _ASCII]
    return counts[0], counts[1], [counts[2], *_NO_OTHERS]


_ORDER = np.argsort(_LOWS)
_LOWS_SORTED, _HIGHS_SORTED = _LOWS[_ORDER], _HIGHS[_ORDER]
