"""The store: each ask once, with its newest label; bounded; private."""

from pathlib import Path

import pytest

from airouter.domain.errors import ConfigError
from airouter.learning.store import DAY, Agreement, Example, Store
from tests.classify.make import features

POEM = features(
    ("system", "You help."), "Hi", ("assistant", "Hello!"), "Write a poem about rain. " * 3
)


def example(ask: str, at: float = 1000.0, label: str = "MODERATE") -> Example:
    return Example(at, label, features(ask))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "tuned")


def test_what_is_stored_comes_back(store: Store) -> None:
    assert list(store.examples()) == []
    assert store.span() == (0, 0.0, 0.0)
    stored = [Example(2000.0, "COMPLEX", POEM), example("Hi there")]
    assert store.add(stored) == 2
    assert list(store.examples()) == [stored[1], stored[0]], "oldest first"
    assert store.span() == (2, 1000.0, 2000.0)


def test_an_ask_is_there_once_with_its_newest_label(store: Store) -> None:
    """Without regard to case and final punctuation, as in the cache."""
    store.add([example("What is rain?", 1000.0), example("what is  RAIN?", 2000.0, "ENRICH")])
    assert store.add([example("What is rain?!", 500.0), example("What is rain?", 2000.0)]) == 0
    assert [(one.at, one.label) for one in store.examples()] == [(2000.0, "ENRICH")]


def test_what_is_too_large_is_left_out(store: Store) -> None:
    noise = "".join(chr(0x4E00 + i * 7919 % 20000) for i in range(12_000))
    assert store.add([example(noise)]) == 0


def test_it_is_bounded_by_age_and_number(store: Store) -> None:
    now = 100 * DAY
    store.add([example(f"ask {day}", day * DAY) for day in range(100)])
    store.add_check(1 * DAY, "m", True, False)
    store.prune(now, max_age_days=50, max_count=1000)
    assert [one.at / DAY for one in store.examples()] == list(range(50, 100))
    store.prune(now, max_age_days=50, max_count=10)
    assert [one.at / DAY for one in store.examples()] == list(range(90, 100))
    assert store.agreement("m", 0).n == 0


def test_deleted_text_is_overwritten(store: Store) -> None:
    store.add([Example(1.0, "SIMPLE", POEM)])
    before = store.path.read_bytes()
    store.prune(DAY * 100, 1, 1000)
    assert b"COMPLEX" not in before
    assert before.count(b"SIMPLE") == 1
    assert store.path.read_bytes().count(b"SIMPLE") == 0


def test_checks_and_shadow_are_counted_by_model(store: Store) -> None:
    assert store.agreement("m", 0) == Agreement(0, 0, 0)
    assert store.shadow("m") == {}
    for at, agreed, harmful in ((1, True, False), (2, False, True), (3, False, False)):
        store.add_check(at, "m", agreed, harmful)
    store.add_check(3, "other", True, False)
    assert store.agreement("m", 0) == Agreement(3, 1, 1)
    assert store.agreement("m", 2) == Agreement(2, 0, 1)
    store.count_shadow("m", {("reasoning", "agrees"): 2})
    store.count_shadow("m", {("reasoning", "agrees"): 3, ("encoder", "differs"): 1})
    assert store.shadow("m") == {("reasoning", "agrees"): 5, ("encoder", "differs"): 1}


def test_it_is_private(store: Store) -> None:
    store.add([example("Hi")])
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_no_database_is_a_sentence(store: Store) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(b"not a database, but as long as a page of one" * 100)
    with pytest.raises(ConfigError, match="cannot be used"):
        list(store.examples())
