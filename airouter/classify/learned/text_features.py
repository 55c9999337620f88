"""The input of the learned model, computed alike in training and serving: hashed n-grams of the
text, and a few dense features. Changes to the n-grams must be made in kernel.c, too.

The text is cut to head and tail, normalised (NFKC, lower case, digits as 0, single spaces) and
turned into code points. Every n-gram of characters, every word and every pair of words becomes a
64-bit rolling hash, all in numpy. Words are runs between spaces; scripts written without spaces are
covered by the n-grams of characters. The dense features are numbers about the text (length, lines,
scripts, code, formulas, years) and the conversation around it.
"""

import math
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from airouter.classify.features import is_follow_up
from airouter.domain.types import Features

# The numbers of upper-case characters, of characters per script, and of symbols.
Counts = tuple[int, list[int], int]
U64 = NDArray[np.uint64]
F32 = NDArray[np.float32]

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_CJK_HEAD = 200  # characters
_DIGIT = re.compile(r"\d")
# `fold()` for ASCII text: lower case, digits as 0, all white space as spaces.
_FOLDED = bytes(
    ord("0" if chr(c).isdigit() else " " if chr(c).isspace() else chr(c).lower())
    for c in range(128)
).ljust(256)
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_SALT_WORD, _SALT_PAIR, _SALT_HEAD, _SALT_BEFORE, _SALT_SYSTEM = (
    np.uint64(k * 0xA0761D6478BD642F % 2**64) for k in range(1, 6)
)
_SHIFT = np.uint64(32)
_NONE = np.empty(0, np.uint64)
_ONE, _SEVEN, _ODD = np.uint64(1), np.uint64(7), np.array([1, 3, 5], np.uint64)
_TRUE = np.ones(1, np.bool_)
# White space and punctuation end a word; the vowel signs of Indic scripts and Thai do not.
SEPARATES = np.zeros(0xFFFF, np.bool_)
SEPARATES[:0x30] = SEPARATES[0x3A:0x41] = SEPARATES[0x5B:0x61] = SEPARATES[0x7B:0xAA] = True
SEPARATES[[0xAB, 0xB4, 0xB7, 0xBB, 0xBF, 0x37E, 0x60C, 0x61B, 0x61F, 0x964, 0x965]] = True
SEPARATES[0x2010:0x206F] = SEPARATES[0x3000:0x3003] = SEPARATES[0x3008:0x3020] = True
_JOINS = ~SEPARATES


@dataclass(frozen=True, slots=True)
class Spec:
    """How text becomes features. Stored with the weights, because training and serving must agree.

    `bits`: the table has 2^bits buckets. `seen_bits`: the map of n-grams seen in training has
    2^seen_bits bits. `ngrams`: lengths in characters. `head`, `tail`, `before`: characters kept of
    the ask's beginning and end, and of the turns before it. The `*_weight`s scale the unit-length
    blocks relative to each other; with a `system_weight` of 0 the frame is not read at all.
    """

    bits: int = 18
    seen_bits: int = 21
    ngrams: tuple[int, ...] = (2, 3, 4, 5)
    head: int = 1200
    tail: int = 400
    before: int = 300
    char_weight: float = 1.0
    word_weight: float = 0.8
    head_weight: float = 0.3
    before_weight: float = 0.3
    system_weight: float = 0.5


@dataclass(frozen=True, slots=True)
class Encoded:
    """The features of one request.

    `index` (buckets, int64) and `value` (float32) have one entry per distinct n-gram and block.
    `dense`: see `NAMES`. `grams`: hashes (uint64) of words and of 4-grams of
    characters, from which the unseen ratio is computed.
    """

    index: NDArray[np.int64]
    value: F32
    dense: F32
    grams: U64


def fold(text: str, head: int, tail: int) -> str:
    """The text for hashing: cut to head and tail, NFKC, lower case, digits as 0, single spaces, and
    a space at each end."""
    if len(text) > head + tail:
        text = f"{text[:head]} {text[-tail:]}"
    if text.isascii():
        text = text.encode().translate(_FOLDED).decode()
    else:
        text = _DIGIT.sub("0", unicodedata.normalize("NFKC", text).lower())
    return f" {' '.join(text.split())} "


