"""The breaker: when a backend may be called, and that half-open lets one request at a time
through."""

from __future__ import annotations

import pytest
from doubles import FakeClock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from airouter.resilience.breaker import Breaker, Failure, Permit


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker(clock, threshold=5, reset=60, allowed_fails=1, cooldown=30)


def fail(breaker: Breaker, kind: Failure = "other", times: int = 1) -> None:
    for _ in range(times):
        permit = breaker.allow(last_resort=True)
        assert permit is not None
        permit.failed(kind)


def open_it(breaker: Breaker) -> None:
    fail(breaker, times=5)
    assert breaker.state == "open"


def test_five_failures_in_a_row_open_it(breaker: Breaker) -> None:
    """The fifth consecutive failure opens it, not the fourth."""
    fail(breaker, times=4)
    assert breaker.state != "open"
    fail(breaker)
    assert breaker.state == "open"
    assert (breaker.opened, breaker.cooled) == (1, 1)


def test_a_success_in_between_starts_the_count_again(breaker: Breaker) -> None:
    """Only consecutive failures count."""
    for _ in range(10):
        fail(breaker)
        permit = breaker.allow()
        assert permit is not None
        permit.answered()
    assert breaker.state == "closed"


@pytest.mark.parametrize("last_resort", [False, True])
def test_open_refuses_everybody(breaker: Breaker, clock: FakeClock, last_resort: bool) -> None:
    """An open breaker lets no request through, not even as a last resort, and reports for how
    long."""
    open_it(breaker)
    clock.move(10.5)
    assert breaker.allow(last_resort=last_resort) is None
    assert not breaker.available
    assert breaker.retry_after() == 50


@pytest.mark.parametrize("kind", ["connect", "silent"])
def test_nothing_there_and_silence_cool_at_once(breaker: Breaker, kind: Failure) -> None:
    """A refused connection or a missed first byte cools it at the first failure: others are asked
    first."""
    fail(breaker, kind)
    assert (breaker.state, breaker.cause) == ("cooling", kind)
    assert breaker.allow() is None
    assert breaker.allow(last_resort=True) is not None


def test_other_failures_cool_when_there_are_more_than_allowed(breaker: Breaker) -> None:
    """One error is allowed; the second in a row cools it."""
    fail(breaker)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "cooling"


@pytest.mark.parametrize("opened", [False, True])
def test_one_probe_after_the_time_is_over(breaker: Breaker, clock: FakeClock, opened: bool) -> None:
    """After cooling or open, exactly one request is let through; its success closes the breaker."""
    open_it(breaker) if opened else fail(breaker, "silent")
    clock.move(60 if opened else 30)
    assert breaker.state == "half_open"
    probe = breaker.allow()
    assert probe is not None
    assert probe.probe
    assert breaker.allow() is None
    assert not breaker.available
    probe.answered()
    assert (breaker.state, breaker.fails, breaker.cause) == ("closed", 0, None)


def test_a_failed_probe_opens_it_again(breaker: Breaker, clock: FakeClock) -> None:
    """An open breaker stays open for another full reset time if its probe fails."""
    open_it(breaker)
    clock.move(60)
    probe = breaker.allow()
    assert probe is not None
    probe.failed("other")
    assert (breaker.state, breaker.retry_after()) == ("open", 60)


@pytest.mark.parametrize("end", ["answered", "failed", "forgotten"])
def test_a_probe_slot_cannot_leak(breaker: Breaker, clock: FakeClock, end: str) -> None:
    """However a probe ends, even if that is reported twice, another one is possible."""
    open_it(breaker)
    clock.move(60)
    probe = breaker.allow()
    assert probe is not None
    probe.failed("other") if end == "failed" else getattr(probe, end)()
    probe.forgotten()
    probe.failed("other")
    clock.move(60)
    assert breaker.allow() is not None


def test_late_answers_of_before_do_not_close_it(breaker: Breaker) -> None:
    """What was sent before it opened and succeeds only now says nothing about the backend as it
    is."""
    early = breaker.allow()
    assert early is not None
    open_it(breaker)
    early.answered()
    assert breaker.state == "open"


def test_a_probe_of_an_earlier_time_is_no_probe_any_more(
    breaker: Breaker, clock: FakeClock
) -> None:
    """When a last resort has closed it meanwhile, the old probe's end neither frees nor closes what
    came later."""
    fail(breaker, "silent")
    clock.move(30)
    old = breaker.allow()
    other = breaker.allow(last_resort=True)
    assert old is not None
    assert other is not None
    other.answered()
    assert breaker.state == "closed"
    fail(breaker, "silent")
    clock.move(30)
    assert breaker.allow() is not None
    old.forgotten()
    assert breaker.allow() is None
    assert breaker.state == "half_open"


