"""A directory of logs as the router writes it: session files and the index."""

from datetime import timedelta

import pytest
from doubles import LogLines
from records import record, step

from airouter.domain.clock import Clock
from airouter.domain.types import AttemptOutcome, Verdict
from airouter.index.index import Index
from session_logger import SessionLogger


@pytest.fixture
def logs(tmp_path):
    """Three sessions: one fast, one slow with a speculation that won, one that failed."""
    now = Clock().now()
    made = [
        record(
            id="aaaaaaaa" + "0" * 24,
            timestamp=now - timedelta(hours=3),
            user_query="what is a heron",
            client_messages=[{"role": "user", "content": "what is a \x1b[31mheron"}],
            total_ms=100.0,
            reason="ok",
        ),
        record(
            id="bbbbbbbb" + "0" * 24,
            timestamp=now - timedelta(minutes=2),
            speculation="won",
            key_id="reports",
            classification_ms=200.0,
            backend_ttft_ms=150.0,
            ttft_ms=210.0,
            total_ms=1500.0,
            inference_ms=1400.0,
            verdicts=(Verdict("one_token", "SIMPLE", p=0.93, threshold=0.7, ms=190.0),),
            steps=[
                step(
                    step="provider_call",
                    duration_ms=1400.0,
                    start_ms=100.0,
                    response_content="an egret",
                )
            ],
            attempts=[AttemptOutcome("gpu0", "ok")],
            usage={"prompt_tokens": 7, "completion_tokens": 3},
            reason="ok",
        ),
        record(
            id="cccccccc" + "0" * 24,
            timestamp=now - timedelta(minutes=1),
            route="xai",
            backend=None,
            outcome="upstream_error",
            reason="backend_timeout",
            status=504,
            total_ms=900.0,
        ),
    ]
    clock, log = Clock(), LogLines()
    files = SessionLogger(tmp_path / "sessions", log=log, clock=clock)
    index = Index(tmp_path, max_age_days=35, max_count=1000, clock=clock, log=log)
    for one in made:
        files.emit(one)
        index.emit(one)
    assert files.close(20)
    assert index.close(20)
    return tmp_path


@pytest.fixture(params=["index", "files"])
def either(request, logs):
    """The same, with and without the index."""
    if request.param == "files":
        (logs / "index.sqlite").unlink()
    return logs
