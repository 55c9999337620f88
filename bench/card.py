"""A scorecard: what an answer is worth to a client, what came out of each case, and the promises
drawn from all of them."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

from bench.client import Answer
from bench.fault_cases import EITHER, ERROR, FIRST_CONTENT_S, WORDS, Case
from bench.result import NOTHING, Promises, Result, ms, number
from bench.stand import Chain
from simulator.testing import answer_numbers

_HEAD = "simulated answer"  # each simulated answer says so once, before its numbered words


class Outcome(StrEnum):
    WHOLE = "whole"
    ERROR = "clean error"
    HUNG = "hung"
    TRUNCATED = "truncated as success"
    DUPLICATED = "duplicated text"
    BROKEN = "broken off"  # neither an answer nor an error that a client could read


UNBEARABLE = (Outcome.HUNG, Outcome.TRUNCATED, Outcome.DUPLICATED, Outcome.BROKEN)


def outcome_of(answer: Answer, words: int) -> Outcome:
    """Judge an answer that should have had so many numbered words."""
    if answer.late:
        return Outcome.HUNG
    numbers = answer_numbers(answer.text)
    if any(b <= a for a, b in pairwise(numbers)) or answer.text.count(_HEAD) > 1:
        return Outcome.DUPLICATED
    if not answer.whole:
        return Outcome.BROKEN
    if answer.status != 200:
        return Outcome.ERROR if is_error(answer.json()) else Outcome.BROKEN
    complete = numbers == list(range(1, words + 1))
    if not answer.streamed:
        payload = answer.json()
        if is_error(payload) and "choices" not in payload:
            return Outcome.BROKEN  # an error under a status of 200
        return Outcome.WHOLE if complete and _finished(payload) else Outcome.TRUNCATED
    events = answer.events()
    if any(is_error(event) for event in events):
        # Said to be over and broken at once: a client that looks only at the end takes it for
        # complete. Nothing may be missing before it; the last word may be half a word.
        counted = list(range(1, len(numbers) + 1))
        honest = numbers == counted or numbers[:-1] == counted[:-1]
        clean = "[DONE]" not in events and is_error(events[-1]) and honest
        return Outcome.ERROR if clean else Outcome.TRUNCATED
    if any(isinstance(event, bytes) for event in events):
        return Outcome.BROKEN
    ended = events[-1:] == ["[DONE]"] and any(_finished(event) for event in events)
    return Outcome.WHOLE if complete and ended else Outcome.TRUNCATED


def as_promised(outcome: Outcome, promised: str) -> bool:
    if promised == EITHER:
        return outcome in (Outcome.WHOLE, Outcome.ERROR)
    return outcome is (Outcome.ERROR if promised == ERROR else Outcome.WHOLE)


def is_error(payload: Any) -> bool:
    """Whether it is an error in the shape that OpenAI's clients read."""
    error = payload.get("error") if isinstance(payload, dict) else None
    return (
        isinstance(error, dict)
        and {"message", "type", "param", "code"} <= set(error)
        and isinstance(error["message"], str)
    )


def _finished(payload: Any) -> bool:
    choices = payload.get("choices") if isinstance(payload, dict) else None
    return bool(choices) and all(
        isinstance(choice, dict) and choice.get("finish_reason") for choice in choices or []
    )


TEXT = "Tell me something about rivers."
GAP_S = 1.0
COLUMNS = ("first tier", "mode", "outcome", "promised", "1st saw", "2nd saw", "first content s",
    "s", "gap ms", "ok")  # fmt: skip


@dataclass(slots=True)
class Found:
    """What a case has shown. `wrong`: what else the router must not do, a sentence each."""

    answers: list[Answer]
    first_saw: int
    second_saw: int
    left_behind: int = 0  # slots
    wrong: list[str] = field(default_factory=list)

    @property
    def worst(self) -> Answer:
        order = list(Outcome)
        return max(self.answers, key=lambda answer: order.index(outcome_of(answer, WORDS)))

    @property
    def outcome(self) -> Outcome:
        """The worst of its answers'."""
        return outcome_of(self.worst, WORDS)

    @property
    def first_content(self) -> float | None:
        """Of several answers the latest."""
        times = [at for answer in self.answers if (at := answer.first_content) is not None]
        return max(times, default=None)

    @property
    def seconds(self) -> float:
        return max(answer.seconds for answer in self.answers)


