"""What a user holds against an answer (the client is that of the benchmarks), and what one request
came to: one JSON line each, one file per process."""

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import orjson

from bench.client import CHAT, Answer, Connection
from bench.stats import gaps

_ERROR = re.compile(rb'data:\s*\{\s*"error"[^\n]{,200}')


class Client(Connection):
    """One kept-alive connection. Never raises for what the server or the network does: see
    `Answer.problem`."""

    def request(
        self,
        body: dict[str, Any],
        *,
        path: str = CHAT,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """One request; options as of `Connection.ask`."""
        answer = self.ask(self.endpoint.wire(path, body, headers=headers), **options)
        if not (answer.late or answer.aborted):
            answer.problem = answer.problem or _wrong(answer, bool(body.get("stream")))
        return answer


def _wrong(answer: Answer, streaming: bool) -> str:
    """Why an answer that came is no whole one."""
    said = answer.body[:200].decode("utf-8", "replace")
    if answer.status != 200:
        return f"status {answer.status}: {said}"
    if streaming and (error := _ERROR.search(answer.body)):
        return f"an error within the stream: {error[0].decode('utf-8', 'replace')}"
    if streaming and not (answer.streamed and answer.done):
        return "the stream ended without [DONE]"
    if not streaming and b'"choices"' not in answer.body and b'"embedding"' not in answer.body:
        return "neither choices nor vectors in the answer"
    return ""


class Outcome(StrEnum):
    OK = "ok"
    REFUSED = "refused"  # told to come back later: 429 or 503, with Retry-After
    FAILED = "failed"
    ABORTED = "aborted"  # the client hung up on purpose
    GAVE_UP = "gave up"  # the client's own, tiny timeout


@dataclass(frozen=True, slots=True)
class Sample:
    """Times in seconds; `at` is when it was sent, on the clock that all processes of a machine
    share (`time.monotonic`)."""

    at: float
    user: str
    route: str
    outcome: Outcome
    status: int
    total: float
    ttft: float | None = None
    tokens: int = 0
    rate: float | None = None  # tokens per second, from the first to the last
    gap: float | None = None  # the longest silence between two pieces of content
    problem: str = ""


def judged(answer: Answer, at: float, user: str, route: str) -> Sample:
    outcome = Outcome.OK
    if answer.aborted or answer.late:
        outcome = Outcome.ABORTED if answer.aborted else Outcome.GAVE_UP
    elif answer.problem:
        told = answer.status in (429, 503) and "retry-after" in answer.headers
        outcome = Outcome.REFUSED if told else Outcome.FAILED
    times = answer.chunks
    silence = max(gaps(times)) if len(times) > 2 else None
    return Sample(
        at, user, route, outcome, answer.status, answer.seconds, times[0] if times else None,
        len(times), answer.tokens_per_s, silence, answer.problem,
    )  # fmt: skip


class Writer:
    """Appends samples, line by line, to a file of this process's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: TextIO | None = None

    def add(self, sample: Sample) -> None:
        if self._file is None:  # not before: Locust forks the processes that send
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"samples-{os.getpid()}.jsonl"
            self._file = path.open("a", buffering=1, encoding="utf-8")
        self._file.write(orjson.dumps(asdict(sample)).decode() + "\n")


def read(paths: Iterable[Path]) -> list[Sample]:
    """All samples of these files, in the order in which they were sent; half a last line, of a
    process that was killed, is left out."""
    found = []
    for line in chain.from_iterable(path.read_text("utf-8").splitlines() for path in paths):
        with suppress(orjson.JSONDecodeError):
            row: dict[str, Any] = orjson.loads(line)
            found.append(Sample(**{**row, "outcome": Outcome(row["outcome"])}))
    return sorted(found, key=lambda sample: sample.at)
