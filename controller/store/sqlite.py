"""The default store: readings in one SQLite file, in two tiers.

New rows go to `recent`, keyed (time, series), where a cycle of all points touches one or two pages. When an hour or
so has gathered they are moved, sorted, to `reading`, clustered by (series, time), where a window of one point lies
together. Writing straight to the second costs a page for each point and cycle: three times the processor time and
ten to twenty times the bytes on disk (`python -m bench.store`).
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from controller.store.base import Window
from controller.store.database import Database, Synchronous
from controller.store.schema import Schema
from controller.store.stamp import micros, moment, span_micros
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock

READINGS = Schema(
    name="readings",
    steps=(
        (
            "CREATE TABLE series (id INTEGER PRIMARY KEY, point TEXT NOT NULL UNIQUE)",
            # time and lag (received - time) in microseconds; state = quality + 4 * flags
            """CREATE TABLE recent (time INTEGER NOT NULL, series INTEGER NOT NULL, value REAL, state INTEGER NOT NULL,
            lag INTEGER NOT NULL, PRIMARY KEY (time, series)) WITHOUT ROWID""",
            """CREATE TABLE reading (series INTEGER NOT NULL, time INTEGER NOT NULL, value REAL, state INTEGER NOT NULL,
            lag INTEGER NOT NULL, PRIMARY KEY (series, time)) WITHOUT ROWID""",
        ),
    ),
)

_QUALITIES = (Quality.GOOD, Quality.SUSPECT, Quality.STALE, Quality.BAD)
_CODES = {quality: code for code, quality in enumerate(_QUALITIES)}
_QUALITY_BITS = 3

_MOVE_AT_CYCLES = 60  # of all points
_MOVE_AT_MOST = 100_000  # rows: bounds how long the writer is busy with one move, about 0.1 s
_DELETE_AT_ONCE = 5_000  # rows, so that appends get their turn between

_Row = tuple[int, int, float | None, int, int]

_IN_RECENT = "FROM recent WHERE time >= :start AND time < :end AND series = :series"
# A row that came again after the first was moved stands in both tiers; the one in `recent` is the newer.
_BOTH_TIERS = f"""
SELECT time, value, state FROM reading WHERE series = :series AND time >= :start AND time < :end
AND time NOT IN (SELECT time {_IN_RECENT}) UNION ALL SELECT time, value, state {_IN_RECENT}
"""  # noqa: S608  constants


class SqliteStore:
    """A `Store` in `directory`/readings.sqlite; `async with` opens and closes it.

    Times are kept to the microsecond. An append survives the death of this process; the last seconds may be lost
    with the power.
    """

    def __init__(
        self, directory: Path, *, clock: Clock, keep_days: int | None = None, synchronous: Synchronous = "NORMAL"
    ) -> None:
        """`keep_days` None keeps readings for ever."""
        self._clock, self._keep = clock, None if keep_days is None else timedelta(days=keep_days)
        self._database = Database(directory / "readings.sqlite", READINGS, synchronous=synchronous)
        self._series: dict[str, int] = {}  # ids of committed rows only
        self._recent = 0  # rows in the first tier, give or take the replaced ones; the writer thread's

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        self._series, self._recent = await self._database.read(_begin)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.__aexit__(*exc)

    async def append(self, readings: Sequence[Reading]) -> None:
        if not readings:
            return
        try:
            rows = self._rows(readings)
        except KeyError:
            self._series |= await self._database.write(lambda db: _name(db, readings))
            rows = self._rows(readings)
        await self._database.write(lambda db: self._insert(db, rows))

    async def window(self, point: str, start: datetime, end: datetime) -> Window:
        query = {"series": self._series.get(point, -1), "start": micros(start), "end": micros(end)}
        return _window(await self._database.read(lambda db: _both_tiers(db, query)))

    async def aggregate(
        self, point: str, start: datetime, end: datetime, step: timedelta = timedelta(minutes=30)
    ) -> Mapping[datetime, tuple[float, float, float, int]]:
        query = {
            "series": self._series.get(point, -1),
            "start": micros(start),
            "end": micros(end),
            "step": span_micros(step),
        }
        rows = await self._database.read(
            lambda db: db.execute(
                f"""SELECT time / :step, avg(value), min(value), max(value), count(value) FROM ({_BOTH_TIERS})
                WHERE state & {_QUALITY_BITS} = 0 AND value IS NOT NULL GROUP BY 1 ORDER BY 1""",  # noqa: S608  constants
                query,
            ).fetchall()
        )
        return {moment(n * query["step"]): (mean, low, high, count) for n, mean, low, high, count in rows}

    async def newest(self) -> Mapping[str, Reading]:
        points = {number: point for point, number in self._series.items()}
        rows = await self._database.read(lambda db: _newest(db, points))
        return {points[row[1]]: _reading(points[row[1]], row) for row in rows}

    async def prune(self, before: datetime) -> int:
        """Delete readings older than `before`, a little at a time; how many there were."""
        limit, gone = micros(before), 0
        for number in sorted(self._series.values()):
            while step := await self._database.write(lambda db, n=number: _prune(db, n, limit)):  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                gone += step
        return gone

    async def retain(self) -> None:
        """Once a day delete what is older than `keep_days`, until cancelled."""
        while self._keep is not None:
            now = self._clock.now()
            await self.prune(now - self._keep)
            await self._clock.sleep_until(now + timedelta(days=1))

    def _rows(self, readings: Sequence[Reading]) -> list[_Row]:
        """Rows for `recent`. A cycle's readings share their time, so it is converted only when it changes."""
        series, good, none = self._series, Quality.GOOD, Flags.NONE
        time = received = None
        stamp = lag = 0
        rows = []
        for reading in readings:
            if reading.time is not time or reading.received is not received:
                time, received = reading.time, reading.received
                stamp = micros(time)
                lag = 0 if time is received else micros(received) - stamp
            quality, flags = reading.quality, reading.flags
            state = 0 if quality is good and flags is none else _CODES[quality] | int(flags) << 2
            rows.append((stamp, series[reading.point], reading.value, state, lag))
        return rows

    def _insert(self, db: sqlite3.Connection, rows: list[_Row]) -> None:
        db.executemany("INSERT OR REPLACE INTO recent VALUES (?, ?, ?, ?, ?)", rows)
        self._recent += len(rows)
        if self._recent >= min(_MOVE_AT_CYCLES * len(self._series), _MOVE_AT_MOST):
            db.execute(
                """INSERT OR REPLACE INTO reading (series, time, value, state, lag)
                SELECT series, time, value, state, lag FROM recent ORDER BY series, time"""
            )
            db.execute("DELETE FROM recent")
            self._recent = 0


