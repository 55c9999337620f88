"""Records, steps, a clock, logs and session loggers for tests of sinks."""

import os
import re
from contextlib import contextmanager

from doubles import NOW, FakeClock, LogLines

from airouter.domain.types import ExchangeRecord, Step, Verdict
from session_logger import SessionLogger

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - ai_router - (INFO|WARNING|ERROR) - .*")


def step(**changes):
    values = dict(
        step="inference",
        provider="vllm",
        url="http://gpu0:8000/v1/chat/completions",
        model="m",
        messages_sent=[],
        params={"temperature": 0.5, "max_tokens": 100},
        duration_ms=1200.0,
        status=200,
        finish_reason="stop",
        response_content="answer",
    )
    return Step(**(values | changes))


def record(**changes):
    """The record of a finished exchange, with changes to any field."""
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "question"}]
    values = dict(
        id="0123456789abcdef",
        timestamp=NOW,
        client_ip="10.0.0.1",
        endpoint="chat",
        stream=True,
        user_query="question",
        client_messages=messages,
        route="primary",
        requested_route="auto",
        label="SIMPLE",
        tier="rules",
        p=0.9,
        verdicts=(Verdict(tier="model", label="SIMPLE", raw="raw words"),),
        classification_raw="SIMPLE",
        classification_ms=12.0,
        enrichment_ms=None,
        inference_ms=1200.0,
        ttft_ms=80.0,
        total_ms=1250.0,
        steps=[],
        usage={"total_tokens": 12},
        outcome="ok",
        status=200,
        error=None,
        backend="gpu0",
        model="m",
        notes=["a note"],
        save=True,
    )
    return ExchangeRecord(**(values | changes))


def lines(log):
    """The lines that an AppLog has written so far."""
    assert log.flush(20)
    return log.path.read_text().splitlines()


@contextmanager
def session_loggers(folder):
    """A function that builds session loggers for the folder; they are closed in the end.

    Its arguments are those of SessionLogger; `events` and `lines` of the result collect what the
    logger reports.
    """
    made = []

    def build(**options):
        events, log = [], LogLines()
        options = {
            "log": log,
            "clock": FakeClock(),
            "on_event": lambda *event: events.append(event),
        } | options
        logger = SessionLogger(folder, **options)
        logger.events, logger.lines = events, log.lines
        made.append(logger)
        return logger

    yield build
    for logger in made:
        logger.close(5)


def names(tmp_path):
    """The names of the session files."""
    return sorted(os.listdir(tmp_path / "sessions"))
