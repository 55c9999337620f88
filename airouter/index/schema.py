"""The tables of the index, and how a database of an earlier version becomes one of this."""

import re
import sqlite3

# Each takes a database from the version of its place in the list to the next. Never change one that
# has been released: append another.
MIGRATIONS = (
    """
    CREATE TABLE requests (
        id TEXT NOT NULL,              -- of the session, 32 characters
        at REAL NOT NULL,              -- arrival, seconds since 1970
        endpoint TEXT NOT NULL,
        stream INTEGER NOT NULL,
        requested_model TEXT NOT NULL, -- a configured name, none or other
        requested_route TEXT NOT NULL,
        route TEXT NOT NULL,
        label TEXT,
        tier TEXT,
        p REAL,
        backend TEXT,
        model TEXT,
        outcome TEXT NOT NULL,
        reason TEXT NOT NULL,
        status INTEGER NOT NULL,
        total_ms REAL NOT NULL,
        classification_ms REAL,
        enrichment_ms REAL,
        queue_ms REAL,
        connect_ms REAL,
        inference_ms REAL,
        own_ms REAL,                   -- the router's own part; null where it cannot be told
        ttft_ms REAL,                  -- arrival to first content
        backend_ttft_ms REAL,          -- request sent to first content
        gap_ms REAL,                   -- between two contents: mean
        longest_gap_ms REAL,
        in_flight INTEGER,             -- others at the backend when it was sent
        idle_s REAL,                   -- since the one before; null if there were others
        max_tokens INTEGER,
        inputs INTEGER,                -- to be embedded
        tokens_in INTEGER,
        tokens_out INTEGER,
        tokens_cached INTEGER,
        tokens_wasted INTEGER NOT NULL,
        speculation TEXT,
        attempts INTEGER NOT NULL,
        test TEXT,                     -- X-Router-Test
        trace_id TEXT,
        saved INTEGER NOT NULL         -- whether it has a session file
    );
    CREATE INDEX requests_at ON requests (at);
    CREATE TABLE backend_events (
        at REAL NOT NULL,
        backend TEXT NOT NULL,
        event TEXT NOT NULL,           -- probe, state
        value TEXT NOT NULL,           -- up, down; the breaker's state
        ms REAL                        -- duration of the probe
    );
    CREATE INDEX backend_events_at ON backend_events (at);
    CREATE TABLE slo_events (
        slo TEXT NOT NULL,
        minute INTEGER NOT NULL,       -- since 1970
        good INTEGER NOT NULL,
        bad INTEGER NOT NULL,
        PRIMARY KEY (slo, minute)
    ) WITHOUT ROWID;
    CREATE TABLE slo_summary (
        slo TEXT PRIMARY KEY,
        at REAL NOT NULL,              -- of the evaluation, seconds since 1970
        summary TEXT NOT NULL          -- JSON
    ) WITHOUT ROWID;
    CREATE TABLE alerts (
        name TEXT NOT NULL,
        severity TEXT NOT NULL,
        state TEXT NOT NULL,           -- pending, firing, resolved
        slo TEXT NOT NULL,
        since REAL NOT NULL,           -- seconds since 1970
        value REAL,
        threshold REAL,
        budget_left REAL,
        told TEXT,                     -- the state that the webhook was told last
        listed TEXT NOT NULL,          -- JSON, as /metrics/alerts lists it
        PRIMARY KEY (name, severity)
    ) WITHOUT ROWID;
    """,
    "ALTER TABLE requests ADD COLUMN key_id TEXT",  # of the client's key, never the key
)


_COMMENT = re.compile(r"--.*")


class NewerIndex(Exception):
    """The database was written by a later version of the router."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to this version.

    Raises:
        NewerIndex: it is of a later one.
    """
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise NewerIndex
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")  # another worker may be doing the same
    try:
        for statements in MIGRATIONS[_version(connection) :]:
            for statement in _COMMENT.sub("", statements).split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
