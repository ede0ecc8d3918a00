"""The control file: leases, commands, overrides and audit, each commit safe against a power cut."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from controller.store.base import StoreError
from controller.store.database import Database, Synchronous, prepare, store_error
from controller.store.schema import Schema

CONTROL_FILE = "control.sqlite"

CONTROL = Schema(
    name="leases, commands and audit",
    steps=(
        (
            "CREATE TABLE epoch (only INTEGER PRIMARY KEY CHECK (only = 1), value INTEGER NOT NULL)",
            "INSERT INTO epoch VALUES (1, 0)",
            """CREATE TABLE lease (point TEXT PRIMARY KEY, device TEXT NOT NULL, priority INTEGER NOT NULL,
            value REAL NOT NULL, expires INTEGER NOT NULL, decision TEXT NOT NULL, epoch INTEGER NOT NULL)
            WITHOUT ROWID""",
            """CREATE TABLE command (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, point TEXT NOT NULL,
            device TEXT NOT NULL, value REAL, priority INTEGER NOT NULL, expires INTEGER NOT NULL, reason TEXT NOT NULL,
            source TEXT NOT NULL, decision TEXT NOT NULL, epoch INTEGER NOT NULL, result TEXT, answered INTEGER)""",
            "CREATE INDEX unresolved ON command (id) WHERE result IS NULL",
            """CREATE TABLE override (point TEXT PRIMARY KEY, value REAL NOT NULL, expires INTEGER NOT NULL,
            reason TEXT NOT NULL, actor TEXT NOT NULL, made INTEGER NOT NULL) WITHOUT ROWID""",
            # AUTOINCREMENT remembers the last number, so that rows cut off at the end are missed
            """CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, actor TEXT NOT NULL,
            action TEXT NOT NULL, subject TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL, reason TEXT NOT NULL,
            result TEXT NOT NULL, hash BLOB NOT NULL)""",
            "CREATE INDEX audit_time ON audit (time)",
            """CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END""",
            """CREATE TRIGGER audit_holds BEFORE DELETE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END""",
        ),
        ("CREATE TABLE wear (point TEXT PRIMARY KEY, writes INTEGER NOT NULL, due INTEGER NOT NULL) WITHOUT ROWID",),
    ),
)


def control_database(directory: Path, *, synchronous: Synchronous = "FULL") -> Database:
    """Make the control file's database, to be opened with `async with`; a simulation's throw-away one may be OFF."""
    return Database(directory / CONTROL_FILE, CONTROL, synchronous=synchronous)


def storable(text: str) -> str:
    """Replace what no UTF-8 text can hold: half a surrogate pair, such as a browser may send."""
    return text.encode("utf-8", "replace").decode()


@contextmanager
def control_file(directory: Path, *, change: bool) -> Iterator[sqlite3.Connection]:
    """Open the control file from another process, such as the guard, beside the service or after its death.

    The body runs in one transaction. To read waits for nobody, not even for a service stopped in the middle of a
    commit; to `change` waits up to 5 s and is safe against a power cut. Raises StoreError, also if there is no file.
    """
    path = directory / CONTROL_FILE
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as db:
            prepare(db, "FULL")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version != CONTROL.version:
                raise StoreError(f"{path}: has format {version}, this program reads {CONTROL.version}: use its own one")
            db.execute("BEGIN IMMEDIATE" if change else "BEGIN")
            yield db
            db.execute("COMMIT")
    except sqlite3.Error as err:
        raise store_error(path, err) from err