def test_a_stream_counts_when_it_is_complete(breaker: Breaker) -> None:
    """A stream that has begun does not forgive the failures before it; its end does, and its
    breaking off is one more."""
    for _ in range(5):
        permit = breaker.allow(last_resort=True)
        assert permit is not None
        permit.answered(whole=False)
        breaker.fail("other")
    assert breaker.state == "open"


def test_a_complete_stream_resets_the_count(breaker: Breaker) -> None:
    """Consecutive failures are counted anew after a complete stream."""
    fail(breaker)
    permit = breaker.allow()
    assert permit is not None
    permit.answered(whole=False)
    assert breaker.fails == 1
    breaker.succeed()
    assert breaker.fails == 0


def test_a_passing_health_check_ends_a_cooldown_after_a_refused_connection_only(
    breaker: Breaker,
) -> None:
    """Who was not there and is there again is asked again; a server that hangs still passes its
    health check."""
    fail(breaker, "silent")
    breaker.probe_passed()
    assert breaker.state == "cooling"
    fail(breaker, "connect")
    breaker.probe_passed()
    assert breaker.state == "closed"


def test_a_health_check_that_is_refused_spares_the_requests(breaker: Breaker) -> None:
    """If nothing listens, it cools without costing a request a failure."""
    breaker.probe_refused()
    assert (breaker.state, breaker.cause) == ("cooling", "connect")
    breaker.probe_passed()
    assert breaker.state == "closed"


class Machine(RuleBasedStateMachine):
    """Calls, results, health checks and time in any order."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.breaker = Breaker(self.clock, threshold=3, reset=60, allowed_fails=1, cooldown=30)
        self.probes: list[Permit] = []  # out, and given since it last closed
        self.given_in: dict[Permit, int] = {}
        self.openings = 0

    @rule(target=permits, last_resort=st.booleans())
    def ask(self, last_resort: bool) -> Permit | None:
        before = self.breaker.state
        permit = self.breaker.allow(last_resort=last_resort)
        if before == "closed":
            assert permit is not None
            assert not permit.probe
        if before == "open":
            assert permit is None
        if before == "cooling":
            assert (permit is not None) == last_resort
        if permit is not None:
            self.given_in[permit] = self.breaker.opened
            if permit.probe:
                assert before == "half_open"
                assert not self.probes, "two probes at a time"
                self.probes.append(permit)
        return permit

    @rule(
        permit=consumes(permits),
        end=st.sampled_from(["answered", "begun", "forgotten", "connect", "silent", "other"]),
    )
    def end(self, permit: Permit | None, end: Failure) -> None:
        if permit is None:
            return
        before, is_probe = self.breaker.state, permit in self.probes
        if end in ("answered", "begun"):
            permit.answered(whole=end == "answered")  # type: ignore[comparison-overlap]
        elif end == "forgotten":  # type: ignore[comparison-overlap]
            permit.forgotten()
        else:
            permit.failed(end)
        if is_probe:
            self.probes.remove(permit)
        if before == "open":
            assert self.breaker.state == "open", "a late result closed it"
        if (
            self.given_in[permit] < self.breaker.opened
            and not is_probe
            and before in ("open", "half_open")
        ):
            assert self.breaker.state != "closed", "what began before it opened closed it"
        self._forget_closed()

    @rule(seconds=st.sampled_from([1.0, 29.0, 30.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.move(seconds)

    @rule(passed=st.booleans())
    def health_check(self, passed: bool) -> None:
        before, cause = self.breaker.state, self.breaker.cause
        self.breaker.probe_passed() if passed else self.breaker.probe_refused()
        if passed and before in ("cooling", "open", "half_open") and cause != "connect":
            assert self.breaker.state == before
        self._forget_closed()

    @rule(kind=st.sampled_from(["silent", "other", None]))
    def stream_ends(self, kind: Failure | None) -> None:
        self.breaker.succeed() if kind is None else self.breaker.fail(kind)

    @precondition(lambda self: not self.probes)
    @rule()
    def patience_is_rewarded(self) -> None:
        """After the longest time, a probe is possible again: none has leaked."""
        self.clock.move(60)
        assert self.breaker.available

    @invariant()
    def probes_are_single(self) -> None:
        assert len(self.probes) <= 1
        if self.probes and self.breaker.state != "closed":
            assert self.breaker.state == "half_open"
            assert not self.breaker.available

    def _forget_closed(self) -> None:
        if self.breaker.state == "closed":
            self.probes.clear()  # half-open is over: what was its probe is one request among others


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
