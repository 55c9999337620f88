"""Finding requests: in the index where there is one, otherwise in the session files."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from airouter.domain.types import immutable
from airouter.index.reading import NAME, read_only
from airouter.index.rows import COLUMNS
from airouter.index.schema import MIGRATIONS
from airouter.sessions.files import Files, Progress, row

Row = dict[str, Any]  # by column of the index
EMPTY = (
    "There are no sessions in {}: send the router a request, or name its log directory with "
    "--log-dir."
)


class NoSessions(Exception):
    """Nothing can be shown; its text is a sentence that says why, and what to do."""


@immutable
class Filter:
    """Which requests are wanted. `since`: seconds since 1970; the others: the value of the column,
    None for any."""

    since: float | None = None
    route: str | None = None
    outcome: str | None = None
    reason: str | None = None
    backend: str | None = None
    key_id: str | None = None

    @property
    def equal(self) -> dict[str, str]:
        """Columns, and the value that each must have."""
        values = {
            "route": self.route,
            "outcome": self.outcome,
            "reason": self.reason,
            "backend": self.backend,
            "key_id": self.key_id,
        }
        return {name: value for name, value in values.items() if value is not None}

    def accepts(self, one: Row) -> bool:
        if self.since is not None and one["at"] < self.since:
            return False
        return all(one[name] == value for name, value in self.equal.items())


class Requests:
    """The finished requests of a directory of logs, as rows of the index.

    Mutable state: `files`, which counts what it skips.

    Args:
        log_dir: where the index and the folder of session files are.

    Raises:
        NoSessions: there are neither; or the index is damaged, or of another version.
    """

    def __init__(self, log_dir: Path) -> None:
        self.log_dir, self.index = log_dir, log_dir / NAME
        self.files = Files(log_dir)
        self.indexed = self.index.exists()
        if self.indexed:
            if self._is_empty() and not self.files.names():
                raise NoSessions(EMPTY.format(log_dir))
        elif not self.files.names():
            raise NoSessions(EMPTY.format(log_dir))

    @property
    def source(self) -> str:
        """Where the rows come from, for people."""
        return "the index of requests" if self.indexed else "the session files (there is no index)"

    def rows(
        self,
        wanted: Filter,
        *,
        columns: tuple[str, ...] = COLUMNS,
        order: str = "at",
        limit: int | None = None,
        progress: Progress = lambda *_: None,
    ) -> Iterator[Row]:
        """The requests that are wanted.

        Args:
            columns: those that are needed.
            order: "at": oldest first; "-at": newest first; "-total_ms": slowest first.
            limit: the number of rows.

        Raises:
            NoSessions: the index cannot be read.
        """
        if self.indexed:
            yield from self._from_index(wanted, columns, order, limit, progress)
        else:
            yield from self._from_files(wanted, order, limit, progress)

    def _from_files(
        self, wanted: Filter, order: str, limit: int | None, progress: Progress
    ) -> Iterator[Row]:
        documents = self.files.documents(
            wanted.since, newest_first=order == "-at", progress=progress
        )
        rows = (one for one in (row(document) for _, document in documents) if wanted.accepts(one))
        if order == "-total_ms":
            yield from sorted(rows, key=lambda one: -one["total_ms"])[:limit]
            return
        for number, one in enumerate(rows):
            if number == limit:
                break
            yield one

    def _from_index(
        self,
        wanted: Filter,
        columns: tuple[str, ...],
        order: str,
        limit: int | None,
        progress: Progress,
    ) -> Iterator[Row]:
        conditions = [f"{name} = ?" for name in wanted.equal]
        values: list[Any] = [*wanted.equal.values()]
        if wanted.since is not None:
            conditions.append("at >= ?")
            values.append(wanted.since)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        column, descending = order.removeprefix("-"), order.startswith("-")
        query = (
            f"SELECT {', '.join(columns)} FROM requests{where} "
            f"ORDER BY {column}{' DESC' if descending else ''} LIMIT ?"
        )
        with self.read() as connection:
            total = connection.execute(f"SELECT count(*) FROM requests{where}", values).fetchone()[
                0
            ]
            for done, found in enumerate(
                connection.execute(query, [*values, -1 if limit is None else limit])
            ):
                if done % 1000 == 0:
                    progress(done, total)
                yield dict(zip(columns, found, strict=True))
            progress(total, total)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection to the index. Errors of the database in the block become NoSessions."""
        try:
            with closing(read_only(self.index)) as connection:
                yield connection
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
            raise NoSessions(f"The index {self.index} cannot be read: {error}.") from None

    def _is_empty(self) -> bool:
        """Whether the index has nothing.

        Raises:
            NoSessions: it is damaged, or of another version.
        """
        with self.read() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            self._check(version)
            return not connection.execute(
                "SELECT EXISTS (SELECT 1 FROM requests) OR EXISTS (SELECT 1 FROM backend_events)"
            ).fetchone()[0]

    def _check(self, version: int) -> None:
        if version > len(MIGRATIONS):
            raise NoSessions(
                f"The index {self.index} was written by a later version of the router."
            )
        if version < len(MIGRATIONS):
            raise NoSessions(
                f"The index {self.index} is of an earlier version, or empty: start the router once."
            )
