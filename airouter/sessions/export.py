"""Requests as Parquet and CSV, without texts: the columns of the index."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from airouter.index.rows import COLUMNS
from airouter.sessions.database import fill, in_memory
from airouter.sessions.find import NoSessions, Row
from airouter.sessions.sql import columns_of


def to_csv(path: Path, rows: Iterable[Row]) -> int:
    """Write rows as CSV with a line of headings; returns their number.

    Raises:
        OSError: the file cannot be written; what was there before is kept.
    """
    count, part = 0, _part(path)
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for one in rows:
                writer.writerow(one[name] for name in COLUMNS)
                count += 1
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count


def to_parquet(path: Path, rows: Iterable[Row]) -> int:
    """Write rows as Parquet; returns their number.

    Raises:
        NoSessions: DuckDB is not installed, or cannot write them.
        OSError: the file cannot be written; what was there before is kept.
    """
    connection, part = in_memory(), _part(path)
    part.touch()  # for an error that says why, and the permissions of other files
    try:
        count = fill(connection, "requests", columns_of("requests"), rows)
        connection.execute("COPY requests TO $path (FORMAT parquet)", {"path": str(part)})
        os.replace(part, path)
    except connection_errors() as error:
        raise NoSessions(f"{path} cannot be written: {_first_line(error)}.") from None
    finally:
        part.unlink(missing_ok=True)
        connection.close()
    return count


def connection_errors() -> type[Exception]:
    """The base of DuckDB's errors, which is installed."""
    import duckdb

    error: type[Exception] = duckdb.Error
    return error


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