def _begin(db: sqlite3.Connection) -> tuple[dict[str, int], int]:
    (recent,) = db.execute("SELECT count(*) FROM recent").fetchone()
    return dict(db.execute("SELECT point, id FROM series")), recent


def _name(db: sqlite3.Connection, readings: Sequence[Reading]) -> dict[str, int]:
    """Ids for points that may be new. Idempotent, as two appends may meet the same new point."""
    points = dict.fromkeys(reading.point for reading in readings)
    db.executemany("INSERT OR IGNORE INTO series (point) VALUES (?)", [(point,) for point in points])
    return {point: number for point, number in db.execute("SELECT point, id FROM series") if point in points}


def _both_tiers(db: sqlite3.Connection, query: Mapping[str, int]) -> tuple[list[_Row], list[_Row]]:
    older = "SELECT time, value, state FROM reading WHERE series = :series AND time >= :start AND time < :end"
    newer = f"SELECT time, value, state {_IN_RECENT}"
    return db.execute(older, query).fetchall(), db.execute(newer, query).fetchall()


def _window(tiers: tuple[list[_Row], list[_Row]]) -> Window:
    older, newer = (np.array(rows, dtype=np.float64).reshape(-1, 3) for rows in tiers)
    rows = np.concatenate((older, newer))
    if len(older) and len(newer) and newer[0, 0] <= older[-1, 0]:
        rows = _merged(rows)
    state = rows[:, 2].astype(np.int64)
    return Window(
        time_s=rows[:, 0] / 1e6,
        value=rows[:, 1].copy(),
        quality=(state & _QUALITY_BITS).astype(np.int8),
        flags=(state >> 2).astype(np.int32),
    )


def _merged(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sort by time; of equal times keep the last."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    last: NDArray[np.bool_] = np.append(rows[1:, 0] != rows[:-1, 0], True)
    merged: NDArray[np.float64] = rows[last]
    return merged


def _newest(db: sqlite3.Connection, numbers: Mapping[int, str]) -> list[_Row]:
    """Find the last row of each series, as in `recent`."""
    rows = {row[1]: row for row in db.execute("SELECT time, series, value, state, lag FROM recent ORDER BY time")}
    for number in numbers:
        older = db.execute(
            "SELECT time, series, value, state, lag FROM reading WHERE series = ? ORDER BY time DESC LIMIT 1", (number,)
        ).fetchone()
        if older is not None and (number not in rows or older[0] > rows[number][0]):
            rows[number] = older
    return list(rows.values())


def _reading(point: str, row: _Row) -> Reading:
    stamp, _, value, state, lag = row
    return Reading(
        point=point,
        time=moment(stamp),
        received=moment(stamp + lag),
        value=value,
        quality=_QUALITIES[state & _QUALITY_BITS],
        flags=Flags(state >> 2),
    )


def _prune(db: sqlite3.Connection, number: int, limit: int) -> int:
    """Delete up to `_DELETE_AT_ONCE` rows of one series; 0 when none is left."""
    row = db.execute(
        "SELECT time FROM reading WHERE series = ? AND time < ? ORDER BY time LIMIT 1 OFFSET ?",
        (number, limit, _DELETE_AT_ONCE),
    ).fetchone()
    until = limit if row is None else row[0]
    gone = db.execute("DELETE FROM reading WHERE series = ? AND time < ?", (number, until)).rowcount
    gone += db.execute("DELETE FROM recent WHERE time < ? AND series = ?", (until, number)).rowcount
    return gone
