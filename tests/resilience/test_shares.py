"""One limit over several backends: never more in flight, one backend at a time where it is
exclusive, nobody waits for ever, every slot comes back once."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest
from doubles import FakeClock

from airouter.domain.clock import Clock
from airouter.domain.errors import Busy
from airouter.resilience.limiter import Limiter
from airouter.resilience.per_process import PerProcess
from airouter.resilience.shares import PATIENCE


def shared(*own: int, slots: int, exclusive: bool = False, clock: Clock | None = None) -> list[Any]:
    members = {f"b{i}": number for i, number in enumerate(own)}
    made = PerProcess(clock or FakeClock()).shared(members, slots, 99, exclusive=exclusive)
    return [*made.values()]


def test_all_together_have_so_many_slots() -> None:
    """Each has at most its own, too; a free one goes to who waits longest, of equal priority."""
    clock = FakeClock()
    a, b, c = shared(2, 9, 9, slots=3, clock=clock)
    taken = [a.try_acquire(), a.try_acquire()]
    assert a.try_acquire() is None
    taken.append(b.try_acquire())
    assert b.try_acquire() is None
    assert c.full
    batch, late = b.queue_up("batch"), c.queue_up("interactive")
    clock.move(0.1)
    urgent = b.queue_up("interactive")
    taken.pop().release()
    assert (batch.slot, late.slot is not None, urgent.slot) == (None, True, None)
    late.fetch().release()
    assert (batch.slot, urgent.slot is not None) == (None, True)
    for ticket in (batch, late, urgent):
        ticket.leave()
    for slot in taken:
        slot.release()
        slot.release()
    assert [one.in_use for one in (a, b, c)] == [0, 0, 0]


def test_one_that_its_own_slots_hold_back_holds_nobody_back() -> None:
    a, b = shared(1, 9, slots=3)
    mine, waiting = a.try_acquire(), a.queue_up("interactive")
    assert b.try_acquire() is not None
    mine.release()
    assert waiting.slot is not None


def test_of_an_exclusive_share_one_backend_works_at_a_time() -> None:
    """The others wait until it is idle; meanwhile its own requests are let in."""
    a, b = shared(9, 9, slots=2, exclusive=True)
    first = a.try_acquire()
    assert b.try_acquire() is None
    waiting = b.queue_up("interactive")
    second = a.try_acquire()
    assert second is not None
    first.release()
    assert waiting.slot is None
    second.release()
    assert waiting.slot is not None
    assert a.full
    waiting.leave()
    assert not a.full


def test_who_has_waited_long_enough_is_next() -> None:
    """Requests that came later are not admitted any more, those that came before are."""
    clock = FakeClock()
    a, b = shared(1, 9, slots=2, exclusive=True, clock=clock)
    mine = a.try_acquire()
    earlier = a.queue_up("interactive")
    clock.move(0.1)
    theirs = b.queue_up("batch")
    clock.move(PATIENCE)
    later = a.queue_up("interactive")
    mine.release()
    assert (earlier.slot is not None, theirs.slot, later.slot) == (True, None, None)
    earlier.fetch().release()
    assert (theirs.slot is not None, later.slot) == (True, None)
    theirs.fetch().release()
    assert later.slot is not None
    for ticket in (earlier, theirs, later):
        ticket.leave()
    assert (a.in_use, b.in_use, a.waiting, b.waiting) == (0, 0, 0, 0)


def test_one_that_gives_up_lets_the_others_in() -> None:
    clock = FakeClock()
    a, b = shared(9, 9, slots=2, exclusive=True, clock=clock)
    mine, theirs = a.try_acquire(), b.queue_up("interactive")
    clock.move(PATIENCE + 1)
    assert a.try_acquire() is None
    later = a.queue_up("interactive")
    assert later.slot is None
    theirs.leave()
    assert later.slot is not None
    later.leave()
    mine.release()
    assert (a.in_use, b.in_use) == (0, 0)


@pytest.mark.parametrize("exclusive", [False, True])
def test_whatever_threads_do_the_limits_hold(exclusive: bool) -> None:
    """Threads take, wait, give up and release at random; every request has its turn or leaves."""
    limiters: list[Limiter] = shared(2, 3, 1, slots=3, exclusive=exclusive, clock=Clock())
    broken: list[str] = []
    served = [0] * len(limiters)
    lock = threading.Lock()
    inside = [0] * len(limiters)

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(60):
            at = chance.randrange(len(limiters))
            limiter, slot, ticket = limiters[at], limiters[at].try_acquire(), None
            if slot is None and chance.random() < 0.8:
                try:
                    ticket = limiter.queue_up(chance.choice(("interactive", "meta", "batch")))
                except Busy:
                    continue
                ticket.wake.settimeout(chance.choice((0.0005, 20)))
                try:
                    if ticket.slot is None:
                        ticket.wake.recv(1)
                    slot = ticket.fetch()
                except OSError:
                    pass  # gave up
            if slot is not None:
                with lock:
                    inside[at] += 1
                    served[at] += 1
                    used = sum(1 for count in inside if count)
                    if sum(inside) > 3 or inside[at] > limiter.slots or (exclusive and used > 1):
                        broken.append(str(inside))
                time.sleep(chance.random() * 0.001)
                with lock:
                    inside[at] -= 1
                slot.release()
                slot.release()
            if ticket is not None:
                ticket.leave()

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert broken == []
    assert min(served) > 0
    assert [(one.in_use, one.waiting) for one in limiters] == [(0, 0)] * len(limiters)
