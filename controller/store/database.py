"""One SQLite file behind one writer thread: writes that share a commit, and errors in plain words."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

from controller.store.base import StoreError
from controller.store.schema import Schema, migrate

T = TypeVar("T")
Synchronous = Literal["OFF", "NORMAL", "FULL"]

_GROUP = 256  # jobs in one commit: bounds what one failure takes with it
_CACHE_KIB = 16_000
_CHECKPOINT_PAGES = 4_000  # of the log before it is worked in: 16 MB, in which a busy page counts once
_JOURNAL_BYTES = 64_000_000  # a log grown beyond this is cut back

_CURES = (
    ("SQLITE_FULL", "the disk is full: free some space, nothing that was stored is lost"),
    ("SQLITE_BUSY", "another program holds the file: stop it, or wait for it to finish"),
    ("SQLITE_LOCKED", "another program holds the file: stop it, or wait for it to finish"),
    ("SQLITE_READONLY", "the file cannot be written: check its owner and whether the disk is mounted read-only"),
    ("SQLITE_CANTOPEN", "the file cannot be opened: check that its directory exists and is ours"),
    ("SQLITE_CORRUPT", "the file is damaged: put back a copy of it"),
    ("SQLITE_NOTADB", "this is not a database of ours: move it away or name another directory"),
    ("SQLITE_IOERR", "the disk failed: check it and the system's log"),
)


def store_error(path: Path, err: sqlite3.Error) -> StoreError:
    """SQLite's complaint about a file, with what to do about it."""
    name = getattr(err, "sqlite_errorname", type(err).__name__)
    cure = next((text for prefix, text in _CURES if name.startswith(prefix)), "")
    return StoreError(f"{path}: {cure or 'the database refused'} ({err}, {name})")


class _Job(Generic[T]):
    __slots__ = ("call", "done", "error", "result")

    def __init__(self, call: Callable[[sqlite3.Connection], T]) -> None:
        self.call = call
        self.done = False
        self.result: T | None = None
        self.error: StoreError | None = None

    def fail(self, error: StoreError) -> None:
        self.done, self.error = True, error


class Database:
    """`async with` opens the file, makes or migrates its tables, and closes it.

    Everything runs on the one thread, in the order asked for, so a read sees every write awaited before it.
    `synchronous` is SQLite's: FULL survives a power cut, NORMAL a kill of the process, OFF neither (throw-away
    files of a simulation). Opening raises StoreError.
    """

    def __init__(self, path: Path, schema: Schema, *, synchronous: Synchronous, busy_s: float = 5.0) -> None:
        self.path = path
        self._schema, self._synchronous, self._busy_s = schema, synchronous, busy_s
        self._waiting: deque[_Job[Any]] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None  # belongs to the thread

    async def __aenter__(self) -> Self:
        thread = ThreadPoolExecutor(1, thread_name_prefix=self.path.stem)
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._open)
            self._thread = thread
        finally:
            if self._thread is None:
                thread.shutdown(wait=False)
        return self

    async def __aexit__(self, *exc: object) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
        finally:
            thread.shutdown(wait=False)

    async def write(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run `call` in a transaction and return its result once that is committed.

        Jobs that wait at the same time share one commit, hence one fsync; if one of them raises StoreError or
        sqlite3.Error only its own changes are undone. `call` may do nothing but use the connection. A cancelled
        write may or may not have happened. Raises StoreError.
        """
        thread = self._working()
        job = _Job(call)
        self._waiting.append(job)
        return await asyncio.get_running_loop().run_in_executor(thread, self._settle, job)

    async def read(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run `call`, which changes nothing, and return its result. Raises StoreError."""
        return await asyncio.get_running_loop().run_in_executor(self._working(), self._ask, call)

    def _working(self) -> ThreadPoolExecutor:
        if self._thread is None:
            raise StoreError(f"{self.path}: is closed")
        return self._thread

    # --- on the thread -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=self._busy_s, isolation_level=None)
        except OSError as err:
            raise StoreError(f"{self.path}: cannot make its directory: {err.strerror}") from err
        except sqlite3.Error as err:
            raise store_error(self.path, err) from err
        try:
            prepare(db, self._synchronous)
            migrate(db, self.path, self._schema)
            self._connection = db
        except sqlite3.Error as err:
            raise store_error(self.path, err) from err
        finally:
            if self._connection is None:
                db.close()

    def _close(self) -> None:
        db, self._connection = self._connection, None
        if db is not None:
            db.close()

    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.path}: is closed")
        return self._connection

    def _ask(self, call: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return call(self._db())
        except sqlite3.Error as err:
            raise store_error(self.path, err) from err

    def _settle(self, job: _Job[T]) -> T:
        while not job.done:  # else a neighbour's commit has carried it
            group = [self._waiting.popleft() for _ in range(min(_GROUP, len(self._waiting)))]
            self._commit(self._db(), group)
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]  # done without error: it holds the call's result

    def _commit(self, db: sqlite3.Connection, group: list[_Job[Any]]) -> None:
        """One transaction for the group. Every job of it is done afterwards, whatever happens."""
        cause = "another write of the same commit crashed"
        try:
            db.execute("BEGIN IMMEDIATE")
            for job in group:
                self._run(db, job)
            db.execute("COMMIT")
            for job in group:
                job.done = True
        except (StoreError, sqlite3.Error) as err:
            cause = str(self._explained(err))
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            for job in group:
                if not job.done:
                    job.fail(StoreError(cause))

    def _run(self, db: sqlite3.Connection, job: _Job[Any]) -> None:
        db.execute("SAVEPOINT job")
        try:
            job.result = job.call(db)
        except (StoreError, sqlite3.Error) as err:
            if not db.in_transaction:  # SQLite has undone the whole group: disk full, or it failed
                raise
            job.fail(self._explained(err))
            db.execute("ROLLBACK TO job")
        db.execute("RELEASE job")

    def _explained(self, err: StoreError | sqlite3.Error) -> StoreError:
        return err if isinstance(err, StoreError) else store_error(self.path, err)


def prepare(db: sqlite3.Connection, synchronous: Synchronous) -> None:
    """Set what holds for one connection, the same in every process that opens a file of ours."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    db.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
    db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    db.execute("PRAGMA temp_store = MEMORY")
