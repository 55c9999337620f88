"""Reading session files: which there are, and what each says."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from airouter.domain.types import ExchangeRecord
from airouter.index.rows import COLUMNS, row_of
from airouter.telemetry.session_retention import STAMP

FOLDER = "sessions"  # in the directory of logs
_NAME = re.compile(r"(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)_[A-Za-z0-9_-]+\.json")
_NOT_RECORDED = frozenset({"save", "timestamp"})
_FIELDS = tuple(f.name for f in fields(ExchangeRecord) if f.name not in _NOT_RECORDED)
_Number = (int, float)
# What a session file must say, and what it may say if it says it at all.
_REQUIRED: dict[str, Any] = {"id": str, "timestamp": str, "route": str, "total_ms": _Number}
_OPTIONAL: dict[str, Any] = {
    **dict.fromkeys(
        (
            *("endpoint", "requested_model", "requested_route", "label", "tier", "backend"),
            *(
                "model",
                "outcome",
                "reason",
                "speculation",
                "test",
                "key_id",
                "user_query",
                "client_ip",
            ),
        ),
        str,
    ),
    **dict.fromkeys(
        (
            *("p", "classification_ms", "enrichment_ms", "queue_ms", "connect_ms", "inference_ms"),
            *("ttft_ms", "backend_ttft_ms", "gap_ms", "longest_gap_ms", "idle_s", "abort_ms"),
        ),
        _Number,
    ),
    **dict.fromkeys(
        ("status", "in_flight", "max_tokens", "inputs", "wasted_tokens", "stream"), int
    ),
    **dict.fromkeys(("attempts", "verdicts", "steps", "client_messages", "notes"), list),
    "usage": dict,
}
# (read, of how many)
Progress = Callable[[int, int], None]


class NotASession(Exception):
    """The file is truncated, or something else than a session file."""


class Files:
    """The session files of a directory of logs.

    Mutable state: `skipped`, the number of files that could not be read.
    """

    def __init__(self, log_dir: Path) -> None:
        self.folder = log_dir / FOLDER
        self.skipped = 0

    def names(self, since: float | None = None) -> list[str]:
        """Names of files, oldest first.

        Args:
            since: seconds since 1970; without files that are older by more than a day. Names are
                in local time, so the rest must be compared by what the files say.

        Raises:
            OSError: the folder is there, but cannot be read.
        """
        first = ""
        if since is not None:
            with suppress(ValueError, OverflowError, OSError):
                first = (datetime.fromtimestamp(since) - timedelta(days=1)).strftime(STAMP)
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if name >= first and _NAME.fullmatch(name))

    def read(self, name: str) -> dict[str, Any] | None:
        """A file's content; None if it is no session, which is counted, or was deleted."""
        try:
            return read(os.path.join(self.folder, name))
        except FileNotFoundError:  # by the router's retention
            return None
        except (NotASession, OSError):
            self.skipped += 1
            return None

    def documents(
        self,
        since: float | None = None,
        *,
        newest_first: bool = False,
        progress: Progress = lambda *_: None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """(name, content) of each, read one at a time.

        Args:
            since: seconds since 1970.
        """
        names = self.names(since)
        if newest_first:
            names.reverse()
        for done, name in enumerate(names):
            if done % 100 == 0:
                progress(done, len(names))
            found = self.read(name)
            if found is not None and (since is None or arrival(found) >= since):
                yield name, found
        progress(len(names), len(names))


def read(path: str | Path) -> dict[str, Any]:
    """The content of a session file.

    Raises:
        NotASession: it is truncated, or something else.
        OSError: it cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        data = file.readall()
    try:
        found = _parsed(data)
    except (ValueError, RecursionError):
        raise NotASession from None
    if not isinstance(found, dict):
        raise NotASession
    for name, kind in _REQUIRED.items():
        if not isinstance(found.get(name), kind):
            raise NotASession
    for name, kind in _OPTIONAL.items():
        value = found.get(name)
        if value is not None and not isinstance(value, kind):
            raise NotASession
    try:
        arrival(found)
    except (ValueError, OverflowError, OSError):
        raise NotASession from None
    return found


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:  # halves of surrogate pairs, which clients send and the router writes
        plain = json.dumps(json.loads(data), ensure_ascii=False)
        return orjson.loads(plain.encode("utf-8", "replace"))


def arrival(document: dict[str, Any]) -> float:
    """When the request arrived, in seconds since 1970."""
    return datetime.fromisoformat(document["timestamp"]).timestamp()


def row(document: dict[str, Any]) -> dict[str, Any]:
    """The session as a row of the index, by column."""
    # A field that is null where it never is: as if it were missing, which it is in files of earlier
    # versions.
    values = {name: document[name] for name in _FIELDS if document.get(name) is not None}
    record = ExchangeRecord(
        timestamp=datetime.fromisoformat(document["timestamp"]),
        save=True,
        **{"client_ip": "", **values},
    )
    made = dict(zip(COLUMNS, row_of(record), strict=True))
    return made | {"stream": int(record.stream), "saved": 1}  # as the database has them
