"""The record in progress: the duration of a stage during which the exchange ends."""

import pytest
from records import NOW

from airouter.telemetry.record import RecordBuilder


@pytest.mark.parametrize("stage", ["classification_ms", "enrichment_ms", "inference_ms"])
def test_a_stage_in_progress_ends_with_the_exchange(stage):
    record = RecordBuilder("0" * 32, NOW, "127.0.0.1")
    record.enter(stage, 100.0)
    record.stop(106.6)
    record.stop(200.0)
    assert getattr(record.freeze(7000.0), stage) == pytest.approx(6600)


def test_the_continuation_of_a_stream_adds_to_its_duration():
    record = RecordBuilder("0" * 32, NOW, "127.0.0.1")
    record.inference_ms = 1000.0
    record.enter("inference_ms", 50.0)
    record.stop(50.5)
    assert record.inference_ms == pytest.approx(1500)


def test_a_stage_that_was_left_is_recorded_by_the_caller():
    record = RecordBuilder("0" * 32, NOW, "127.0.0.1")
    record.enter("inference_ms", 100.0)
    record.leave()
    record.stop(200.0)
    assert record.inference_ms == 0.0


def test_a_finished_record_does_not_change():
    """The thread of the exchange may still be adding to the builder when the record is emitted."""
    builder = RecordBuilder("0" * 32, NOW, "127.0.0.1")
    builder.notes.append("before")
    record = builder.freeze(1.0)
    builder.notes.append("after")
    builder.attempts.append("primary: ok")
    builder.status = 200
    assert (record.notes, record.attempts, record.status) == (["before"], [], 0)
    assert (record.outcome, record.total_ms) == ("client_gone", 1.0)
