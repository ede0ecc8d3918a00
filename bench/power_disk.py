"""A disk in memory that loses power: what was not synced is dropped, torn or kept, as chance has it.

SQLite reaches it through apsw, whose connections are dressed up as those of the standard library, so that the very
code of the product writes to it. A file's shared memory is not modelled: each file has one user (exclusive locking).
"""
# ruff: noqa: ARG002, FBT001, N802  the interface is SQLite's

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import apsw

from controller.store import database

SECTOR = 512  # what a disk writes whole
KEPT_WHOLE = 0.4  # of the writes that were not synced; the others are torn or dropped
NAME = "power_disk"
LOG_PAGES = 60  # of the log before it is worked into the file: often, or a cut would seldom come in between
NEVER = 1 << 62
WRITES_BACK = 0.01  # of the steps are followed by the system writing a part of what waits, as it does by and by


@dataclass
class _File:
    now: bytearray = field(default_factory=bytearray)  # as the program sees it
    safe: bytearray = field(default_factory=bytearray)  # as of the last sync
    named: bool = False  # its name has reached the disk too
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # offset and bytes; None cuts off there

    def settle(self, count: int) -> None:
        """Let the oldest waiting writes reach the disk."""
        for offset, data in self.pending[:count]:
            _put(self.safe, offset, data)
        del self.pending[:count]


def _put(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class PowerDisk(apsw.VFS):
    """`with disk.mounted()` every database is opened here; after `cut_after` writes and syncs the power is gone."""

    def __init__(self, cut_after: int = NEVER) -> None:
        super().__init__(NAME, "")
        self.files: dict[str, _File] = {}
        self.cut_after = cut_after
        self.steps = 0
        self._moments = Random(cut_after)

    @property
    def dark(self) -> bool:
        """Whether the power is gone."""
        return self.steps > self.cut_after

    def step(self) -> None:
        """Count something that changes the disk; raises once the power is gone."""
        self.steps += 1
        if self.dark:
            raise apsw.IOError("the power is gone")
        if self._moments.random() < WRITES_BACK:
            for file in self.files.values():
                file.settle(self._moments.randint(0, len(file.pending)))

    @contextmanager
    def mounted(self) -> Iterator["PowerDisk"]:
        """Let `sqlite3.connect` open files of this disk."""
        with patch.object(sqlite3, "connect", self._connect), patch.object(database, "_CHECKPOINT_PAGES", LOG_PAGES):
            yield self
        self.unregister()

    def remains(self, directory: Path, random: Random) -> None:
        """Write what the disk holds after the cut into a real directory."""
        for name, file in self.files.items():
            if not file.named and random.random() < 0.5:
                continue
            for offset, data in file.pending:
                if random.random() < KEPT_WHOLE:
                    _put(file.safe, offset, data)
                elif data is not None:
                    _tear(file.safe, offset, data, random)
            (directory / Path(name).name).write_bytes(file.safe)

    def _connect(self, path: Path, timeout: float = 5.0, isolation_level: None = None) -> "_Connection":
        connection = _Connection(apsw.Connection(str(path), vfs=NAME))
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        return connection

    # --- what SQLite asks of a file system, by its own names -------------------------------------------------------

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # a file needs only the methods, not the base
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        file = self.files.setdefault(path, _File())
        flags[1] = flags[0]
        return _Handle(self, file)

    def xDelete(self, name: str, sync: bool) -> None:
        self.step()
        self.files.pop(name, None)

    def xAccess(self, name: str, flags: int) -> bool:
        return name in self.files

    def xFullPathname(self, name: str) -> str:
        return name


def _tear(content: bytearray, offset: int, data: bytes, random: Random) -> None:
    """Some sectors of a write, or none."""
    if random.random() < 0.5:
        return
    for at in range(0, len(data), SECTOR):
        if random.random() < 0.5:
            _put(content, offset + at, data[at : at + SECTOR])


class _Handle:
    """An open file."""

    def __init__(self, disk: PowerDisk, file: _File) -> None:
        self._disk, self._file = disk, file

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._file.now[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        if not self._disk.dark:
            self._file.pending.append((offset, bytes(data)))  # the write during which it goes dark may be torn
        self._disk.step()
        _put(self._file.now, offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        self._disk.step()
        _put(self._file.now, size, None)
        self._file.pending.append((size, None))

    def xSync(self, flags: int) -> None:
        self._disk.step()
        self._file.settle(len(self._file.pending))
        self._file.named = True

    def xFileSize(self) -> int:
        return len(self._file.now)

    def xLock(self, level: int) -> None:
        """One user a file."""

    def xUnlock(self, level: int) -> None:
        """One user a file."""

    def xCheckReservedLock(self) -> bool:
        return False

    def xClose(self) -> None:
        """Nothing reaches the disk by closing."""

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        return int(apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE)  # what SQLite assumes of a disk

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False


class _Connection:
    """An apsw connection with the manners of a `sqlite3.Connection`."""

    def __init__(self, db: Any) -> None:
        self._db = db

    @property
    def in_transaction(self) -> bool:
        return bool(self._db.in_transaction)

    def execute(self, statement: str, values: Any = ()) -> "_Rows":
        with _translated():
            rows = list(self._db.execute(statement, values))
            return _Rows(rows, self._db.changes(), self._db.last_insert_rowid())

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        with _translated():
            list(self._db.executemany(statement, rows))

    def close(self) -> None:
        with _translated():
            self._db.close()


class _Rows:
    def __init__(self, rows: list[tuple[Any, ...]], count: int, last: int) -> None:
        self._rows, self.rowcount, self.lastrowid = iter(rows), count, last

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except apsw.Error as err:
        error = sqlite3.OperationalError(str(err))
        error.sqlite_errorname = f"SQLITE_{type(err).__name__.removesuffix('Error').upper()}"
        raise error from err