def ask(where: Chain, case: Case, stream: bool, limit: float) -> Found:
    """One request while the faults last."""
    for fault in case.faults_of(stream):
        where.fault(fault.tier, fault.name, **fault.params)
    answer = where.ask(TEXT, limit=limit, stream=stream)
    found = Found([answer], where.seen("first"), where.seen("second"))
    if case.refused and found.second_saw:
        found.wrong.append("the second tier was asked though the request was refused")
    if case.code:
        payload = answer.json()
        error = payload.get("error") if isinstance(payload, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        if (answer.status, code) != (400, case.code if where.api.codes else None):
            found.wrong.append(f"refused with status {answer.status} and code {code}")
    return found


class Card:
    """Grows by a row per case and mode."""

    def __init__(self, benchmark: str, title: str) -> None:
        self.table = Result(benchmark, title, COLUMNS)
        self.table.notes += [
            "1st, 2nd saw: generation requests that reached the tier (one that is refused or reset "
            "on connecting does not)",
            "first content: of several requests the latest; gap: the longest silence between two "
            "pieces of a stream",
        ]
        self.promises = Promises(benchmark, "What was promised")
        self._kept: dict[tuple[bool, bool], list[bool]] = {}  # by (extra, not streamed)
        self._outcomes: Counter[Outcome] = Counter()
        self.left_behind = 0
        self._first: list[tuple[float, str]] = []
        self._gaps: dict[str, float] = {}

    def add(self, case: Case, stream: bool, found: Found | str) -> None:
        """A row; a sentence is why the case could not be run."""
        mode = "stream" if stream else "whole"
        kept = self._kept.setdefault((case.extra, not stream), [])
        if isinstance(found, str):
            kept.append(False)
            cells = (case.name, mode, "not run", *[NOTHING] * 6, "NO")
            self.table.add(cells, mode=mode, kept=False)
            self.table.notes.append(f"{case.name} ({mode}): {found[:300]}")
            return
        wrong, first = found.wrong, found.first_content
        if stream and (first or 0.0) > FIRST_CONTENT_S:
            wrong.append(f"text after {first:.1f} s")
        if not stream and found.seconds > case.plain_within:
            wrong.append(f"{found.seconds:.1f} s, promised {case.plain_within:g} s")
        outcome, promised = found.outcome, case.promised(stream)
        good = as_promised(outcome, promised) and not wrong
        kept.append(good)
        self._outcomes.update(outcome_of(answer, WORDS) for answer in found.answers)
        self.left_behind += found.left_behind
        gap = None
        if stream:
            gap = max(answer.gap for answer in found.answers)
            self._first += [] if first is None else [(first, case.name)]
            # A pause that the fault itself is long enough to explain is not the router's.
            cut = {"cut", "cut_clean", "error_event"} & {fault.name for fault in case.faults}
            if cut and outcome is Outcome.WHOLE:
                self._gaps[case.name] = gap
        shown = mode if case.only in ("", mode) else f"{mode} (no effect)"
        self.table.add(
            (case.name, shown, str(outcome), promised, str(found.first_saw), str(found.second_saw),
             number(first, 2), f"{found.seconds:.2f}", ms(gap, 0), "yes" if good else "NO"),
            mode=mode, effective=shown == mode, outcome=str(outcome), promised=promised,
            first_saw=found.first_saw, second_saw=found.second_saw, first_content_s=first,
            seconds=found.seconds, gap_s=gap, requests=len(found.answers), extra=case.extra,
            wrong=wrong, kept=good,
        )  # fmt: skip
        if not good:
            worst = found.worst
            end = worst.problem or worst.body[-160:].decode("utf-8", "replace").strip()
            said = "; ".join(wrong) or f"status {worst.status}, {end}"
            self.table.notes.append(f"{case.name} ({mode}): {said}")

    def results(self) -> list[Result]:
        """The table, and the promises drawn from it."""
        check = self.promises.check
        for (extra, plain), kept in sorted(self._kept.items()):
            what = f"{'beyond the sixteen' if extra else 'as promised'}, "
            what += "not streamed" if plain else "streaming"
            check(what, f"{len(kept)} of {len(kept)}", f"{sum(kept)} of {len(kept)}", all(kept))
        for outcome in UNBEARABLE:
            count = self._outcomes[outcome]
            check(str(outcome), "0", f"{count} of {self._outcomes.total()}", count == 0)
        self.promises.count("slots in use afterwards", self.left_behind)
        if self._first:
            longest, name = max(self._first)
            check(
                "first content of a stream", f"≤ {FIRST_CONTENT_S:g} s",
                f"{longest:.1f} s at most ({name})", longest <= FIRST_CONTENT_S, seconds=longest,
            )  # fmt: skip
        if self._gaps:
            worst = max(self._gaps, key=self._gaps.__getitem__)
            check(
                "gap in a stream that was cut and continued", f"≤ {GAP_S:g} s",
                f"{ms(self._gaps[worst])} ms ({worst})", self._gaps[worst] <= GAP_S,
                gaps_s=self._gaps,
            )  # fmt: skip
        counts = (self._outcomes[Outcome.WHOLE], self._outcomes[Outcome.ERROR])
        self.promises.note("rescued whole / clean error", f"{counts[0]} / {counts[1]}")
        return [self.table, self.promises.result]
