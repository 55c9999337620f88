"""Is the data fit to learn from? `python -m learn.check_data [FOLDER]`: form, counts, duplicates,
leaks between origins.

Near duplicates: the sets of 5-grams of characters of both the whole conversations and their last
messages have a Jaccard similarity of at least 0.8. Found exactly, by the rarest 5-grams (prefix
filtering), not by sampling.
"""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from learn.data import PROMPTS, Prompt, origins_of, read_prompts

SIMILAR = 0.8
_GRAM = 5
_NOT_A_LETTER = re.compile(r"[^\w\s]+|_", re.UNICODE)
_LEAST_PER_CLASS = {"PRIMARY": 1000, "COMPLEX": 1000, "ENRICH": 1000, "META": 400}
_LEAST = 5000


def normalised(text: str) -> str:
    """NFKC, case-folded, without punctuation, single spaces: what two prompts are compared by."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_NOT_A_LETTER.sub(" ", folded).split()) or folded.strip()


def grams(text: str) -> frozenset[str]:
    """The 5-grams of characters; a shorter text is one gram."""
    return frozenset(text[i : i + _GRAM] for i in range(max(1, len(text) - _GRAM + 1)))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0


def duplicates(
    prompts: Sequence[Prompt], threshold: float = SIMILAR
) -> list[tuple[int, int, float]]:
    """Pairs (earlier, later, similarity) of places in `prompts`; similarity 1.0 where the
    normalised texts are equal."""
    texts = [normalised(prompt.text) for prompt in prompts]
    sets = [grams(text) for text in texts]
    lasts = [grams(normalised(prompt.last)) for prompt in prompts]
    frequency = Counter(gram for grams_ in sets for gram in grams_)
    by_gram: dict[str, list[int]] = defaultdict(list)
    found: list[tuple[int, int, float]] = []
    for later, mine in enumerate(sets):
        rarest = sorted(mine, key=lambda gram: (frequency[gram], gram))
        prefix = rarest[: len(mine) - int(threshold * len(mine)) + 1]
        candidates = {earlier for gram in prefix for earlier in by_gram[gram]}
        for earlier in sorted(candidates):
            theirs = sets[earlier]
            if min(len(mine), len(theirs)) < threshold * max(len(mine), len(theirs)):
                continue
            alike = 1.0 if texts[earlier] == texts[later] else jaccard(mine, theirs)
            if alike >= threshold and jaccard(lasts[earlier], lasts[later]) >= threshold:
                found.append((earlier, later, alike))
        for gram in prefix:
            by_gram[gram].append(later)
    return found


def missing(prompts: Sequence[Prompt]) -> list[str]:
    counts = Counter(prompt.label for prompt in prompts)
    lacks = [
        f"{name}: {counts[name]} of at least {least}"
        for name, least in _LEAST_PER_CLASS.items()
        if counts[name] < least
    ]
    if len(prompts) < _LEAST:
        lacks.append(f"{len(prompts)} prompts of at least {_LEAST}")
    for what, least, have in (
        ("origins", 8, len(origins_of(prompts))),
        ("languages", 12, len({prompt.lang for prompt in prompts})),
    ):
        if have < least:
            lacks.append(f"{have} {what} of at least {least}")
    return lacks


def main(arguments: Sequence[str]) -> int:
    """Print the findings; 1 when a line is malformed or anything comes twice."""
    prompts, faults = read_prompts(Path(arguments[0]) if arguments else PROMPTS)
    print(f"{len(prompts)} prompts: {dict(Counter(prompt.label for prompt in prompts))}")
    for fault in faults:
        print(f"malformed  {fault}")
    pairs = duplicates(prompts)
    leaks = 0
    for earlier, later, alike in pairs:
        a, b = prompts[earlier], prompts[later]
        leaks += a.origin != b.origin
        kind = "exact" if alike == 1.0 else f"{alike:.2f}"
        note = "" if a.label == b.label else f"  LABELS DIFFER: {a.label}, {b.label}"
        print(f"duplicate  {kind:5s} {a.where} {b.where}{note}  {b.last[:60]!r}")
    for lack in missing(prompts):
        print(f"too few    {lack}")
    print(
        f"{len(faults)} malformed, {len(pairs)} duplicates, {leaks} of them leaks between origins"
    )
    return 1 if faults or pairs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
