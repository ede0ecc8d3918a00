"""The default store: readings in one SQLite file, whose tables are told in `readings.py`."""

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np

from config.site import StoreOptions
from controller.store.base import Window
from controller.store.block import QUALITY_BITS
from controller.store.database import Database, Synchronous
from controller.store.readings import READINGS, READINGS_FILE, aggregates, shown
from controller.store.sealing import move
from controller.store.stamp import micros, moment, span_micros
from controller.store.upkeep import Upkeep
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock

log = logging.getLogger(__name__)

_QUALITIES = (Quality.GOOD, Quality.SUSPECT, Quality.STALE, Quality.BAD)
_CODES = {quality: code for code, quality in enumerate(_QUALITIES)}

_MOVE_AT_CYCLES = 60  # of all points
_MOVE_AT_MOST = 100_000  # rows: bounds how long the writer is busy with one move, about 0.1 s

_Row = tuple[int, int, float | None, int, int]


class SqliteStore:
    """A `Store` in `directory`/readings.sqlite; `async with` opens and closes it.

    Times are kept to the microsecond. An append survives the death of this process; the last seconds may be lost
    with the power. What has grown older than `options` keep is no longer taken.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock,
        options: StoreOptions | None = None,
        synchronous: Synchronous = "NORMAL",
    ) -> None:
        """`options` None keeps readings for ever."""
        self._database = Database(directory / READINGS_FILE, READINGS, synchronous=synchronous)
        self._series: dict[str, int] = {}  # ids of committed rows only
        self._recent = 0  # rows in the first tier, give or take the replaced ones; the writer thread's
        self._too_old = 0  # readings that were not taken
        self.upkeep = Upkeep(self._database, clock, options, series=self._series)

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        names, self._recent = await self._database.read(_begin)
        self._series.update(names)
        await self.upkeep.begin()
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
        series, first, last = self._series.get(point, -1), micros(start), micros(end)
        time, value, state = await self._database.read(lambda db: shown(db, series, first, last))
        return Window(
            time_s=time / 1e6,
            value=value,
            quality=(state & QUALITY_BITS).astype(np.int8),
            flags=state >> 2,
        )

    async def aggregate(
        self, point: str, start: datetime, end: datetime, step: timedelta = timedelta(minutes=30)
    ) -> Mapping[datetime, tuple[float, float, float, int]]:
        series, first, last, width = self._series.get(point, -1), micros(start), micros(end), span_micros(step)
        found = await self._database.read(lambda db: aggregates(db, series, first, last, step=width))
        columns = (found.start, found.mean, found.low, found.high, found.count)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return {moment(begin): (mean, low, high, count) for begin, mean, low, high, count in rows}

    async def newest(self) -> Mapping[str, Reading]:
        points = {number: point for point, number in self._series.items()}
        rows = await self._database.read(lambda db: _newest(db, points))
        return {points[row[1]]: _reading(points[row[1]], row) for row in rows}

    async def retain(self) -> None:
        """Seal, thin and keep within the budget, every hour, until cancelled."""
        await self.upkeep.run()

    def _rows(self, readings: Sequence[Reading]) -> list[_Row]:
        """Rows for `recent`. A cycle's readings share their time, so it is converted only when it changes."""
        series, good, none = self._series, Quality.GOOD, Flags.NONE
        time = received = None
        stamp = lag = 0
        horizon, rows = self.upkeep.horizon, []
        for reading in readings:
            if reading.time is not time or reading.received is not received:
                time, received = reading.time, reading.received
                stamp = micros(time)
                lag = 0 if time is received else micros(received) - stamp
            if stamp < horizon:
                self._refuse(reading)
                continue
            quality, flags = reading.quality, reading.flags
            state = 0 if quality is good and flags is none else _CODES[quality] | int(flags) << 2
            rows.append((stamp, series[reading.point], reading.value, state, lag))
        return rows

    def _refuse(self, reading: Reading) -> None:
        """Its day has shrunk to half-hours, or went to make room."""
        if not self._too_old:
            log.warning("%s: a reading of %s is older than what is kept, and left out", reading.point, reading.time)
        self._too_old += 1

    def _insert(self, db: sqlite3.Connection, rows: list[_Row]) -> None:
        db.executemany("INSERT OR REPLACE INTO recent VALUES (?, ?, ?, ?, ?)", rows)
        self._recent += len(rows)
        if self._recent >= min(_MOVE_AT_CYCLES * len(self._series), _MOVE_AT_MOST):
            move(db)
            self._recent = 0


def _begin(db: sqlite3.Connection) -> tuple[dict[str, int], int]:
    (recent,) = db.execute("SELECT count(*) FROM recent").fetchone()
    return dict(db.execute("SELECT point, id FROM series")), recent


def _name(db: sqlite3.Connection, readings: Sequence[Reading]) -> dict[str, int]:
    """Ids for points that may be new. Idempotent, as two appends may meet the same new point."""
    points = dict.fromkeys(reading.point for reading in readings)
    db.executemany("INSERT OR IGNORE INTO series (point) VALUES (?)", [(point,) for point in points])
    return {point: number for point, number in db.execute("SELECT point, id FROM series") if point in points}


def _newest(db: sqlite3.Connection, numbers: Mapping[int, str]) -> list[_Row]:
    """Find the last row of each series, as in `recent`."""
    rows = {row[1]: row for row in db.execute("SELECT time, series, value, state, lag FROM latest")}
    for number in numbers:
        row = db.execute(
            "SELECT time, series, value, state, lag FROM reading WHERE series = ? ORDER BY time DESC LIMIT 1", (number,)
        ).fetchone()
        if row is not None and (number not in rows or row[0] >= rows[number][0]):
            rows[number] = row
    for row in db.execute("SELECT time, series, value, state, lag FROM recent ORDER BY time"):
        if row[1] not in rows or row[0] >= rows[row[1]][0]:
            rows[row[1]] = row
    return list(rows.values())


def _reading(point: str, row: _Row) -> Reading:
    stamp, _, value, state, lag = row
    return Reading(
        point=point,
        time=moment(stamp),
        received=moment(stamp + lag),
        value=value,
        quality=_QUALITIES[state & QUALITY_BITS],
        flags=Flags(state >> 2),
    )
