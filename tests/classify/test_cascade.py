"""The cascade: the order of its tiers, what it falls back to, what it remembers, and that equal
asks at the same time are classified once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from typing import Any

import pytest
from harness import eventually

from airouter.classify.cascade import Cascade, Deliberation
from airouter.classify.tiers.cache import CacheTier
from airouter.domain.clock import Clock
from airouter.domain.errors import ClientGone, DeadlineExceeded
from airouter.domain.types import Decision, Features, Verdict
from tests.classify.make import exchange, features, finish, waiting

ASK = features("Why is the sky blue?")
ALL = 1000


class Votes:
    """An instant tier with a given verdict."""

    instant = True

    def __init__(self, name: str, label: str | None, **verdict: Any) -> None:
        self.name = name
        self._verdict = Verdict(name, label, **verdict)
        self.asked = 0

    def vote(self, features: Features) -> Verdict:
        self.asked += 1
        return self._verdict


class Calls:
    """A calling tier that answers with its verdicts in turn (the last one again and again); only
    the first `answered` calls end."""

    name = "reasoning"
    instant = False

    def __init__(self, *verdicts: Verdict | Exception, name: str = "reasoning") -> None:
        self.name = name
        self._verdicts = list(verdicts)
        self.asked = 0
        self.answered = ALL

    def ask(self, exchange: Any, features: Features) -> Generator[Any, None, Verdict]:
        self.asked += 1
        number = self.asked
        verdict = self._verdicts.pop(0) if len(self._verdicts) > 1 else self._verdicts[0]
        while number > self.answered:
            yield from waiting(exchange)
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


COMPLEX = Verdict("reasoning", "COMPLEX", p=0.9, finish_reason="stop")
NO_LABEL = Verdict("reasoning", None, finish_reason="timeout")


def cascade(*tiers: Any, **options: Any) -> Cascade:
    return Cascade(tiers, Clock(), **options)


def decide(chosen: Cascade, ask: Features = ASK, client: socket.socket | None = None) -> Decision:
    deliberation = chosen.deliberate(ask)
    return deliberation.decision or run(deliberation, client)


def run(deliberation: Deliberation, client: socket.socket | None = None) -> Decision:
    with exchange(client) as ours:
        return finish(ours, deliberation.run(ours))


class Together:
    """Equal asks, each in a thread of its own, all of them waiting for a tier until `end()`."""

    def __init__(
        self,
        chosen: Cascade,
        tier: Calls,
        count: int,
        ask: Features = ASK,
        client: socket.socket | None = None,
    ) -> None:
        self.decisions: list[Decision] = []
        self.errors: list[BaseException] = []
        self._tier = tier
        tier.answered = 0

        def work() -> None:
            try:
                self.decisions.append(decide(chosen, ask, client))
            except BaseException as error:
                self.errors.append(error)

        self._threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def end(self) -> list[Decision]:
        self._tier.answered = ALL
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "an ask hangs"
        return self.decisions


def followers(chosen: Cascade) -> int:
    return sum(len(flight.followers) for flight in list(chosen.flights.flights.values()))


# The order of the tiers ---------------------------------------------------------------------------


def test_the_first_tier_that_does_not_abstain_decides_at_once() -> None:
    """Later ones are not asked; nothing is left to run."""
    abstains, decides = Votes("rules", None), Votes("learned", "SIMPLE", p=0.97, threshold=0.96)
    later, calls = Votes("other", "COMPLEX"), Calls(COMPLEX)
    decision = cascade(abstains, decides, later, calls).deliberate(ASK).decision
    assert decision is not None
    assert (decision.label, decision.tier, decision.p) == ("SIMPLE", "learned", 0.97)
    assert decision.threshold == 0.96
    assert [verdict.tier for verdict in decision.verdicts] == ["rules", "learned"]
    assert (later.asked, calls.asked) == (0, 0)


def test_a_calling_tier_waits_for_run() -> None:
    calls = Calls(COMPLEX)
    deliberation = cascade(Votes("rules", None), calls).deliberate(ASK)
    assert deliberation.decision is None
    assert calls.asked == 0
    assert run(deliberation).tier == "reasoning"


def test_tiers_after_one_that_abstains_are_asked_in_order() -> None:
    """An instant tier may stand behind a calling one."""
    one_token = Calls(Verdict("one_token", None), name="one_token")
    late, last = Votes("late", None), Calls(COMPLEX)
    decision = decide(cascade(one_token, late, last))
    assert [verdict.tier for verdict in decision.verdicts] == ["one_token", "late", "reasoning"]
    assert decision.label == "COMPLEX"
    decision = decide(cascade(one_token, Votes("late", "META"), last))
    assert (decision.label, decision.tier) == ("META", "late")
    assert last.asked == 1


def test_how_probable_the_primary_is_comes_from_the_latest_tier_that_says_so() -> None:
    tiers = [Votes("a", None, p_primary=0.2), Votes("b", None, p_primary=0.7), Votes("c", None)]
    assert cascade(*tiers).deliberate(ASK).p_primary == 0.7
    assert cascade(Votes("c", None)).deliberate(ASK).p_primary is None


# When nothing decides -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guesses", "label", "p"),
    [
        ([], "MODERATE", None),
        ([("COMPLEX", 0.89)], "MODERATE", None),
        ([("COMPLEX", 0.9)], "COMPLEX", 0.9),
        ([("COMPLEX", 0.91), ("ENRICH", 0.95)], "ENRICH", 0.95),
        ([("ENRICH", 0.95), ("COMPLEX", 0.1)], "ENRICH", 0.95),
        ([("COMPLEX", None), (None, 0.99)], "MODERATE", None),
    ],
    ids=str,
)
@pytest.mark.parametrize("calling", [False, True])
def test_the_most_probable_guess_decides_from_fallback_min_p_on(
    guesses: list[tuple[str | None, float | None]], label: str, p: float | None, calling: bool
) -> None:
    """Below it, and where there is none, the primary answers, whichever tier was the last."""
    tiers: list[Any] = [Votes(f"tier{n}", None, guess=g, p=q) for n, (g, q) in enumerate(guesses)]
    decision = decide(cascade(*tiers, *([Calls(NO_LABEL)] * calling), fallback_min_p=0.9))
    assert (decision.label, decision.tier, decision.p) == (label, "fallback", p)
    assert decision.threshold == (None if p is None else 0.9)


@pytest.mark.parametrize(
    ("guess", "p", "label", "threshold"),
    [
        ("ENRICH", 0.6, "ENRICH", 0.6),
        ("ENRICH", 0.59, "MODERATE", None),
        ("COMPLEX", 0.89, "MODERATE", None),
        ("COMPLEX", 0.9, "COMPLEX", 0.9),
    ],
)
def test_a_guess_of_enrich_has_a_threshold_of_its_own(
    guess: str, p: float, label: str, threshold: float | None
) -> None:
    tiers = cascade(
        Votes("learned", None, guess=guess, p=p), fallback_min_p=0.9, fallback_min_p_enrich=0.6
    )
    assert (decide(tiers).label, decide(tiers).threshold) == (label, threshold)


def test_without_the_setting_no_guess_decides() -> None:
    decision = decide(cascade(Votes("learned", None, guess="COMPLEX", p=0.999)))
    assert (decision.label, decision.tier) == ("MODERATE", "fallback")


# Memory -------------------------------------------------------------------------------------------


def remembering(*tiers: Any) -> Cascade:
    return cascade(CacheTier(Clock()), *tiers)


def test_a_calling_tiers_decision_is_remembered() -> None:
    calls = Calls(COMPLEX)
    chosen = remembering(calls)
    assert decide(chosen).tier == "reasoning"
    again = chosen.deliberate(features("WHY is the sky  blue?")).decision
    assert again is not None
    assert (again.label, again.tier, again.p) == ("COMPLEX", "cache", 0.9)
    assert calls.asked == 1


@pytest.mark.parametrize(
    "verdict", [NO_LABEL, Verdict("reasoning", "COMPLEX", finish_reason="length")], ids=str
)
def test_what_was_not_properly_decided_is_not_remembered(verdict: Verdict) -> None:
    calls = Calls(verdict)
    chosen = remembering(calls)
    decide(chosen)
    assert chosen.deliberate(ASK).decision is None
    assert decide(chosen).tier != "cache"
    assert calls.asked == 2


def test_an_ask_that_is_never_remembered_is_decided_each_time() -> None:
    """An empty one, say: there is nothing to compare."""
    calls = Calls(COMPLEX)
    chosen = remembering(calls)
    assert [decide(chosen, features("")).tier for _ in range(2)] == ["reasoning"] * 2
    assert calls.asked == 2


# Equal asks at the same time ----------------------------------------------------------------------


def test_equal_asks_at_once_are_classified_once() -> None:
    """All get the decision; those that waited say so, and list only the verdict that decided."""
    calls = Calls(COMPLEX)
    chosen = remembering(Votes("rules", None), calls)
    asks = Together(chosen, calls, 10)
    eventually(lambda: followers(chosen) == 9)
    decisions = asks.end()
    assert asks.errors == []
    assert calls.asked == 1
    assert {(d.label, d.tier, d.p) for d in decisions} == {("COMPLEX", "reasoning", 0.9)}
    waited = [d for d in decisions if "equal request" in d.verdicts[-1].reason]
    assert len(waited) == 9
    assert all(d.verdicts[-1].label == "COMPLEX" for d in waited)
    assert chosen.flights.flights == {}


def test_other_asks_do_not_wait() -> None:
    calls = Calls(COMPLEX)
    chosen = remembering(calls)
    one = Together(chosen, calls, 1)
    other = Together(chosen, calls, 1, features("Why is grass green?"))
    eventually(lambda: calls.asked == 2)
    assert len(one.end()) == len(other.end()) == 1


def test_without_a_cache_each_ask_is_classified() -> None:
    """Whoever wants no memory gets none, not even for a moment."""
    calls = Calls(COMPLEX)
    asks = Together(cascade(calls), calls, 3)
    eventually(lambda: calls.asked == 3)
    assert len(asks.end()) == 3


@pytest.mark.parametrize(
    "first", [NO_LABEL, DeadlineExceeded("out of time")], ids=["no label", "error"]
)
def test_a_leader_without_a_decision_worth_sharing_is_replaced(
    first: Verdict | Exception,
) -> None:
    """The others are not told its fallback: the next of them leads."""
    calls = Calls(first, COMPLEX)
    chosen = remembering(calls)
    asks = Together(chosen, calls, 4)
    eventually(lambda: followers(chosen) == 3)
    calls.answered = 1
    eventually(lambda: followers(chosen) == 2)
    decisions = asks.end()
    assert calls.asked == 2
    assert len(asks.errors) == isinstance(first, Exception)
    assert sum(d.label == "COMPLEX" for d in decisions) == 3
    assert chosen.flights.flights == {}


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_one_that_leaves_keeps_nobody_waiting(who: str) -> None:
    """When its client disconnects, the seat is given up; where it led, another one leads."""
    calls = Calls(COMPLEX)
    chosen = remembering(calls)
    client, far_end = socket.socketpair()
    gone = Together(chosen, calls, 1, client=client) if who == "leader" else None
    eventually(lambda: calls.asked == (who == "leader"))
    others = Together(chosen, calls, 2)
    eventually(lambda: followers(chosen) == (2 if who == "leader" else 1))
    if gone is None:
        gone = Together(chosen, calls, 1, client=client)
        eventually(lambda: followers(chosen) == 2)
    far_end.close()
    eventually(lambda: len(gone.errors) == 1)
    assert isinstance(gone.errors[0], ClientGone)
    eventually(lambda: followers(chosen) == 1)
    assert [d.label for d in others.end()] == ["COMPLEX"] * 2
    assert calls.asked == (2 if who == "leader" else 1)
    assert chosen.flights.flights == {}
    client.close()
