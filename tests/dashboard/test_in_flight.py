"""A request under way, as seen from outside."""

from __future__ import annotations

from doubles import FakeClock

from airouter.dashboard.in_flight import decision, in_flight, phase
from airouter.domain.types import Decision, Plan, Verdict
from airouter.flow.exchange import Exchange, Progress


def exchange(clock: FakeClock) -> Exchange:
    made = Exchange(clock, client=None, client_ip="", total=60)
    made.record.stream = True
    return made


def test_its_phases():
    clock = FakeClock()
    one = exchange(clock)
    record = one.record
    assert phase(one) == "receiving"
    record.enter("classification_ms", clock.monotonic())
    assert phase(one) == "deciding"
    record.decided(Decision("ENRICH", "learned", 0.9, 0.8, 1.0, ()))
    record.enter("enrichment_ms", clock.monotonic())
    assert phase(one) == "searching"
    record.leave()
    record.queued_at = clock.monotonic()
    clock.move(2)
    assert phase(one) == "queued"
    assert in_flight(one, clock.monotonic(), 1)["queue_s"] == 2.0
    record.queued_at = None
    record.enter("inference_ms", clock.monotonic())
    assert phase(one) == "waiting"
    record.ttft_ms = 2000.0
    assert phase(one) == "answering"


def test_a_speculative_answer_while_it_is_decided():
    clock = FakeClock()
    one = exchange(clock)
    one.record.enter("classification_ms", clock.monotonic())
    one.progress = lambda: Progress("primary", True, 11, 1.0, 1.5)
    seen = in_flight(one, clock.monotonic(), 4711)
    assert (seen["speculating"], seen["backend"], seen["worker"]) == (True, "primary", 4711)
    assert (seen["tokens"], seen["tokens_s"]) == (11, 20.0)
    assert decision(one)["speculation"] == "running"
    one.record.decided(Decision("SIMPLE", "learned", 0.9, 0.8, 1.0, ()))
    one.record.speculation = "won"
    assert decision(one)["speculation"] == "won"
    assert not in_flight(one, clock.monotonic(), 1)["speculating"]


def test_why_it_was_decided_but_not_what_the_model_said():
    one = exchange(FakeClock())
    verdict = Verdict("learned", "COMPLEX", 0.97, 0.9, 0.2, "model 1", raw="COMPLEX, because …")
    one.record.decided(Decision("COMPLEX", "learned", 0.97, 0.9, 0.2, (verdict,)))
    one.record.planned(Plan("xai", ("xai",), reasons=("a note",)))
    seen = decision(one)
    assert (seen["label"], seen["route"], seen["p"], seen["threshold"]) == (
        *("COMPLEX", "xai"),
        *(0.97, 0.9),
    )
    assert seen["notes"] == ["a note"]
    assert "raw" not in seen["verdicts"][0]


def test_nothing_is_kept_of_a_closed_one():
    one = exchange(FakeClock())
    one.progress = lambda: Progress("primary", False, 1, None, None)
    one.close()
    assert one.progress is None
