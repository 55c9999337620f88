"""DuckDB, which `sql` and Parquet need: an optional dependency, connected without its network and
filled from rows."""

import tempfile
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from airouter.sessions.find import NoSessions

VERSION = "2.0.1"  # as requirements-dev.txt pins it
_TYPES = {"TEXT": "VARCHAR", "REAL": "DOUBLE", "INTEGER": "BIGINT"}
_AT_ONCE = 5_000  # rows


def in_memory() -> Any:
    """A new database in memory.

    Raises:
        NoSessions: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise NoSessions(
            "This needs DuckDB, which is optional: install it with "
            f"'.venv/bin/pip install duckdb=={VERSION}'."
        ) from None
    connection = duckdb.connect(":memory:")
    for setting in (
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",  # a name of a table is not a variable of ours
        "temp_directory = ''",  # conversations are not written to other files
        "enable_progress_bar = false",
    ):
        connection.execute(f"SET {setting}")
    return connection


def fill(
    connection: Any, table: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]
) -> int:
    """Make a table of rows; returns their number.

    Args:
        columns: SQLite's or DuckDB's type of each.
    """
    types = {name: _TYPES.get(kind, kind) for name, kind in columns.items()}
    count = 0
    with tempfile.TemporaryDirectory(prefix="airouter-") as folder:
        # Far faster than inserting rows, and nothing else need be installed.
        path = Path(folder) / "rows.json"
        with path.open("wb") as file:
            remaining = iter(rows)
            while batch := list(islice(remaining, _AT_ONCE)):
                count += len(batch)
                file.writelines(
                    orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in batch
                )
        connection.execute(
            f"CREATE TABLE {table} AS SELECT * FROM read_json(?, columns = {types}, "
            "format = 'newline_delimited', maximum_object_size = 268435456)",
            [str(path)],
        )
    return count


def lock(connection: Any) -> None:
    """From here on, statements reach nothing outside: no file, no network, no setting."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
