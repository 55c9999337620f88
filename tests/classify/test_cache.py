"""What the decision cache remembers, and what it refuses to."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from doubles import FakeClock

from airouter.classify.tiers.cache import CacheTier, is_cacheable, key_of, normalised
from airouter.domain.types import Decision, Verdict
from tests.classify.make import decision, features


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> CacheTier:
    return CacheTier(clock, size=3)


def test_remembers_a_decision(cache: CacheTier) -> None:
    assert cache.vote(features("Why is the sky blue?")).label is None
    assert cache.store(features("Why is the sky blue?"), decision())
    verdict = cache.vote(features("why is  the sky\nblue?"))
    assert (verdict.label, verdict.p, verdict.tier) == ("MODERATE", 0.9, "cache")
    assert cache.hits == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Explain monads.", "explain monads"),
        ("  explain\tmonads\n", "Explain Monads…"),
        ("explain monads", "Current date: 2026-11-21\nexplain monads"),
        ("explain monads", "Today's date is Saturday, 21 November 2026\n\nexplain monads"),
        ("explain monads", "[2026-11-21 08:15:03] explain monads"),
        ("ﬁne", "fine"),
    ],
)
def test_irrelevant_differences_share_a_key(one: str, other: str) -> None:
    assert key_of(features(one)) == key_of(features(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (features("Is it raining"), features("Is it raining?")),
        (features("explain monads"), features("explain nomads")),
        (features("read this"), features("read this", tools=[{"type": "function"}])),
        (features("and tomorrow?"), features("and tomorrow?", metadata={"task": "chat"})),
        (
            features("weather in Oslo", ("assistant", "Rain"), "and tomorrow?"),
            features("2+2", ("assistant", "4"), "and tomorrow?"),
        ),
        (
            features("the date of the treaty of 2020-01-02"),
            features("the date of the treaty of 2021-01-02"),
        ),
    ],
)
def test_relevant_differences_have_different_keys(one: object, other: object) -> None:
    assert key_of(one) != key_of(other)  # type: ignore[arg-type]


def test_a_long_request_is_not_a_follow_up() -> None:
    long = "Explain how a four-stroke engine works, step by step, for a curious ten-year-old."
    assert key_of(features(long)) == key_of(features("hello", ("assistant", "hi"), long))


def test_empty_and_very_long_requests_are_not_cached(cache: CacheTier) -> None:
    for ask in ("", "  \n", "x" * 20_001):
        assert key_of(features(ask)) is None
        assert not cache.store(features(ask), decision())
        assert cache.vote(features(ask)).label is None


def test_date_lines_are_ignored_but_not_sentences_about_dates() -> None:
    assert normalised("What is the current date in Tokyo?") == "what is the current date in tokyo?"


@pytest.mark.parametrize(
    "refused",
    [
        decision(tier="fallback"),
        decision(tier="rules"),
        decision(tier="learned"),
        decision(finish="timeout"),
        decision(finish="length"),
        decision(finish="upstream_error"),
        decision(forced=True),
        decision(label="META"),
        Decision("MODERATE", "reasoning", None, None, 1.0, ()),
    ],
)
def test_incomplete_decisions_are_not_cached(cache: CacheTier, refused: Decision) -> None:
    assert not cache.store(features("some ask"), refused)
    assert len(cache) == 0


def test_the_verdict_that_decided_determines_whether_it_is_cached() -> None:
    verdicts = (
        Verdict("one_token", None, finish_reason="timeout"),
        Verdict("reasoning", "COMPLEX", finish_reason="label"),
    )
    assert is_cacheable(Decision("COMPLEX", "reasoning", None, None, 1.0, verdicts))


def test_what_depends_on_the_day_is_forgotten_sooner(cache: CacheTier, clock: FakeClock) -> None:
    cache.store(features("weather in Oslo"), decision("ENRICH"))
    cache.store(features("prove Fermat"), decision("COMPLEX"))
    clock.elapsed = 599
    assert cache.vote(features("weather in Oslo")).label == "ENRICH"
    clock.elapsed = 601
    assert cache.vote(features("weather in Oslo")).label is None
    assert cache.vote(features("prove Fermat")).label == "COMPLEX"
    clock.elapsed = 24 * 3600 + 1
    assert cache.vote(features("prove Fermat")).label is None
    assert len(cache) == 0


def test_the_least_recently_used_entry_is_evicted_first(cache: CacheTier) -> None:
    for ask in ("one", "two", "three"):
        cache.store(features(ask), decision())
    cache.vote(features("one"))
    cache.store(features("four"), decision())
    assert len(cache) == 3
    assert cache.vote(features("two")).label is None
    assert cache.vote(features("one")).label == "MODERATE"


def test_many_threads() -> None:
    cache = CacheTier(FakeClock(), size=50)

    def work(n: int) -> None:
        for i in range(200):
            ask = features(f"ask number {(n * 7 + i) % 90}")
            if cache.vote(ask).label is None:
                cache.store(ask, decision())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(cache) <= 50