def texts_of(features: Features, spec: Spec) -> tuple[str, str, str]:
    """The folded texts whose n-grams are features: the ask, the turns before it, and its frame (the
    system message and a last message that is not the user's); "" for what is not there."""
    earlier = last = ""
    if features.previous:
        earlier = " ".join(text[-spec.before :] for _, text in features.previous[-2:])
        earlier = fold(earlier, spec.before, spec.before)
    ask, frame = fold(features.ask, spec.head, spec.tail), " "
    if spec.system_weight:
        if features.last_role != "user":
            last = features.last_text[: spec.before]
        frame = f"{features.system[: spec.before]} {last}"
    return ask, earlier, "" if frame.isspace() else fold(frame, 2 * spec.before, 0)


def is_cjk(ask: str) -> bool:
    """Whether a request is mostly Chinese, Japanese or Korean, by its first characters."""
    head = ask[:_CJK_HEAD]
    return not head.isascii() and 4 * len(_CJK.findall(head)) >= len(head)


def encode(features: Features, spec: Spec) -> Encoded:
    """All features of one request, in about 0.2 ms at 500 characters."""
    ask, *others = texts_of(features, spec)
    codes = code_points(ask)
    chars, fours = char_grams(codes, spec.ngrams)
    words = word_hashes(codes)
    salted = words ^ _SALT_WORD
    blocks = [
        (chars, spec.char_weight),
        (np.concatenate((salted, pair_hashes(words))), spec.word_weight),
        (head_hashes(words), spec.head_weight),
    ]
    salts, weights = (_SALT_BEFORE, _SALT_SYSTEM), (spec.before_weight, spec.system_weight)
    for text, salt, weight in zip(others, salts, weights, strict=True):
        if text:
            codes = code_points(text)
            hashes = np.concatenate((word_hashes(codes), char_grams(codes, (4,))[0]))
            blocks.append((hashes ^ salt, weight))
    index, value = distinct_buckets(blocks, spec.bits)
    dense = np.array(dense_of(features), np.float32)
    return Encoded(index, value, dense, np.concatenate((fours, salted)))


