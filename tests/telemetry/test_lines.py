import pytest
import records

from airouter.telemetry.lines import RequestLines, request_line, slow_line

SLOW_MS = {"primary": 5_000, "meta": 5_000, "xai": 30_000, "enrich": 60_000}


def record(**changes):
    return records.record(
        **(
            dict(
                id="01234567", tier=None, classification_ms=12.4, inference_ms=1234.6, backend=None
            )
            | changes
        )
    )


class LogLines:
    def __init__(self):
        self.lines = []

    def info(self, template, *args):
        self.lines.append(("INFO", template % args))

    def warning(self, template, *args):
        self.lines.append(("WARNING", template % args))

    def error(self, template, *args):
        self.lines.append(("ERROR", template % args))


def test_request_line_exactly():
    assert request_line(record()) == (
        "REQUEST session=01234567 route=primary classification_ms=12 "
        "inference_ms=1235 total_ms=1250 stream=True"
    )
    assert request_line(record(route="enrich", enrichment_ms=900.0, stream=False)) == (
        "REQUEST session=01234567 route=enrich classification_ms=12 "
        "enrichment_ms=900 inference_ms=1235 total_ms=1250 stream=False"
    )


def test_extras_come_last():
    line = request_line(record(outcome="client_gone", backend="gpu0", tier="rules"))
    assert line.endswith(" stream=True outcome=client_gone backend=gpu0 tier=rules")
    slow = slow_line(
        record(total_ms=6000.0, backend="gpu0", tier="rules", enrichment_ms=0.0), SLOW_MS
    )
    assert slow == (
        "SLOW_REQUEST session=01234567 route=primary total_ms=6000 "
        "classification_ms=12 enrichment_ms=0"
        " inference_ms=1235 backend=gpu0 tier=rules"
    )


@pytest.mark.parametrize(
    ("route", "limit"),
    [("primary", 5000), ("meta", 5000), ("xai", 30000), ("enrich", 60000), ("other", 10000)],
)
def test_slow_only_above_the_threshold(route, limit):
    assert slow_line(record(route=route, total_ms=limit), SLOW_MS) is None
    line = slow_line(record(route=route, total_ms=limit + 1), SLOW_MS)
    assert line == (
        f"SLOW_REQUEST session=01234567 route={route} total_ms={limit + 1} "
        "classification_ms=12 inference_ms=1235"
    )


def test_a_client_that_left_is_not_slow():
    assert slow_line(record(total_ms=99_000, outcome="client_gone"), SLOW_MS) is None
    assert slow_line(record(total_ms=99_000, outcome="truncated"), SLOW_MS) is not None


def test_thresholds_are_given():
    assert slow_line(record(total_ms=101), {"primary": 100}) is not None
    assert slow_line(record(total_ms=101), {}, 101) is None


def test_an_id_cannot_forge_fields():
    assert request_line(record(id="a r=x\nRE")).startswith(
        "REQUEST session=a_r=x_RE route=primary "
    )


def test_the_sink():
    log = LogLines()
    sink = RequestLines(log, SLOW_MS)
    sink.emit(record(total_ms=9000.0))
    sink.emit(record(id="100%s"))
    assert [level for level, _ in log.lines] == ["INFO", "WARNING", "INFO"]
    assert log.lines[1][1].startswith("SLOW_REQUEST ")
    assert " session=100%s " in log.lines[2][1]


def test_the_sink_never_raises():
    log = LogLines()
    RequestLines(log, SLOW_MS).emit(record(total_ms=None))
    assert log.lines == [("ERROR", "no REQUEST line for session=01234567: TypeError")]
