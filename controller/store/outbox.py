"""What a database has still to get: batches of lines on disk, oldest first, each until somebody says it has arrived."""

import asyncio
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from controller.store.database import Database, Synchronous
from controller.store.lines import key_of, lines_of
from controller.store.schema import Schema
from controller.store.stamp import micros, moment, span_micros
from drivers.base import Reading
from drivers.clock import Clock

OUTBOX_FILE = "outbox.sqlite"

OUTBOX = Schema(
    name="outgoing readings",
    steps=(
        (
            # AUTOINCREMENT: a number is never used again, so what was read can be deleted by number whatever came since
            """CREATE TABLE batch (id INTEGER PRIMARY KEY AUTOINCREMENT, put INTEGER NOT NULL, lines INTEGER NOT NULL,
            thin INTEGER NOT NULL, body BLOB NOT NULL)""",
            # what the database refuses for good, for a person to look at
            """CREATE TABLE refused (id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, line TEXT NOT NULL,
            reason TEXT NOT NULL)""",
            "CREATE TABLE tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        ),
    ),
)

MOST_LINES = 5_000  # in a batch; more are put as several
REFUSED_KEPT = 10_000
THIN_TO = timedelta(minutes=15)  # over budget, of the oldest readings one of each point and so much time stays
LEAST_FREE = 500_000_000  # bytes on the disk below which a larger file grows no more; control ends at 100 MB
SMALL = 50_000_000
_SPARE_PAGES = 256  # of the file that stand empty
_THIN_STEPS = 8  # at one append, so that it never takes long
_MOST_THINNED = 100_000  # lines in one step: bounds its memory
_FAST = 1  # zlib level: 5 to 12 bytes a reading at 100 MB/s


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What an outbox holds. Counts of what is gone survive a restart."""

    lines: int = 0
    bytes: int = 0
    oldest: datetime | None = None  # when it was put there; None = nothing waits
    thinned: int = 0  # lines that gave way because the budget was used up
    refused: int = 0  # lines that the database would not have
    refused_at: datetime | None = None  # the last of them; None = never
    reason: str = ""  # of the last refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """The oldest lines that wait, in order."""

    until: int  # number of the last batch in it
    lines: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A line that the database will never have, and its words."""

    line: str
    reason: str


class Outbox:
    """`async with` opens the file; one reader takes what any number of tasks put.

    What `put` has returned for survives the death of this process; the last seconds may be lost with the power.
    `budget_bytes` bounds the file, and so does a disk that is nearly full: then the oldest readings are thinned, and
    dropped once all are thin.
    """

    def __init__(
        self,
        directory: Path,
        *,
        site: str,
        clock: Clock,
        budget_bytes: int,
        synchronous: Synchronous = "NORMAL",
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self.budget_bytes = budget_bytes
        self._directory, self._free_bytes = directory, free_bytes
        self._site, self._clock = site, clock
        self._database = Database(directory / OUTBOX_FILE, OUTBOX, synchronous=synchronous)
        self._filled = asyncio.Event()
        self.backlog = Backlog()  # as of the last commit

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        self._take_stock(await self._database.read(_stock))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.__aexit__(*exc)

    async def put(self, readings: Sequence[Reading]) -> None:
        """Keep readings until they have arrived. Raises StoreError."""
        if readings:
            now = micros(self._clock.now())
            self._take_stock(await self._database.write(lambda db: self._put(db, readings, now)))

    async def wait(self) -> None:
        """Return once something waits."""
        await self._filled.wait()

    async def oldest(self, most: int = MOST_LINES) -> Parcel | None:
        """The oldest lines, about `most` or the first batch; None if nothing waits. Raises StoreError."""
        return await self._database.read(lambda db: _oldest(db, most))

    async def settle(self, parcel: Parcel, refusals: Sequence[Refusal] = ()) -> None:
        """Forget a parcel that has arrived but for the refused lines, which are kept aside. Raises StoreError."""
        now = micros(self._clock.now())
        self._take_stock(await self._database.write(lambda db: _settle(db, parcel, refusals, now)))

    async def refused(self, most: int = 100) -> Sequence[Refusal]:
        """Look at the newest lines that were kept aside."""
        query = "SELECT line, reason FROM refused ORDER BY id DESC LIMIT ?"
        rows = await self._database.read(lambda db: db.execute(query, (most,)).fetchall())
        return [Refusal(line=line, reason=reason) for line, reason in rows]

    def _take_stock(self, backlog: Backlog) -> None:
        self.backlog = backlog
        (self._filled.set if backlog.lines else self._filled.clear)()

    # --- on the writer's thread --------------------------------------------------------------------------------

    def _put(self, db: sqlite3.Connection, readings: Sequence[Reading], now: int) -> Backlog:
        for n in range(0, len(readings), MOST_LINES):
            _insert(db, lines_of(readings[n : n + MOST_LINES], site=self._site), put=now)
        stock = _stock(db)
        for _ in range(_THIN_STEPS):
            if not self._is_tight(db, stock) or not _thin(db):
                break
            stock = _stock(db)
        return stock

    def _is_tight(self, db: sqlite3.Connection, stock: Backlog) -> bool:
        """Whether the budget is used up, or the file would grow on a disk that the building's control needs too."""
        if stock.bytes > self.budget_bytes:
            return True
        (spare,) = db.execute("PRAGMA freelist_count").fetchone()
        try:
            return stock.bytes > SMALL and spare < _SPARE_PAGES and self._free_bytes(self._directory) < LEAST_FREE
        except OSError:  # the disk's own trouble shows when it is written to
            return False


def _insert(db: sqlite3.Connection, lines: Sequence[str], *, put: int, number: int | None = None) -> None:
    body = zlib.compress("\n".join(lines).encode(), _FAST)
    row = (number, put, len(lines), int(number is not None), body)
    db.execute("INSERT INTO batch (id, put, lines, thin, body) VALUES (?, ?, ?, ?, ?)", row)
    _count(db, lines=len(lines))


def _count(db: sqlite3.Connection, **more: int) -> None:
    query = "INSERT INTO tally VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
    db.executemany(query, more.items())


def _stock(db: sqlite3.Connection) -> Backlog:
    tally = dict(db.execute("SELECT name, value FROM tally"))
    put = db.execute("SELECT put FROM batch ORDER BY id LIMIT 1").fetchone()
    last = db.execute("SELECT time, reason FROM refused ORDER BY id DESC LIMIT 1").fetchone()
    pages, free, page_bytes = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    stock = Backlog(bytes=(pages - free) * page_bytes, oldest=None if put is None else moment(put[0]), **tally)
    return stock if last is None else replace(stock, refused_at=moment(last[0]), reason=last[1])


def _lines(body: bytes) -> list[str]:
    return zlib.decompress(body).decode().split("\n")


def _oldest(db: sqlite3.Connection, most: int) -> Parcel | None:
    lines: list[str] = []
    until = 0
    for number, count, body in db.execute("SELECT id, lines, body FROM batch ORDER BY id"):
        if lines and len(lines) + count > most:
            break
        lines += _lines(body)
        until = number
    return Parcel(until=until, lines=lines) if lines else None


def _settle(db: sqlite3.Connection, parcel: Parcel, refusals: Sequence[Refusal], now: int) -> Backlog:
    _remove(db, "id <= ?", parcel.until)
    if refusals:
        rows = [(now, refusal.line, refusal.reason) for refusal in refusals]
        db.executemany("INSERT INTO refused (time, line, reason) VALUES (?, ?, ?)", rows)
        db.execute("DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ?", (REFUSED_KEPT,))
        _count(db, refused=len(refusals))
    return _stock(db)


def _remove(db: sqlite3.Connection, where: str, *values: int) -> int:
    """Delete batches; how many lines they had."""
    (lines,) = db.execute(f"SELECT total(lines) FROM batch WHERE {where}", values).fetchone()  # noqa: S608  constants
    db.execute(f"DELETE FROM batch WHERE {where}", values)  # noqa: S608
    _count(db, lines=-int(lines))
    return int(lines)


def _thin(db: sqlite3.Connection) -> bool:
    """Give up some of the oldest: what was put within one quarter hour becomes one batch, thinned.

    Where everything but the newest quarter hour is thin already, the oldest batch goes. False if nothing can go.
    """
    span = span_micros(THIN_TO)
    row = db.execute("SELECT put FROM batch WHERE thin = 0 ORDER BY id LIMIT 1").fetchone()
    (newest,) = db.execute("SELECT max(put) FROM batch").fetchone()
    if row is None or row[0] // span == newest // span:
        first = db.execute("SELECT id FROM batch ORDER BY id LIMIT 1").fetchone()
        if first is None:
            return False
        _count(db, thinned=_remove(db, "id = ?", *first))
        return True
    until, last, read = (row[0] // span + 1) * span, 0, 0
    kept: dict[tuple[str, int], str] = {}
    for number, body in db.execute("SELECT id, body FROM batch WHERE thin = 0 AND put < ? ORDER BY id", (until,)):
        lines = _lines(body)
        for line in lines:
            series, time = key_of(line)
            kept[series, time // span] = line
        last, read = number, read + len(lines)
        if read >= _MOST_THINNED:
            break
    before = _remove(db, "thin = 0 AND put < ? AND id <= ?", until, last)
    _insert(db, list(kept.values()), put=row[0], number=last)
    _count(db, thinned=before - len(kept))
    return True
