"""The append-only record of who did what and why. Each row seals the one before it."""

import csv
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TextIO

from controller.store.base import AuditEntry
from controller.store.control import control_file, storable
from controller.store.database import Database
from controller.store.stamp import micros, moment

_TEXTS = "actor, action, subject, old, new, reason, result"
_BEGINNING = bytes(32)  # stands before the first row
_Row = tuple[int, int, str, str, str, str, str, str, str]  # id, time, then _TEXTS


class Audit:
    """The audit in the control file; entries made at the same time share one commit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, *entries: AuditEntry) -> None:
        """Add entries, in order; safe against a power cut when it returns. Raises StoreError."""
        if entries:
            await self._database.write(lambda db: _add(db, entries))

    async def entries(
        self, limit: int = 100, since: datetime | None = None, subject: str | None = None
    ) -> tuple[AuditEntry, ...]:
        """Return the newest entries, newest first; those at or after `since`, and about `subject`, if given."""
        query = (subject, subject, -(1 << 62) if since is None else micros(since), limit)
        rows = await self._database.read(
            lambda db: db.execute(
                f"""SELECT id, time, {_TEXTS} FROM audit WHERE (? IS NULL OR subject = ?) AND time >= ?
                ORDER BY id DESC LIMIT ?""",  # noqa: S608  constants
                query,
            ).fetchall()
        )
        return tuple(_entry(row) for row in rows)


def record_now(directory: Path, *entries: AuditEntry) -> None:
    """Add entries from another process, such as the guard. Raises StoreError."""
    with control_file(directory, change=True) as db:
        _add(db, entries)


def verify(directory: Path) -> int | None:
    """Return the number of the first row that was altered, put in or taken out; None if the whole chain holds.

    Rows cut off at the end show as the first missing number. Raises StoreError if the file cannot be read.
    """
    with control_file(directory, change=False) as db:
        seal, number = _BEGINNING, 0
        for number, (row, kept) in enumerate(_sealed(db), 1):
            seal = _seal(seal, row)
            if row[0] != number or kept != seal:
                return number
        last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
        return None if number == (last[0] if last else 0) else number + 1


def export(directory: Path, target: TextIO) -> int:
    """Write every row as CSV, oldest first, with its seal in hexadecimal; how many there were."""
    out = csv.writer(target, lineterminator="\n")
    out.writerow(["id", "time", *_TEXTS.split(", "), "sha256"])
    number = 0
    with control_file(directory, change=False) as db:
        for number, (row, seal) in enumerate(_sealed(db), 1):  # noqa: B007  counts
            out.writerow([row[0], moment(row[1]).isoformat(), *row[2:], seal.hex()])
    return number


def _add(db: sqlite3.Connection, entries: Iterable[AuditEntry]) -> None:
    # asked anew each time, as the guard may have added rows
    last = db.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    before, seal = last or (0, _BEGINNING)
    for number, entry in enumerate(entries, before + 1):
        row = _row(number, entry)
        seal = _seal(seal, row)
        db.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, seal))


def _seal(previous: bytes, row: _Row) -> bytes:
    """SHA-256 of the seal before and the row as JSON, which no two different rows share."""
    return hashlib.sha256(previous + json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode()).digest()


def _sealed(db: sqlite3.Connection) -> Iterator[tuple[_Row, bytes]]:
    for *row, seal in db.execute(f"SELECT id, time, {_TEXTS}, hash FROM audit ORDER BY id"):  # noqa: S608  constants
        yield tuple(row), seal


def _row(number: int, entry: AuditEntry) -> _Row:
    texts = (entry.actor, entry.action, entry.subject, entry.old, entry.new, entry.reason, entry.result)
    actor, action, subject, old, new, reason, result = map(storable, texts)
    return number, micros(entry.time), actor, action, subject, old, new, reason, result


def _entry(row: _Row) -> AuditEntry:
    _, time, actor, action, subject, old, new, reason, result = row
    return AuditEntry(
        time=moment(time), actor=actor, action=action, subject=subject, old=old, new=new, reason=reason, result=result
    )
