"""Columns of a sealed day as bytes: integers by difference and common divisor, floats by decimals or dictionary.

Everything comes back to the bit. Bytes of equal weight stand together, so that zlib sees their pattern.
"""

import struct
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_INTS = struct.Struct("<BBqqq")  # width, order of difference, first, base, step
_FLOATS = struct.Struct("<BBBH")  # way, decimals, whether some are missing, entries of the dictionary
_WIDTHS = (1, 2, 4, 8)
_MOST_DECIMALS = 6
_DICTIONARY = 256  # entries at most
_LARGEST = 2.0**52  # an integer beyond this has no exact decimals


class _Way(IntEnum):
    """How a column of floats became one of integers."""

    DECIMAL = 0  # value * 10 ** decimals
    SINGLE_DECIMAL = 1  # the same, of what a device sent as a 32-bit float
    DICTIONARY = 2
    SINGLE_BITS = 3
    BITS = 4


class Reader:
    """Takes columns from bytes, in the order in which they were written."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def ints(self, count: int) -> Ints:
        """Take a column written by `ints_as_bytes`."""
        width, order, first, base, step = self._header(_INTS)
        size = count - order
        if width == 0:
            found = np.full(size, base, dtype=np.int64)
        else:
            planes = np.frombuffer(self._data, np.uint8, size * width, self._at)
            self._at += size * width
            if width > 1:
                planes = np.ascontiguousarray(planes.reshape(width, size).T).reshape(-1)
            found = planes.view(f"<u{width}").astype(np.int64)
            if step != 1:
                found *= step
            found += base
        if order == 0:
            return found
        summed = np.empty(count, dtype=np.int64)
        summed[0] = first
        np.cumsum(found, out=summed[1:])
        summed[1:] += first
        return summed

    def floats(self, count: int) -> Floats:
        """Take a column written by `floats_as_bytes`."""
        way, decimals, missing, entries = self._header(_FLOATS)
        table = np.frombuffer(self._data, "<f8", entries, self._at)
        self._at += entries * 8
        ints = self.ints(count)
        values: Floats
        if way in (_Way.DECIMAL, _Way.SINGLE_DECIMAL):
            values = ints / 10.0**decimals if decimals else ints.astype(np.float64)
            if way == _Way.SINGLE_DECIMAL:
                values = values.astype(np.float32).astype(np.float64)
        elif way == _Way.DICTIONARY:
            values = table[ints]
        elif way == _Way.SINGLE_BITS:
            values = ints.astype(np.int32).view(np.float32).astype(np.float64)
        else:
            values = ints.view(np.float64)
        if missing:
            values = np.where(self.ints(count) == 1, np.nan, values)
        return values

    def _header(self, form: struct.Struct) -> tuple[int, ...]:
        values = form.unpack_from(self._data, self._at)
        self._at += form.size
        return values


def ints_as_bytes(values: Ints, *, order: int = 0) -> bytes:
    """Write at least one integer; `order` 1 writes differences, for what moves steadily."""
    found = np.diff(values) if order else values
    first = int(values[0]) if order else 0
    low, high = (int(found.min()), int(found.max())) if len(found) else (0, 0)
    if low == high:
        return _INTS.pack(0, order, first, low, 1)
    offsets = (found - low).view(np.uint64)  # wraps where int64 would not hold it, and so comes back
    step = int(np.gcd.reduce(offsets)) if high - low < 2**63 else 1
    if step > 1:
        offsets //= np.uint64(step)
    width = next(w for w in _WIDTHS if (high - low) // step < 1 << 8 * w)
    planes = offsets.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T
    return _INTS.pack(width, order, first, low, step) + planes.tobytes()


def floats_as_bytes(values: Floats) -> list[bytes]:
    """Write at least one float, NaN for a missing one; the ways that are worth a try."""
    gone = np.isnan(values)
    missing = bool(gone.any())
    way, decimals, table, ints = _as_ints(_filled(values, gone) if missing else values)
    head = _FLOATS.pack(way, decimals, missing, len(table)) + table.tobytes()
    tail = ints_as_bytes(gone.astype(np.int64)) if missing else b""
    orders = (0,) if way is _Way.DICTIONARY else (0, 1)
    return [head + ints_as_bytes(ints, order=order) + tail for order in orders]


def _filled(values: Floats, gone: NDArray[np.bool_]) -> Floats:
    """What is missing becomes what stood before it: the cheapest thing to write."""
    before = np.maximum.accumulate(np.where(gone, -1, np.arange(len(values))))
    found: Floats = np.where(before < 0, 0.0, values[before])
    return found


def _as_ints(values: Floats) -> tuple[_Way, int, Floats, Ints]:
    empty: Floats = np.empty(0, dtype="<f8")
    bits = values.view(np.int64)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    is_single = np.array_equal(single.astype(np.float64).view(np.int64), bits)
    if np.abs(values).max() < _LARGEST / 10**_MOST_DECIMALS:
        for decimals in range(_MOST_DECIMALS + 1):
            ints = np.rint(values * 10.0**decimals).astype(np.int64)
            back = ints / 10.0**decimals
            if np.array_equal(back.view(np.int64), bits):
                return _Way.DECIMAL, decimals, empty, ints
            if is_single and np.array_equal(back.astype(np.float32).view(np.int32), single.view(np.int32)):
                return _Way.SINGLE_DECIMAL, decimals, empty, ints
    entries, codes = np.unique(bits, return_inverse=True)
    if len(entries) <= min(_DICTIONARY, len(values) // 8):
        return _Way.DICTIONARY, 0, entries.view("<f8"), codes.astype(np.int64)
    if is_single:
        return _Way.SINGLE_BITS, 0, empty, single.view(np.int32).astype(np.int64)
    return _Way.BITS, 0, empty, bits
