"""Numbered steps that make a file's tables, and bring an older file up to date."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from controller.store.base import StoreError

Statements = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a file holds. Step n makes version n out of version n - 1; a released step never changes."""

    name: str
    steps: tuple[Statements, ...]

    @property
    def version(self) -> int:
        """The version this program writes."""
        return len(self.steps)


def migrate(db: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Bring the open file to `schema.version` in one transaction, with a copy beside it if it held data.

    `db` is in autocommit mode. Raises StoreError for a file of a later program, sqlite3.Error if a step fails
    (the file is then as it was).
    """
    version = _version(db)
    if version > schema.version:
        raise StoreError(
            f"{path}: the {schema.name} were written by a later program (format {version}, this one knows up to"
            f" {schema.version}). Install that program again, or put back the copy made before the upgrade"
            f" ({path.name}.format-N) and lose what came after it."
        )
    if version == schema.version:
        return
    if version > 0:
        _copy(db, path.with_name(f"{path.name}.format-{version}"))
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in schema.steps[_version(db) :]:  # asked again: another process may have been quicker
            for statement in step:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {schema.version}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def _copy(db: sqlite3.Connection, target: Path) -> None:
    """Copy the file whole or not at all."""
    draft = target.with_name(f"{target.name}.part")
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(draft)) as copy:
            db.backup(copy)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
