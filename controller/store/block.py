"""One point's sealed UTC day as one compressed block, and the half-hours that are left of it when the readings go."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.store.base import StoreError
from controller.store.column import Floats, Ints, Reader, floats_as_bytes, ints_as_bytes

DAY_US = 86_400_000_000
HALF_HOUR_US = 1_800_000_000
QUALITY_BITS = 3  # of a state; its flags stand above them

_FORMAT = 1
_HEAD = struct.Struct("<BII")  # format, rows, bytes of the first stream
_THOROUGH = 6  # of zlib
_CURE = "put back a copy of the data (plenum restore)"


@dataclass(frozen=True, slots=True)
class Rows:
    """Readings of one point as columns of equal length, in time order, no time twice."""

    time: Ints  # microseconds since 1970
    value: Floats  # NaN for none
    state: Ints  # quality + 4 * flags
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
    fixed = ints_as_bytes(rows.time, order=1) + ints_as_bytes(rows.state)
    shown = min((zlib.compress(fixed + values, _THOROUGH) for values in floats_as_bytes(rows.value)), key=len)
    return _HEAD.pack(_FORMAT, len(rows), len(shown)) + shown + zlib.compress(ints_as_bytes(rows.lag), _THOROUGH)


def unpack_shown(data: bytes) -> tuple[Ints, Floats, Ints]:
    """Time, value and state; lags, which only a rewrite needs, stay packed. Raises StoreError if it is damaged."""
    count, size = _head(data)
    reader = Reader(_inflated(data[_HEAD.size : _HEAD.size + size]))
    time, state = reader.ints(count), reader.ints(count)
    return time, reader.floats(count), state


def unpack(data: bytes) -> Rows:
    """All that was packed. Raises StoreError if it is damaged."""
    count, size = _head(data)
    time, value, state = unpack_shown(data)
    return Rows(time, value, state, Reader(_inflated(data[_HEAD.size + size :])).ints(count))


def pack_intervals(intervals: Intervals) -> bytes:
    """Compress at least one interval."""
    parts = [ints_as_bytes(intervals.start, order=1), ints_as_bytes(intervals.count)]
    parts += [floats_as_bytes(column)[0] for column in (intervals.mean, intervals.low, intervals.high)]
    packed = zlib.compress(b"".join(parts), _THOROUGH)
    return _HEAD.pack(_FORMAT, len(intervals.start), len(packed)) + packed


def unpack_intervals(data: bytes) -> Intervals:
    """All that was packed. Raises StoreError if it is damaged."""
    count, size = _head(data)
    reader = Reader(_inflated(data[_HEAD.size : _HEAD.size + size]))
    start, number = reader.ints(count), reader.ints(count)
    mean, low, high = (reader.floats(count) for _ in range(3))
    return Intervals(start, mean, low, high, number)


def merged(older: Rows, newer: Rows) -> Rows:
    """Both in time order; of equal times the newer."""
    columns = [np.concatenate(pair) for pair in zip(_columns(older), _columns(newer), strict=True)]
    order = later_wins(columns[0])
    return Rows(*(column[order] for column in columns))


def later_wins(time: Ints) -> NDArray[np.intp]:
    """Where rows with these times stand in time order; of equal times the last one."""
    order = np.argsort(time, kind="stable")
    last = np.append(np.diff(time[order]) != 0, True)
    found: NDArray[np.intp] = order[last]
    return found


def usable(value: Floats, state: Ints) -> NDArray[np.bool_]:
    """Whether a value counts in aggregates: good ones do."""
    counts: NDArray[np.bool_] = ((state & QUALITY_BITS) == 0) & ~np.isnan(value)
    return counts


def intervals(time: Ints, value: Floats, state: Ints, step_us: int) -> Intervals:
    """Aggregates by interval of `step_us` since 1970, of values in time order."""
    counts = usable(value, state)
    time, value = time[counts], value[counts]
    number = time // step_us
    first = np.flatnonzero(np.diff(number, prepend=number[0] - 1 if len(number) else 0))
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
    first = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
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


def _columns(rows: Rows) -> tuple[Ints, Floats, Ints, Ints]:
    return rows.time, rows.value, rows.state, rows.lag


def _head(data: bytes) -> tuple[int, int]:
    if len(data) < _HEAD.size or data[0] != _FORMAT:
        raise StoreError(f"a sealed day was written by another program: {_CURE}")
    _, count, size = _HEAD.unpack_from(data)
    return count, size


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error as err:
        raise StoreError(f"a sealed day is damaged ({err}): {_CURE}") from err
