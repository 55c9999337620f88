"""The line per request on stdout."""

import os
import time

from records import record

from airouter.telemetry.console import HEADING, ConsoleLines, console_line


def test_a_line_has_the_columns_of_its_heading():
    line = console_line(record(total_ms=843.4, tier="one_token", backend="gpu0"))
    assert line == "12:30:45  primary      one_token     gpu0              843  200"
    for column in ("ROUTE", "TIER", "BACKEND", "STATUS"):
        at = HEADING.index(column)
        assert line[at] != " ", column
        assert line[at - 1] == " ", column
    assert HEADING.index("MS") + 2 == line.index("843") + 3


def test_missing_values_are_dashes_and_failures_are_named():
    line = console_line(record(route="none", tier=None, backend=None, status=400))
    assert line.split() == ["12:30:45", "none", "-", "-", "1250", "400"]
    assert console_line(record(status=499, outcome="client_gone")).endswith("  499 client_gone")


def test_the_sink_writes_a_whole_line_for_each_record(tmp_path):
    out = os.open(tmp_path / "out", os.O_CREAT | os.O_WRONLY)
    sink = ConsoleLines(out)
    for status in (200, 500):
        sink.emit(record(status=status))
    assert sink.close()
    os.close(out)
    lines = (tmp_path / "out").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["200", "500"]


def test_a_blocked_terminal_does_not_block_requests():
    """If the pipe is full, the writer thread blocks, but `emit()` does not."""
    read_end, write_end = os.pipe()
    sink = ConsoleLines(write_end)
    began = time.monotonic()
    for _ in range(3000):  # some 200 kB, more than a pipe takes
        sink.emit(record())
    assert time.monotonic() - began < 5
    assert not sink.flush(0.3)
    os.close(read_end)  # lets the writer go
    sink.close()
    os.close(write_end)


def test_a_closed_terminal_loses_only_lines():
    read_end, write_end = os.pipe()
    os.close(read_end)
    sink = ConsoleLines(write_end)
    sink.emit(record())
    assert sink.flush()
    sink.emit(record())
    assert sink.close()
    os.close(write_end)
