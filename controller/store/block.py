"""One point's sealed UTC day as one compressed block, and the half-hours that are left of it when the readings go."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.store.base import StoreError
from controller.store.column import CURE, Floats, Ints, Reader, States, Writer

DAY_US = 86_400_000_000
HALF_HOUR_US = 1_800_000_000
QUALITY_BITS = 3  # of a state; its flags stand above them

_FORMAT = 1
_HEAD = struct.Struct("<BI")  # format, rows


Shown = tuple[Ints, Floats, States]


@dataclass(frozen=True, slots=True)
class Rows:
    """Readings of one point as columns of equal length, in time order, no time twice."""

    time: Ints  # microseconds since 1970
    value: Floats  # NaN for none
    state: States  # quality + 4 * flags
    lag: Ints  # received - time, microseconds

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class Intervals:
    """Mean, lowest, highest and count of usable values of intervals that have any, in time order."""

    start: Ints  # microseconds since 1970
    mean: Floats
    low: Floats
    high: Floats
    count: Ints


def pack(rows: Rows) -> bytes:
    """Compress at least one row."""
    shown = Writer()
    shown.ints(rows.time, order=1)
    shown.ints(rows.state.astype(np.int64))
    lags = Writer()
    lags.ints(rows.lag)
    return _head(len(rows)) + min((tried.packed() for tried in shown.floats(rows.value)), key=len) + lags.packed()


def unpack_shown(blocks: Sequence[bytes], *, room: int = 0) -> Shown:
    """Time, value and state of days one after the other; lags, which only a rewrite needs, stay packed.

    `room` is left at the end for that many rows. Raises StoreError if one is damaged.
    """
    counts = [_count(data) for data in blocks]
    total = sum(counts) + room
    time, value, state = np.empty(total, dtype=np.int64), np.empty(total), np.empty(total, dtype=np.int32)
    end = 0
    for data, count in zip(blocks, counts, strict=True):
        here = slice(end, end := end + count)
        reader = Reader(data, _HEAD.size)
        reader.ints(time[here])
        reader.ints(state[here])
        reader.floats(value[here])
    return time, value, state


def unpack(data: bytes) -> Rows:
    """All that was packed. Raises StoreError if it is damaged."""
    time, value, state = unpack_shown([data])
    lag = np.empty_like(time)
    Reader(data, Reader(data, _HEAD.size).end).ints(lag)
    return Rows(time, value, state, lag)


def pack_intervals(intervals: Intervals) -> bytes:
    """Compress at least one interval."""
    writer = Writer()
    writer.ints(intervals.start, order=1)
    writer.ints(intervals.count)
    for column in (intervals.mean, intervals.low, intervals.high):
        writer = next(iter(writer.floats(column)))
    return _head(len(intervals.start)) + writer.packed()


def unpack_intervals(data: bytes) -> Intervals:
    """All that was packed. Raises StoreError if it is damaged."""
    count, reader = _count(data), Reader(data, _HEAD.size)
    found = Intervals(*(np.empty(count, dtype=kind) for kind in (np.int64, float, float, float, np.int64)))
    reader.ints(found.start)
    reader.ints(found.count)
    for column in (found.mean, found.low, found.high):
        reader.floats(column)
    return found


def merged(older: Rows, newer: Rows) -> Rows:
    """Both in time order; of equal times the newer."""
    order = later_wins(np.concatenate((older.time, newer.time)))
    return Rows(
        time=np.concatenate((older.time, newer.time))[order],
        value=np.concatenate((older.value, newer.value))[order],
        state=np.concatenate((older.state, newer.state))[order],
        lag=np.concatenate((older.lag, newer.lag))[order],
    )


def later_wins(time: Ints) -> NDArray[np.intp]:
    """Where rows with these times stand in time order; of equal times the last one."""
    order = np.argsort(time, kind="stable")
    last = np.append(np.diff(time[order]) != 0, True)
    found: NDArray[np.intp] = order[last]
    return found


def usable(value: Floats, state: States) -> NDArray[np.bool_]:
    """Whether a value counts in aggregates: good ones do."""
    counts: NDArray[np.bool_] = ((state & QUALITY_BITS) == 0) & ~np.isnan(value)
    return counts


def intervals(time: Ints, value: Floats, state: States, step_us: int) -> Intervals:
    """Aggregates by interval of `step_us` since 1970, of values in time order."""
    counts = usable(value, state)
    if not counts.all():
        time, value = time[counts], value[counts]
    number = time // step_us
    first = _beginnings(number)
    if not len(first):
        none: Floats = np.empty(0)
        return Intervals(np.empty(0, dtype=np.int64), none, none, none, np.empty(0, dtype=np.int64))
    count = np.diff(first, append=len(number))
    return Intervals(
        start=number[first] * step_us,
        mean=np.add.reduceat(value, first) / count,
        low=np.minimum.reduceat(value, first),
        high=np.maximum.reduceat(value, first),
        count=count,
    )


def _beginnings(number: Ints) -> NDArray[np.intp]:
    """Where another number begins."""
    changes = np.flatnonzero(number[1:] != number[:-1]) + 1
    return np.concatenate(([0], changes)) if len(number) else changes


def joined(days: Sequence[Intervals], start: int, end: int) -> Intervals:
    """Half-hours that lie wholly in [start, end), of several days in order."""
    columns = [np.concatenate(column) for column in zip(*map(_parts, days), strict=True)]
    inside = (columns[0] >= start) & (columns[0] + HALF_HOUR_US <= end)
    return Intervals(*(column[inside] for column in columns))


def regrouped(older: Intervals, newer: Intervals, step_us: int) -> Intervals:
    """Both as intervals of `step_us`; what meets in one is combined."""
    columns = [np.concatenate(pair) for pair in zip(_parts(older), _parts(newer), strict=True)]
    order = np.argsort(columns[0], kind="stable")
    begin, mean, low, high, count = (column[order] for column in columns)
    if not len(begin):
        return newer
    number = begin // step_us
    first = _beginnings(number)
    total = np.add.reduceat(count, first)
    alone = np.diff(first, append=len(number)) == 1  # not reckoned again: it stays what it is to the bit
    return Intervals(
        start=number[first] * step_us,
        mean=np.where(alone, mean[first], np.add.reduceat(mean * count, first) / total),
        low=np.minimum.reduceat(low, first),
        high=np.maximum.reduceat(high, first),
        count=total,
    )


def _parts(found: Intervals) -> tuple[Ints, Floats, Floats, Floats, Ints]:
    return found.start, found.mean, found.low, found.high, found.count


def _head(count: int) -> bytes:
    return _HEAD.pack(_FORMAT, count)


def _count(data: bytes) -> int:
    if len(data) < _HEAD.size or data[0] != _FORMAT:
        raise StoreError(f"a sealed day was written by another program: {CURE}")
    return int(_HEAD.unpack_from(data)[1])