def code_points(text: str) -> U64:
    """Unicode code points, one uint64 per character; lone surrogates are kept."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)


def char_grams(codes: U64, lengths: tuple[int, ...]) -> tuple[U64, U64]:
    """Hashes of all n-grams of the given lengths, and those of the 4-grams alone."""
    size, longest = len(codes), max(lengths)
    padded = np.zeros(size + longest - 1, np.uint64)
    padded[:size] = codes
    # Column i: the characters from i on.
    windows: U64 = np.ndarray((longest, size), np.uint64, padded, 0, (8, 8))
    # All lengths at once: for a short text, numpy's calls cost more than the arithmetic.
    hashes = _mixed((_powers(lengths) @ windows) ^ np.array(lengths, np.uint64)[:, None])
    whole = [hashes[k, : size - n + 1] for k, n in enumerate(lengths) if n <= size]
    fours = hashes[lengths.index(4), : size - 3] if 4 in lengths and size >= 4 else _NONE
    return (np.concatenate(whole) if whole else _NONE), fours


@lru_cache(maxsize=8)
def _powers(lengths: tuple[int, ...]) -> U64:
    """(lengths, longest): a row times a window is the polynomial hash of its first n characters."""
    powers = np.zeros((len(lengths), max(lengths)), np.uint64)
    for row, n in zip(powers, lengths, strict=True):
        row[:n] = [pow(int(_BASE), n - 1 - k, 2**64) for k in range(n)]
    return powers


def word_hashes(codes: U64) -> U64:
    """One hash per run of characters between spaces and punctuation, in order."""
    inside = _JOINS.take(codes.view(np.int64), mode="clip")
    first = inside.copy()
    first[1:] &= SEPARATES.take(codes[:-1].view(np.int64), mode="clip")
    starts = first.nonzero()[0]
    if not len(starts):
        return np.empty(0, np.uint64)
    at = np.arange(len(codes), dtype=np.uint64)
    place = at - np.maximum.accumulate(at * first) + _ONE  # in its word, from 1
    return _mixed(np.add.reduceat(_mixed(codes + _MIX * place) * inside, starts))


def pair_hashes(words: U64) -> U64:
    """Hashes of neighbouring words."""
    return (
        _mixed((words[:-1] * _BASE + words[1:]) ^ _SALT_PAIR)
        if len(words) > 1
        else np.empty(0, np.uint64)
    )


def head_hashes(words: U64) -> U64:
    """Hashes of the first word, the first two, the first three, and the last: the beginning of a
    question says much about it."""
    if not len(words):
        return np.empty(0, np.uint64)
    hashes = np.empty(min(len(words), 3) + 1, np.uint64)
    np.cumsum(words[:3] * _ODD[: len(words)], out=hashes[:-1])
    hashes[-1:] = words[-1:] * _SEVEN
    return _mixed(hashes ^ _SALT_HEAD)


def distinct_buckets(
    blocks: Sequence[tuple[U64, float]], bits: int
) -> tuple[NDArray[np.int64], F32]:
    """The distinct buckets of each block's hashes (their top bits), ascending within a block, and a
    value for each, so that a block's values have its weight as Euclidean norm.

    All blocks are sorted at once as uint32, which numpy does fastest.
    """
    sizes = [len(hashes) for hashes, _ in blocks]
    rows = (np.concatenate([hashes for hashes, _ in blocks]) >> np.uint64(64 - bits)).astype(
        np.uint32
    )
    if not len(rows):
        return np.empty(0, np.int64), np.empty(0, np.float32)
    rows += np.repeat(np.arange(len(sizes), dtype=np.uint32) << np.uint32(bits), sizes)
    rows.sort()
    rows = rows[np.concatenate((_TRUE, rows[1:] != rows[:-1]))]
    counts = np.bincount(rows >> np.uint32(bits), minlength=len(sizes))
    lengths = [
        weight / math.sqrt(count or 1)
        for (_, weight), count in zip(blocks, counts.tolist(), strict=True)
    ]
    return (rows & np.uint32(2**bits - 1)).astype(np.int64), np.repeat(
        np.array(lengths, np.float32), counts
    )


def _mixed(hashes: U64) -> U64:
    """Mix the hashes, so that all 64 bits depend on all differences."""
    hashes = (hashes ^ (hashes >> _SHIFT)) * _MIX
    return hashes ^ (hashes >> _SHIFT)


_MAX_CHARS = 1200  # of a longer ask, only the beginning is examined
_YEAR = re.compile(r"(?<!\d)(1[0-9]{3}|20[0-4][0-9])(?!\d)")
_CODE = b"{}();=<>[]|&\\/_#`"
_LATEX = re.compile(r"\\[a-zA-Z]+|\$|[\^_]\{|[∑∫√≤≥≠∈∀∃∞→⊂⊆∪∩ℝℤℕℚℂ]")
SYMBOLIC = re.compile(r"[a-zA-Z0-9)]\s?[\^=+*<>≤≥]\s?[a-zA-Z0-9(]")
# NFKC turns the Greek question mark into a semicolon.
_QUESTIONS = "?;？؟՞"
_QUOTES = '"“”«»„「」『』'
# Without newlines in the leading white space: many blank lines would take cubic time.
_ROLES = re.compile(r"(?im)^[^\S\n]*(?:[*#<\[]{1,3}\s*)?(user|assistant|human|ai|bot)\b.{0,4}:")
# First and last code points of blocks by which scripts are recognised.
_SCRIPTS = (
    (0x41, 0x24F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x5FF), (0x600, 0x77F), (0x900, 0x97F),
    (0x980, 0x9FF), (0xB80, 0xBFF), (0xE00, 0xE7F), (0x3040, 0x30FF), (0x3400, 0x9FFF),
    (0xAC00, 0xD7AF),
)  # fmt: skip
# For each code point: 1 + its script's index; `SYMBOL` in blocks with the symbols of `_LATEX`.
SYMBOL = len(_SCRIPTS) + 1
SCRIPT_OF = np.zeros(0xFFFF, np.uint8)
SCRIPT_OF[0x2100:0x2300] = SYMBOL
for _at, (_low, _high) in enumerate(_SCRIPTS):
    SCRIPT_OF[_low : _high + 1] = _at + 1
_UPPER, _DIGITS = bytes(range(0x41, 0x5B)), bytes(range(0x30, 0x3A))
_LATIN = bytes(range(_SCRIPTS[0][0], 0x80))
_NO_OTHERS = [0] * (len(_SCRIPTS) - 1)
_LENGTHS = (12, 25, 40, 60, 90, 140, 220, 350, 600, 1200, 3000)
# The last features, by the number of lengths that a text exceeds.
_EXCEEDED = [[1.0] * count + [0.0] * (len(_LENGTHS) - count) for count in range(len(_LENGTHS) + 1)]

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


def dense_of(features: Features, counts: Callable[[str], Counts] | None = None) -> list[float]:
    """One number per name in `NAMES`; most are in 0..1, the logarithms are natural.

    Args:
        counts: for text that is not ASCII; by default `_counts`.
    """
    ask = features.ask
    text = ask[:_MAX_CHARS]
    length = max(len(text), 1)
    ascii_only = text.isascii()
    data = text.encode("ascii", "ignore")
    digits = _count(data, _DIGITS)
    if ascii_only:
        upper, scripts, symbols = _count(data, _UPPER), [_count(data, _LATIN), *_NO_OTHERS], 0
        questions, quoted = text.count("?") + text.count(";"), text.count('"')
    else:
        upper, scripts, symbols = (counts or _counts)(text)
        questions, quoted = sum(map(text.count, _QUESTIONS)), sum(map(text.count, _QUOTES))
    # Cheap checks first: a pattern is not searched for without a character that it requires.
    years = [int(year) for year in _YEAR.findall(text)] if digits >= 4 else []
    formulas = symbols or "\\" in text or "$" in text or "{" in text
    latex = len(_LATEX.findall(text)) if formulas else 0
    operators = symbols or any(mark in text for mark in "^=+*<>")
    symbolic = len(SYMBOLIC.findall(text)) if operators else 0
    roles = len(_ROLES.findall(text)) if ":" in text else 0
    return [
        math.log1p(len(ask)), math.log1p(text.count(" ")), math.log1p(ask.count("\n")),
        _count(data, _CODE) / length, min(latex, 12) / 12, min(symbolic, 8) / 8,
        digits / length, float(questions > 0), min(questions, 5) / 5, min(quoted, 6) / 6,
        upper / length, float("```" in text), float("http" in text or "www." in text),
        min(text.count("\n- ") + text.count("\n* ") + text.count("\n1"), 6) / 6,
        *(_periods(years) if years else _NO_PERIODS),
        float(features.has_tools), float(features.has_images), min(features.n_user, 8) / 8,
        float(bool(features.previous)), float(is_follow_up(features)), float(bool(features.system)),
        math.log1p(len(features.system)),
        math.log1p(sum([len(turn) for _, turn in features.previous])),
        float(features.last_role == "user"),
        float(text.lstrip().startswith("#")), min(roles, 6) / 6, float("</" in text),
        float('{"' in text or '{ "' in text), float(text.rstrip().endswith(":")),
        *[count / length for count in scripts],
        *_EXCEEDED[bisect_left(_LENGTHS, len(ask))],
    ]  # fmt: skip


_NO_PERIODS = (0.0,) * 4


def _periods(years: list[int]) -> tuple[float, ...]:
    """Whether there are years before 2020, 2020 to 2022, 2023 and 2024, and later ones."""
    return (
        float(any(y < 2020 for y in years)),
        float(any(2020 <= y < 2023 for y in years)),
        float(any(2023 <= y < 2025 for y in years)),
        float(any(y >= 2025 for y in years)),
    )


def _count(data: bytes, characters: bytes) -> int:
    return len(data) - len(data.translate(None, characters))


def _counts(text: str) -> Counts:
    """The numbers of upper-case characters, of characters per script, and of symbols."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    lower = np.frombuffer(text.lower().encode("utf-32-le", "surrogatepass"), np.uint32)
    upper = int(np.count_nonzero(codes != lower)) if len(lower) == len(codes) else 0
    found = SCRIPT_OF.take(codes, mode="clip")
    counts: list[int] = np.bincount(found, minlength=SYMBOL + 1).tolist()
    return upper, counts[1:SYMBOL], counts[SYMBOL]
