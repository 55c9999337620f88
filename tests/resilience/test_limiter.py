"""Slots and the queue before them: never more than the cap, each slot released exactly once, who
leaves the queue leaves it."""

from __future__ import annotations

import select
import threading
import time

import pytest
from doubles import FakeClock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from airouter.domain.clock import Clock
from airouter.domain.errors import Busy
from airouter.resilience.limiter import PRIORITIES, Limiter, Slot, Ticket

CAP, QUEUE = 3, 4


class LimiterMachine(RuleBasedStateMachine):
    """Random acquiring, queueing, fetching, leaving and (double) releasing, compared with plain
    counting."""

    slots: Bundle[Slot] = Bundle("slots")
    released: Bundle[Slot] = Bundle("released")
    tickets: Bundle[Ticket] = Bundle("tickets")
    gone: Bundle[Ticket] = Bundle("gone")

    def __init__(self) -> None:
        super().__init__()
        self.limiter = Limiter(CAP, QUEUE, Clock())
        self.held = 0  # slots in use
        self.open: list[Ticket] = []  # tickets neither left nor fetched

    @property
    def granted(self) -> int:
        return sum(1 for ticket in self.open if ticket.slot is not None)

    @rule(target=slots)
    def acquire(self) -> object:
        free = self.held + self.granted < CAP and len(self.open) == self.granted
        slot = self.limiter.try_acquire()
        assert (slot is not None) == free
        if slot is None:
            return multiple()
        self.held += 1
        return slot

    @rule(target=tickets, priority=st.sampled_from(PRIORITIES))
    def queue_up(self, priority: str) -> object:
        waiting = len(self.open) - self.granted
        free = self.held + self.granted < CAP and not waiting
        if waiting == QUEUE:
            with pytest.raises(Busy) as caught:
                self.limiter.queue_up(priority)
            assert (caught.value.retry_after or 0) >= 1
            return multiple()
        ticket = self.limiter.queue_up(priority)
        assert (ticket.slot is not None) == free
        self.open.append(ticket)
        return ticket

    @rule(target=released, slot=consumes(slots))
    def release(self, slot: Slot) -> Slot:
        waiting = [ticket for ticket in self.open if ticket.slot is None]
        slot.release()
        self.held -= 1
        if waiting:  # the slot went to the first in line, and its thread is woken
            first = min(
                waiting,
                key=lambda ticket: (PRIORITIES.index(ticket.priority), self.open.index(ticket)),
            )
            assert first.slot is not None
            assert select.select([first.wake], [], [], 0)[0]
        return slot

    @rule(slot=released)
    def release_again(self, slot: Slot) -> None:
        slot.release()

    @precondition(lambda self: self.granted)
    @rule(target=slots)
    def fetch(self) -> Slot:
        ticket = next(ticket for ticket in self.open if ticket.slot is not None)
        slot = ticket.fetch()
        ticket.leave()
        self.open.remove(ticket)
        self.held += 1
        return slot

    @rule(target=gone, ticket=consumes(tickets))
    def leave(self, ticket: Ticket) -> Ticket:
        ticket.leave()
        if ticket in self.open:
            self.open.remove(ticket)
        return ticket

    @rule(ticket=gone)
    def leave_again(self, ticket: Ticket) -> None:
        ticket.leave()

    @invariant()
    def counts_agree(self) -> None:
        assert self.limiter.in_use == self.held + self.granted
        assert self.limiter.in_use <= CAP
        assert self.limiter.waiting == len(self.open) - self.granted
        if self.limiter.waiting:  # no request waits while a slot is free
            assert self.limiter.in_use == CAP

    def teardown(self) -> None:
        for ticket in self.open:
            ticket.leave()


LimiterMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, database=None
)
TestLimiter = LimiterMachine.TestCase


def test_threads_never_exceed_the_cap() -> None:
    """Under contention the number of holders stays within the cap, all are served, and all is free
    afterwards."""
    limiter = Limiter(4, 100, Clock())
    lock, now, most, served = threading.Lock(), [0], [0], [0]

    def work(number: int) -> None:
        for turn in range(20):
            ticket = limiter.queue_up(PRIORITIES[(number + turn) % 3])
            if ticket.slot is None:
                assert select.select([ticket.wake], [], [], 20)[0], "never woken"
            slot = ticket.fetch()
            ticket.leave()
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            if turn % 5 == 0:
                time.sleep(0.0005)
            with lock:
                now[0] -= 1
                served[0] += 1
            slot.release()
            slot.release()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert served[0] == 24 * 20
    assert most[0] <= 4
    assert (limiter.in_use, limiter.waiting) == (0, 0)


def test_a_full_queue_says_when_to_come_back() -> None:
    """Who is not admitted learns how many wait and how long it will take, from the observed service
    time."""
    clock = FakeClock()
    limiter = Limiter(1, 1, clock)
    slot = limiter.try_acquire()
    assert slot is not None
    clock.move(8)
    slot.release()  # it took 8 s
    holder = limiter.try_acquire()
    assert holder is not None
    ticket = limiter.queue_up("interactive")
    with pytest.raises(Busy) as caught:
        limiter.queue_up("interactive")
    assert caught.value.details == {"queue_length": 1, "expected_wait_s": 16.0}
    assert caught.value.retry_after == 16
    ticket.leave()
    holder.release()


def test_a_slot_granted_to_a_request_that_has_left_is_not_lost() -> None:
    """If a request leaves just when it is granted a slot, the next one gets it."""
    limiter = Limiter(1, 5, Clock())
    slot = limiter.try_acquire()
    assert slot is not None
    first, second = limiter.queue_up("interactive"), limiter.queue_up("interactive")
    slot.release()
    assert first.slot is not None
    first.leave()
    assert second.slot is not None
    second.fetch().release()
    second.leave()
    assert (limiter.in_use, limiter.waiting) == (0, 0)


def test_interactive_goes_before_meta_before_batch() -> None:
    """The queue is ordered by priority, then by arrival."""
    limiter = Limiter(1, 10, Clock())
    slot = limiter.try_acquire()
    assert slot is not None
    tickets = [
        limiter.queue_up(priority)
        for priority in ("batch", "meta", "interactive", "batch", "interactive", "meta")
    ]
    order = []
    for _ in tickets:
        slot.release()
        ticket = next(ticket for ticket in tickets if ticket.slot is not None)
        order.append(tickets.index(ticket))
        slot = ticket.fetch()
        ticket.leave()
    slot.release()
    assert order == [2, 4, 1, 5, 0, 3]
