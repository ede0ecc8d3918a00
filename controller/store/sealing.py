"""The readings file kept small, in steps short enough that an append between them never waits long.

A day becomes one block for each series, a quarter at a time. When the file must shrink, what goes first is: the oldest
readings, of which half-hourly aggregates stay; then the oldest of those. Commands, leases and audit are never touched.
"""

import sqlite3
from collections.abc import Sequence

from controller.store.block import (
    DAY_US,
    HALF_HOUR_US,
    intervals,
    merged,
    pack,
    pack_intervals,
    unpack,
    unpack_shown,
)
from controller.store.readings import key, parts, rows_of

SEAL_AT_ONCE = 20_000  # rows of a series' day: a meter that speaks ten times a second is sealed in parts
THIN_AT_ONCE = 50  # blocks
LOOK_AT_ONCE = 200  # series
FORGET_AT_ONCE = 500  # days of a series
BELIEVED_DAYS = 7  # of readings, before a date is old enough to throw anything away by

_OLDEST = "SELECT time FROM reading WHERE series = ? ORDER BY time LIMIT 1"
_ROWS = "SELECT time, value, state, lag FROM reading WHERE series = ? AND time < ? ORDER BY time LIMIT ?"
_MOVE = """INSERT OR REPLACE INTO reading (series, time, value, state, lag)
SELECT series, time, value, state, lag FROM recent ORDER BY series, time"""
_KEEP_LATEST = """INSERT INTO latest VALUES (?, ?, ?, ?, ?) ON CONFLICT (series) DO UPDATE SET time = excluded.time,
value = excluded.value, state = excluded.state, lag = excluded.lag WHERE excluded.time >= time"""


def move(db: sqlite3.Connection) -> None:
    """Empty the first tier into the second."""
    db.execute(_MOVE)
    db.execute("DELETE FROM recent")


def has_recent(db: sqlite3.Connection, before: int) -> bool:
    """Whether the first tier holds anything from before a moment."""
    return db.execute("SELECT 1 FROM recent WHERE time < ? LIMIT 1", (before,)).fetchone() is not None


def to_seal(db: sqlite3.Connection, series: Sequence[int], before: int) -> list[int]:
    """Return those series that have rows of the second tier from before a moment."""
    firsts = [(number, db.execute(_OLDEST, (number,)).fetchone()) for number in series]
    return [number for number, first in firsts if first is not None and first[0] < before]


def seal(db: sqlite3.Connection, series: int, before: int) -> bool:
    """Put the rows of a series' oldest day from before a moment into its block; False if there were none.

    Rows that come late rewrite their day's block; of a day that has shrunk to half-hours they are dropped.
    """
    oldest = db.execute(_OLDEST, (series,)).fetchone()
    if oldest is None or oldest[0] >= before:
        return False
    day = oldest[0] // DAY_US
    found = db.execute(_ROWS, (series, min(before, (day + 1) * DAY_US), SEAL_AT_ONCE)).fetchall()
    if db.execute("SELECT 1 FROM half_hours WHERE id = ?", (key(day, series),)).fetchone() is None:
        rows = rows_of(found)
        block = db.execute("SELECT data FROM block WHERE id = ?", (key(day, series),)).fetchone()
        if block is not None:
            rows = merged(unpack(block[0]), rows)
        db.execute("INSERT OR REPLACE INTO block VALUES (?, ?)", (key(day, series), pack(rows)))
        db.execute(_KEEP_LATEST, (series, *found[-1]))
    db.execute("DELETE FROM reading WHERE series = ? AND time <= ?", (series, found[-1][0]))
    return True


def thin(db: sqlite3.Connection, before_day: int) -> int | None:
    """Let a number of the oldest blocks from before a day shrink to half-hours; the last day touched, None if none."""
    query = "SELECT id, data FROM block WHERE id < ? ORDER BY id LIMIT ?"
    found = db.execute(query, (key(before_day), THIN_AT_ONCE)).fetchall()
    for id_, data in found:
        half_hours = intervals(*unpack_shown([data]), HALF_HOUR_US)
        if len(half_hours.start):
            db.execute("INSERT OR REPLACE INTO half_hours VALUES (?, ?)", (id_, pack_intervals(half_hours)))
    db.executemany("DELETE FROM block WHERE id = ?", [(id_,) for id_, _ in found])
    return parts(found[-1][0])[0] if found else None


def forget(db: sqlite3.Connection, before_day: int) -> int:
    """Delete a number of the oldest half-hours from before a day; of how many days of a series."""
    return db.execute(
        "DELETE FROM half_hours WHERE id IN (SELECT id FROM half_hours WHERE id < ? ORDER BY id LIMIT ?)",
        (key(before_day), FORGET_AT_ONCE),
    ).rowcount


def thinned_to(db: sqlite3.Connection) -> int | None:
    """Return the last day that has shrunk to half-hours; None if none has."""
    (last,) = db.execute("SELECT max(id) FROM half_hours").fetchone()
    return None if last is None else parts(last)[0]


def believed_day(db: sqlite3.Connection, today: int) -> int | None:
    """Return the day from which ages are counted: today, once there are sealed days enough behind it; None before.

    A machine that wakes up in another century must not find everything too old to keep.
    """
    day = today + 1
    for _ in range(BELIEVED_DAYS):
        (last,) = db.execute("SELECT max(id) FROM block WHERE id < ?", (key(day),)).fetchone()
        if last is None:
            return None
        day = parts(last)[0]
    return min(today, day + BELIEVED_DAYS)


def used_bytes(db: sqlite3.Connection) -> int:
    """Count what the file holds; pages that fell free are used again before it grows."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return int((pages - free) * size)
