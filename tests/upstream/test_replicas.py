"""Which replica a request goes to: conversations stay, failures attract none, recovery is slow."""

from __future__ import annotations

from collections import Counter

import pytest
from doubles import FakeClock
from replica_fleet import URLS, fleet, talk

from airouter.runtime.state import State
from airouter.upstream.replicas import (
    Replicas,
    conversation_key,
    for_conversation,
    least_loaded,
    share,
)

TALKS = range(300)


def first_urls(state: State) -> dict[int, str]:
    """The URL of the replica that each conversation prefers."""
    replicas = [*state.backends.values()]
    return {i: for_conversation(replicas, conversation_key(talk(i)))[0].url for i in TALKS}


def busy(state: State, name: str, requests: int) -> None:
    for _ in range(requests):
        state.backends[name].traffic.begin()


def test_a_conversation_is_known_by_how_it_begins() -> None:
    """The system message and the first user message; what follows changes nothing."""
    begun = [{"role": "system", "content": "You help."}, *talk(1)]
    later = [*begun, {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "More"}]
    assert conversation_key(begun) == conversation_key(later)
    assert conversation_key(begun) != conversation_key(talk(1))
    pictures = [
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:{x}"}}]}]
        for x in "ab"
    ]
    assert conversation_key(pictures[0]) != conversation_key(pictures[1])
    for odd in ([], [None], [{"role": "user"}], [{"role": "user", "content": [1, {"text": 2}]}]):
        assert len(conversation_key(odd)) == 8


def test_conversations_are_spread_and_only_those_of_a_failed_replica_move() -> None:
    """About a third each; the others stay where they are, in every order of the list."""
    state = fleet()
    before = first_urls(state)
    assert all(60 < count < 140 for count in Counter(before.values()).values())
    assert first_urls(fleet(*reversed(URLS))) == before
    dead = state.backends["fleet-2"]
    dead.breaker.fail("connect")
    after = first_urls(state)
    assert {i for i in TALKS if after[i] != before[i]} == {
        i for i in TALKS if before[i] == dead.url
    }
    assert len(Counter(after.values())) == 2


@pytest.mark.parametrize("how", ["out", "paused", "open"])
def test_a_preferred_replica_that_cannot_answer_is_left(how: str) -> None:
    state = fleet(breaker_fails=1)
    key = conversation_key(talk(1))
    replicas = [*state.backends.values()]
    preferred, second, _ = for_conversation(replicas, key)
    if how == "out":
        preferred.out = True
    elif how == "paused":
        preferred.pause.begin("loading", 10)
    else:
        preferred.breaker.fail("other")
    assert for_conversation(replicas, key) == [second, *for_conversation(replicas, key)[1:]]
    assert for_conversation(replicas, key)[-1] is preferred


def test_it_is_left_only_when_it_is_clearly_ahead() -> None:
    """By more than half of its slots, or when it is full while another one is not."""
    state = fleet(slots=8)
    key = conversation_key(talk(1))
    replicas = [*state.backends.values()]
    preferred = for_conversation(replicas, key)[0]
    busy(state, preferred.name, 4)
    assert for_conversation(replicas, key)[0] is preferred
    busy(state, preferred.name, 1)
    assert for_conversation(replicas, key)[0] is least_loaded(replicas)[0] is not preferred
    for _ in range(5):
        preferred.traffic.end()
    slots = [preferred.limiter.try_acquire() for _ in range(8)]
    assert preferred.limiter.full
    assert for_conversation(replicas, key)[0] is not preferred
    for other in replicas:
        slots += [other.limiter.try_acquire() for _ in range(8)]
    assert for_conversation(replicas, key)[0] is preferred  # all full: it waits there


def test_one_that_fails_fast_attracts_nothing() -> None:
    """It has nothing in flight, but its failures count, although others succeed in between."""
    state = fleet(allowed_fails=99, breaker_fails=99)
    busy(state, "fleet-1", 3)
    busy(state, "fleet-2", 3)
    replicas = [*state.backends.values()]
    failing = state.backends["fleet-3"]
    assert least_loaded(replicas)[0] is failing
    for _ in range(4):
        failing.breaker.fail("other")
        failing.breaker.succeed()
    assert least_loaded(replicas)[-1] is failing
    failing.clock.move(120)  # type: ignore[attr-defined]
    assert least_loaded(replicas)[0] is failing


def test_conversations_come_back_one_by_one_and_none_goes_to_and_fro() -> None:
    """None at once, about half after half of the time, all in the end."""
    clock = FakeClock()
    state = fleet(clock=clock, slow_start=30)
    before = first_urls(state)
    one = state.backends["fleet-1"]
    mine = {i for i in TALKS if before[i] == one.url}
    one.breaker.probe_refused()
    one.breaker.probe_passed()
    back: set[int] = set()
    counts = []
    for _ in range(5):
        now = {i for i, url in first_urls(state).items() if url == one.url}
        assert back <= now <= mine
        back = now
        counts.append(len(now) / len(mine))
        clock.move(7.5)
    assert counts[0] == 0
    assert 0.3 < counts[2] < 0.7
    assert counts[4] == 1
    assert counts == sorted(counts)


def test_a_replica_that_is_back_in_service_gets_less_at_first() -> None:
    clock = FakeClock()
    state = fleet(clock=clock, slow_start=30)
    one = state.backends["fleet-1"]
    one.put_back()
    assert share(one) == 1  # it was never out
    one.out = True
    one.put_back()
    busy(state, "fleet-2", 3)
    busy(state, "fleet-3", 3)
    assert share(one) == 0
    assert least_loaded([*state.backends.values()])[0] is not one
    clock.move(15)
    assert share(one) == pytest.approx(0.5)
    assert least_loaded([*state.backends.values()])[0] is one
    assert share(next(iter(fleet(slow_start=0).backends.values()))) == 1


def test_of_equals_the_loaded_one_comes_first() -> None:
    """And only of equals."""
    state = fleet()
    one, two, three = state.backends.values()
    one.loaded, two.loaded, three.loaded = False, True, False
    assert least_loaded([one, two, three])[0] is two
    busy(state, "fleet-2", 1)
    assert least_loaded([one, two, three])[0] is one


def test_groups_stay_where_they_are_in_a_chain() -> None:
    """Only replicas of one group change places."""
    cloud = {"url": "http://cloud.test", "local": False, "api_key": "k"}
    two = {"urls": ["http://x.test", "http://y.test"], "model": "m"}
    state = fleet(
        sections={
            "backends": {
                "two": two,
                "cloud": cloud,
                "fleet": {"urls": URLS, "model": "m"},
            }
        }
    )
    replicas = Replicas(state.backends)
    names = ("two-1", "two-2", "cloud", "fleet-1", "fleet-2", "fleet-3")
    orders = {replicas.arranged(names, talk(i)) for i in TALKS}
    assert len(orders) > 6
    for order in orders:
        assert {*order[:2]} == {"two-1", "two-2"}
        assert order[2] == "cloud"
    assert replicas.arranged(("cloud",), talk(1)) == ("cloud",)


def test_without_replicas_nothing_is_done() -> None:
    """The names are the same object; a group of one is no different."""
    state = fleet("http://a.test")
    names = ("fleet-1", "fleet-1")
    assert Replicas(state.backends).arranged(names, talk(1)) is names
