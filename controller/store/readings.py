"""The readings file: its tables, and what they say together about one point.

New rows go to `recent`, keyed (time, series), where a cycle of all points touches one or two pages. About hourly they
are moved, sorted, to `reading`, clustered by (series, time), and every six hours sealed into `block`: one a series and
UTC day, a few bytes a reading. Days that are to be kept no longer as they came shrink to `half_hours`. A row in an
earlier table replaces its twin in a later one.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from controller.store.block import (
    DAY_US,
    HALF_HOUR_US,
    Intervals,
    Rows,
    Shown,
    intervals,
    joined,
    later_wins,
    regrouped,
    unpack,
    unpack_intervals,
    unpack_shown,
)
from controller.store.schema import Schema

READINGS_FILE = "readings.sqlite"
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
        (
            # the key holds day and series; a table with rowids packs large rows tighter than one without
            "CREATE TABLE block (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
            "CREATE TABLE half_hours (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
            # the last row of each series among its sealed days
            """CREATE TABLE latest (series INTEGER PRIMARY KEY, time INTEGER NOT NULL, value REAL,
            state INTEGER NOT NULL, lag INTEGER NOT NULL)""",
        ),
    ),
)

_SERIES_BITS = 24
_IN_RECENT = "FROM recent WHERE time >= ? AND time < ? AND series = ?"
_IN_READING = "FROM reading WHERE time >= ? AND time < ? AND series = ?"
# A key a day: the days of one series lie apart, the series of one day together, so that whole days come and go cheaply.
_DAYS = """WITH RECURSIVE key(id) AS (SELECT ? UNION ALL SELECT id + ? FROM key WHERE id < ?)
SELECT data FROM key JOIN {} USING (id) ORDER BY id"""


def key(day: int, series: int = 0) -> int:
    """Where a series' day lies in `block` and `half_hours`; `day` counts from 1970."""
    return (day << _SERIES_BITS) | series


def parts(key_: int) -> tuple[int, int]:
    """Day and series of a key."""
    return key_ >> _SERIES_BITS, key_ & ((1 << _SERIES_BITS) - 1)


def shown(db: sqlite3.Connection, series: int, start: int, end: int) -> Shown:
    """Time, value and state of every reading in [start, end), in time order."""
    rows = []
    for table in (_IN_READING, _IN_RECENT):
        rows += db.execute(f"SELECT time, value, state {table} ORDER BY time", (start, end, series)).fetchall()
    time, value, state = unpack_shown(_days(db, "block", series, start, end), room=len(rows))
    if rows:
        sealed = len(time) - len(rows)
        time[sealed:], value[sealed:], state[sealed:] = zip(*rows, strict=True)
        if (np.diff(time[max(0, sealed - 1) :]) <= 0).any():  # late ones, or some that came again
            order = later_wins(time)
            time, value, state = time[order], value[order], state[order]
    first, last = np.searchsorted(time, (start, end))
    return time[first:last], value[first:last], state[first:last]


def aggregates(db: sqlite3.Connection, series: int, start: int, end: int, *, step: int) -> Intervals:
    """Aggregates of the usable values in [start, end) by `step`, all in microseconds.

    Of days that have shrunk to half-hours only those wholly in [start, end) count, and only where `step` is a
    multiple of half an hour.
    """
    found = intervals(*shown(db, series, start, end), step)
    if step % HALF_HOUR_US:
        return found
    older = [unpack_intervals(data) for data in _days(db, "half_hours", series, start, end)]
    return regrouped(joined(older, start, end), found, step) if older else found


def rows_of(found: Sequence[tuple[Any, ...]]) -> Rows:
    """Make columns of at least one row (time, value, state, lag)."""
    time, value, state, lag = zip(*found, strict=True)
    return Rows(
        np.array(time, dtype=np.int64),
        np.array(value, dtype=np.float64),
        np.array(state, dtype=np.int32),
        np.array(lag, dtype=np.int64),
    )


def every_reading(db: sqlite3.Connection) -> Iterator[tuple[str, int, float | None, int]]:
    """Point, time, value and state of all that is stored, in no order; for whoever checks a file."""
    points = dict(db.execute("SELECT id, point FROM series"))
    seen = set()
    for table in ("recent", "reading"):
        for series, time, value, state in db.execute(f"SELECT series, time, value, state FROM {table}"):  # noqa: S608  constants
            if (series, time) not in seen:
                seen.add((series, time))
                yield points[series], time, value, state
    for key_, data in db.execute("SELECT id, data FROM block"):
        _, series = parts(key_)
        rows = unpack(data)
        for time, value, state in zip(rows.time.tolist(), rows.value.tolist(), rows.state.tolist(), strict=True):
            if (series, time) not in seen:
                yield points[series], time, None if value != value else value, state  # noqa: PLR0124  NaN


def _days(db: sqlite3.Connection, table: str, series: int, start: int, end: int) -> list[bytes]:
    """What a table of days holds of a series in [start, end)."""
    low, high = db.execute(f"SELECT min(id), max(id) FROM {table}").fetchone()  # noqa: S608  constants
    if low is None:
        return []
    first = max(start // DAY_US, parts(low)[0])
    last = min((end - 1) // DAY_US, parts(high)[0])
    if first > last:
        return []
    query = _DAYS.format(table)
    return [data for (data,) in db.execute(query, (key(first, series), key(1), key(last, series)))]
