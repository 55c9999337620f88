"""The record while it is written: what it says of a stage in the middle of which the exchange
ends."""

import pytest
from records import NOW

from airouter.telemetry.record import RecordBuilder


@pytest.mark.parametrize("stage", ["classification_ms", "enrichment_ms", "inference_ms"])
def test_a_stage_that_is_under_way_took_the_time_until_the_end(stage):
    record = RecordBuilder("0" * 32, NOW, "127.0.0.1")
    record.enter(stage, 100.0)
    record.stop(106.6)
    record.stop(200.0)
    assert getattr(record.freeze(7000.0), stage) == pytest.approx(6600)


def test_the_continuation_of_a_stream_adds_to_what_its_beginning_took():
    record = RecordBuilder("0" * 32, NOW, "127.0.0.1")
    record.inference_ms = 1000.0
    record.enter("inference_ms", 50.0)
    record.stop(50.5)
    assert record.inference_ms == pytest.approx(1500)


def test_a_stage_that_was_left_is_noted_by_who_ended_it():
    record = RecordBuilder("0" * 32, NOW, "127.0.0.1")
    record.enter("inference_ms", 100.0)
    record.leave()
    record.stop(200.0)
    assert record.inference_ms == 0.0
