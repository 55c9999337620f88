"""The store of examples, of live checks and of what the shadow counted: one SQLite file, mode 0600.

An example is the features of a request with the reasoning tier's label. Each ask is in it once,
with its newest label, so that no split of the examples has the same ask on both sides.
"""

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from airouter.classify.tiers.cache import key_of
from airouter.domain.errors import ConfigError
from airouter.domain.types import Features

FILE = "learning.sqlite"
DAY = 86_400.0
WEEK = 7 * DAY
_BUSY_S = 10.0
_MAX_BYTES = 16_000  # of an example, compressed; larger ones are left out
_CHECKS_DAYS = 90
_FIELDS = {field.name for field in fields(Features)}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS examples (
    key BLOB PRIMARY KEY, at REAL NOT NULL, label TEXT NOT NULL, features BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS examples_at ON examples (at);
CREATE TABLE IF NOT EXISTS checks (
    at REAL NOT NULL, model TEXT NOT NULL, agreed INTEGER NOT NULL, harmful INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS shadow (
    model TEXT NOT NULL, tier TEXT NOT NULL, result TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (model, tier, result)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Example:
    """`at`: when the request arrived, in seconds since 1970."""

    at: float
    label: str
    features: Features


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of live checks: how many, in how many the classifier said the same class, and in how many it
    said COMPLEX or ENRICH where the model had decided for the primary."""

    n: int
    agreed: int
    harmful: int


class Store:
    """Opened for each use: several processes use it.

    Args:
        folder: made with mode 0700 when something is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def add(self, examples: Iterable[Example]) -> int:
        """Store examples. Of two about the same ask the newer one is kept; those that are too large
        are left out. Returns how many were new or newer."""
        rows = []
        for one in examples:
            key, data = key_of(one.features), zlib.compress(orjson.dumps(one.features))
            if key is not None and len(data) <= _MAX_BYTES:
                rows.append((key, one.at, one.label, data))
        with self._open() as db:
            before = db.total_changes
            db.executemany(
                "INSERT INTO examples VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                "at = excluded.at, label = excluded.label, features = excluded.features "
                "WHERE excluded.at > at",
                rows,
            )
            return db.total_changes - before

    def prune(self, now: float, max_age_days: float, max_count: int) -> None:
        """Delete old examples, and the oldest of too many; their text is overwritten."""
        with self._open() as db:
            db.execute("DELETE FROM examples WHERE at < ?", (now - max_age_days * DAY,))
            db.execute(
                "DELETE FROM examples WHERE key IN "
                "(SELECT key FROM examples ORDER BY at DESC LIMIT -1 OFFSET ?)",
                (max_count,),
            )
            db.execute("DELETE FROM checks WHERE at < ?", (now - _CHECKS_DAYS * DAY,))

    def examples(self) -> Iterator[Example]:
        """All of them, oldest first."""
        if not self.path.exists():
            return
        with self._open() as db:
            rows = db.execute(
                "SELECT at, label, features FROM examples ORDER BY at, key"
            ).fetchall()
        for at, label, data in rows:
            found = orjson.loads(zlib.decompress(data))
            known = {key: _tuples(value) for key, value in found.items() if key in _FIELDS}
            yield Example(at, label, Features(**known))

    def span(self) -> tuple[int, float, float]:
        """How many examples there are, and when the oldest and the newest were asked."""
        if not self.path.exists():
            return 0, 0.0, 0.0
        with self._open() as db:
            count, first, last = db.execute(
                "SELECT count(*), min(at), max(at) FROM examples"
            ).fetchone()
        return count, first or 0.0, last or 0.0

    # Live checks and the shadow -------------------------------------------------------------------

    def add_check(self, at: float, model: str, agreed: bool, harmful: bool) -> None:
        """Store the result of a live check."""
        with self._open() as db:
            db.execute("INSERT INTO checks VALUES (?, ?, ?, ?)", (at, model, agreed, harmful))

    def agreement(self, model: str, since: float) -> Agreement:
        """The live checks of a model since a time in seconds since 1970."""
        if not self.path.exists():
            return Agreement(0, 0, 0)
        with self._open() as db:
            row = db.execute(
                "SELECT count(*), coalesce(sum(agreed), 0), coalesce(sum(harmful), 0) FROM checks "
                "WHERE model = ? AND at >= ?",
                (model, since),
            ).fetchone()
        return Agreement(*row)

    def count_shadow(self, model: str, counts: dict[tuple[str, str], int]) -> None:
        """Add to what the shadow counted, by (tier that decided, result)."""
        with self._open() as db:
            db.executemany(
                "INSERT INTO shadow VALUES (?, ?, ?, ?) ON CONFLICT (model, tier, result) "
                "DO UPDATE SET count = count + excluded.count",
                [(model, tier, result, n) for (tier, result), n in counts.items()],
            )

    def shadow(self, model: str) -> dict[tuple[str, str], int]:
        """What a model did in shadow: counts by (tier that decided, result)."""
        if not self.path.exists():
            return {}
        with self._open() as db:
            rows = db.execute("SELECT tier, result, count FROM shadow WHERE model = ?", (model,))
            return {(tier, result): count for tier, result, count in rows}

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection; what the block does is one transaction.

        Raises:
            ConfigError: the file cannot be used.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            db = sqlite3.connect(self.path, timeout=_BUSY_S)
            try:
                db.execute("PRAGMA secure_delete = ON")
                db.executescript(_SCHEMA)
                with db:
                    yield db
            finally:
                db.close()
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"{self.path} cannot be used: {error}") from None


def _tuples(value: Any) -> Any:
    """The value as it was before JSON made lists of tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
