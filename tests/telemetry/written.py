"""What was written to the log and to the folder of sessions."""

import os
import re

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - ai_router - (INFO|WARNING|ERROR) - .*")


def lines(log):
    assert log.flush(20)
    return log.path.read_text().splitlines()


def names(tmp_path):
    return sorted(os.listdir(tmp_path / "sessions"))
