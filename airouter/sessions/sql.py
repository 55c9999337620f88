"""Queries of the index and the session files with DuckDB, which reaches nothing else."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from airouter.domain.types import immutable
from airouter.index.schema import migrate
from airouter.sessions.database import fill, in_memory, lock
from airouter.sessions.files import Files, Progress
from airouter.sessions.find import Filter, NoSessions, Requests

EVENTS = ("backend_events", "slo_events")
_NUMBERS = (
    *("p", "classification_ms", "enrichment_ms", "inference_ms", "ttft_ms", "total_ms"),
    *("abort_ms", "client_gone_ms", "queue_ms", "connect_ms", "backend_ttft_ms", "gap_ms"),
    *("longest_gap_ms", "idle_s"),
)
_WHOLE = ("status", "wasted_tokens", "max_tokens", "inputs", "in_flight")
_JSON = (*("client_messages", "verdicts", "steps", "usage", "adjusted", "notes", "attempts"),)
_TEXTS = (
    *("id", "client_ip", "endpoint", "user_query", "route", "requested_route", "label", "tier"),
    *("classification_raw", "outcome", "error", "backend", "model", "speculation", "reason"),
    *("requested_model", "test"),
)
SESSION = {
    "timestamp": "TIMESTAMPTZ",
    "stream": "BOOLEAN",
    **dict.fromkeys(_TEXTS, "VARCHAR"),
    **dict.fromkeys(_NUMBERS, "DOUBLE"),
    **dict.fromkeys(_WHOLE, "BIGINT"),
    **dict.fromkeys(_JSON, "JSON"),
}


@immutable
class Result:
    """`skipped`: files that are no sessions. `more`: whether there are more rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    more: bool
    skipped: int


def columns_of(table: str) -> dict[str, str]:
    """The columns of a table of the index, with SQLite's type of each."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        found = connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,))
        return dict(found.fetchall())


def run(log_dir: Path, statement: str, limit: int, progress: Progress = lambda *_: None) -> Result:
    """Run a statement on copies of the tables that it names: `requests`, `backend_events`,
    `slo_events` and `sessions`.

    Args:
        limit: the number of rows of the result.

    Raises:
        NoSessions: there is nothing to ask, DuckDB is not installed, or the statement is wrong.
    """
    requests = Requests(log_dir)
    connection = in_memory()
    import duckdb

    try:
        skipped = _load(connection, requests, statement, progress)
        lock(connection)
        connection.execute(statement)
        rows = connection.fetchmany(limit + 1) if connection.description else []
        columns = [column[0] for column in connection.description or ()]
    except (duckdb.Error, UnicodeError) as error:
        raise NoSessions(f"DuckDB: {_sentence(str(error))}") from None
    finally:
        connection.close()
    plain = [tuple(map(_plain, one)) for one in rows[:limit]]
    return Result(columns, plain, len(rows) > limit, skipped)


def _load(connection: Any, requests: Requests, statement: str, progress: Progress) -> int:
    """Fill the tables that the statement may mean; returns the number of files skipped."""
    skipped = 0
    everything = re.search(r"(?i)\b(show|describe|information_schema)\b", statement)
    if everything or _names("requests", statement):
        rows = requests.rows(Filter(), progress=progress)
        fill(connection, "requests", columns_of("requests"), rows)
        skipped = requests.files.skipped
    for table in EVENTS:
        if everything or _names(table, statement):
            fill(connection, table, columns_of(table), _rows(requests, table))
    if everything or _names("sessions", statement):
        skipped = _load_sessions(connection, requests, progress)
    return skipped


def _names(table: str, statement: str) -> bool:
    return re.search(rf"(?i)\b{table}\b", statement) is not None


def _rows(requests: Requests, table: str) -> Iterator[dict[str, Any]]:
    if requests.indexed:
        names = tuple(columns_of(table))
        with requests.read() as connection:
            for found in connection.execute(f"SELECT {', '.join(names)} FROM {table}"):
                yield dict(zip(names, found, strict=True))


def _load_sessions(connection: Any, requests: Requests, progress: Progress) -> int:
    """Fill `sessions`; returns the number of files skipped. DuckDB reads one file of all of them:
    it takes far longer to open many by itself."""
    files = Files(requests.log_dir)
    rows = (document | {"filename": name} for name, document in files.documents(progress=progress))
    fill(connection, "sessions", SESSION | {"filename": "VARCHAR"}, rows)
    return files.skipped


def _plain(value: Any) -> Any:
    """A value that JSON has."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return (value.astimezone() if value.tzinfo else value).isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return str(value)


def _sentence(text: str) -> str:
    """DuckDB's message without the picture of the statement."""
    return " ".join(text.partition("\nLINE ")[0].split())
