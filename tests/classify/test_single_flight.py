"""Ten equal asks at once: one leads, the others wait for what it finds."""

import select
import threading

from airouter.classify.single_flight import SingleFlight
from airouter.domain.types import Decision
from tests.classify.make import decision


def test_ten_equal_asks_are_one_flight() -> None:
    flights = SingleFlight()
    leader = flights.join(b"key")
    followers = [flights.join(b"key") for _ in range(9)]
    assert leader.leads
    assert not any(seat.leads for seat in followers)
    assert flights.join(b"other").leads
    found: list[Decision | None] = []

    def follow(index: int) -> None:
        seat = followers[index]
        assert seat.wake is not None
        assert select.select([seat.wake], [], [], 5)[0]
        assert seat.resolved
        found.append(seat.decision)
        seat.leave()

    threads = [threading.Thread(target=follow, args=(i,)) for i in range(9)]
    for thread in threads:
        thread.start()
    leader.resolve(decision("COMPLEX"))
    leader.leave()
    for thread in threads:
        thread.join(5)
    assert [one and one.label for one in found] == ["COMPLEX"] * 9
    assert flights.shared == 9
    assert flights.join(b"key").leads


def test_a_leader_that_fails_wakes_the_others_with_nothing() -> None:
    flights = SingleFlight()
    leader, follower = flights.join(b"key"), flights.join(b"key")
    leader.leave()
    leader.leave()
    assert follower.resolved
    assert follower.decision is None
    assert follower.wake is not None
    assert select.select([follower.wake], [], [], 0)[0]
    follower.leave()
    assert flights.join(b"key").leads


def test_a_follower_that_leaves_disturbs_nobody() -> None:
    flights = SingleFlight()
    leader, gone, stays = (flights.join(b"key") for _ in range(3))
    gone.leave()
    gone.leave()
    leader.resolve(decision())
    leader.resolve(None)
    assert stays.decision is not None
    stays.leave()
    leader.leave()


def test_a_late_leader_does_not_land_on_the_next_flight() -> None:
    flights = SingleFlight()
    first = flights.join(b"key")
    first.resolve(decision())
    second, follower = flights.join(b"key"), flights.join(b"key")
    first.leave()
    assert not follower.resolved
    second.resolve(decision("ENRICH"))
    assert follower.decision is not None
    assert follower.decision.label == "ENRICH"
    follower.leave()
