"""Columns of a sealed day as bytes: integers by difference and common divisor, floats by decimals or dictionary.

Everything comes back to the bit. Bytes of equal weight stand together in a plane, so that zlib sees their pattern;
planes of noise, such as the microseconds of a poll, are left as they are, which reads faster and takes no more.
"""

import struct
import zlib
from collections.abc import Iterable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from controller.store.base import StoreError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
States = NDArray[np.int32]
_Plane = NDArray[np.uint8]

_INTS = struct.Struct("<BBBqqq")  # width, planes of noise, order of difference, first, base, step
_FLOATS = struct.Struct("<BBBH")  # way, decimals, whether some are missing, entries of the dictionary
_HEAD = struct.Struct("<III")  # bytes packed, bytes of noise, checksum of the noise
_CONTAINERS = (2, 4, 8)
_MOST_DECIMALS = 6
_DICTIONARY = 256  # entries at most
_LARGEST = 2.0**52  # an integer beyond this has no exact decimals
_NOISE_BITS = 7.5  # of information in a byte: not worth packing
_THOROUGH = 6  # of zlib

CURE = "put back a copy of the data (plenum restore)"


class Writer:
    """Gathers columns; `packed` are the bytes."""

    def __init__(self) -> None:
        self._body, self._noise = bytearray(), bytearray()

    def copy(self) -> "Writer":
        """The same so far, to try another way from here."""
        made = Writer()
        made._body, made._noise = self._body.copy(), self._noise.copy()
        return made

    def packed(self) -> bytes:
        """All columns, compressed."""
        body = zlib.compress(self._body, _THOROUGH)
        return _HEAD.pack(len(body), len(self._noise), zlib.adler32(self._noise)) + body + self._noise

    def ints(self, values: Ints, *, order: int = 0) -> None:
        """Write at least one integer; `order` 1 writes differences, for what moves steadily."""
        found = np.diff(values) if order else values
        first = int(values[0]) if order else 0
        low, high = (int(found.min()), int(found.max())) if len(found) else (0, 0)
        if low == high:
            self._body += _INTS.pack(0, 0, order, first, low, 1)
            return
        offsets = (found - low).view(np.uint64)  # wraps where int64 would not hold it, and so comes back
        step = int(np.gcd.reduce(offsets)) if high - low < 2**63 else 1
        if step > 1:
            offsets //= np.uint64(step)
        width = ((high - low) // step).bit_length() + 7 >> 3
        planes = offsets.astype("<u8").view(np.uint8).reshape(-1, 8).T[:width]
        noise = [_is_noise(plane) for plane in planes]
        self._body += _INTS.pack(width, sum(1 << n for n, noisy in enumerate(noise) if noisy), order, first, low, step)
        for plane, noisy in zip(planes, noise, strict=True):
            (self._noise if noisy else self._body).extend(plane.tobytes())

    def floats(self, values: Floats) -> Iterable["Writer"]:
        """Write at least one float, NaN for a missing one; the writers of the ways that are worth a try."""
        gone = np.isnan(values)
        missing = bool(gone.any())
        way, decimals, table, ints = _as_ints(_filled(values, gone) if missing else values)
        self._body += _FLOATS.pack(way, decimals, missing, len(table)) + table.tobytes()
        if missing:
            self.ints(gone.astype(np.int64))
        for order in (0,) if way is _Way.DICTIONARY else (0, 1):
            tried = self.copy()
            tried.ints(ints, order=order)
            yield tried


def _is_noise(plane: _Plane) -> bool:
    share = np.bincount(plane) / len(plane)
    share = share[share > 0]
    return bool(-(share * np.log2(share)).sum() > min(_NOISE_BITS, np.log2(len(plane)) - 1))


class _Way(IntEnum):
    """How a column of floats became one of integers."""

    DECIMAL = 0  # value * 10 ** decimals
    SINGLE_DECIMAL = 1  # the same, of what a device sent as a 32-bit float
    DICTIONARY = 2
    SINGLE_BITS = 3
    BITS = 4


class Reader:
    """Takes columns from bytes, in the order in which they were written. Raises StoreError for damaged ones."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        try:
            size, noise, checksum = _HEAD.unpack_from(data, start)
            self._noise_at = start + _HEAD.size + size
            self.end = self._noise_at + noise
            self._data, self._at = data, 0
            self._body = zlib.decompress(memoryview(data)[start + _HEAD.size : self._noise_at])
            whole = zlib.adler32(memoryview(data)[self._noise_at : self.end]) == checksum
        except (zlib.error, struct.error) as err:
            raise StoreError(f"a sealed day is damaged ({err}): {CURE}") from err
        if not whole:
            raise StoreError(f"a sealed day is damaged (wrong checksum): {CURE}")

    def ints(self, out: Ints | States) -> None:
        """Fill an array with the next column, of integers."""
        width, noise, order, first, base, step = self._header(_INTS)
        found = out
        if order:
            out[0] = first
            found = out[1:]
        if width == 0:
            found.fill(base)
        else:
            found[:] = self._offsets(width, noise, len(found))
            if step != 1:
                found *= step
            if base:
                found += base
        if order:
            np.cumsum(out, out=out)

    def _offsets(self, width: int, noise: int, size: int) -> NDArray[np.unsignedinteger]:
        if width == 1:
            return self._plane(noise, size)
        container = next(w for w in _CONTAINERS if w >= width)
        found = np.zeros((size, container), dtype=np.uint8)
        for n in range(width):
            found[:, n] = self._plane(noise >> n & 1, size)
        return found.reshape(-1).view(f"<u{container}")

    def _plane(self, noise: int, size: int) -> _Plane:
        if noise:
            self._noise_at += size
            return np.frombuffer(self._data, np.uint8, size, self._noise_at - size)
        self._at += size
        return np.frombuffer(self._body, np.uint8, size, self._at - size)

    def floats(self, out: Floats) -> None:
        """Fill an array with the next column, of floats."""
        way, decimals, missing, entries = self._header(_FLOATS)
        table = np.frombuffer(self._body, "<f8", entries, self._at) if entries else None
        self._at += entries * 8
        ints = np.empty(len(out), dtype=np.int64)
        gone = None
        if missing:
            self.ints(ints)
            gone = ints == 1
        self.ints(ints)
        if table is not None:
            table.take(ints, out=out)
        elif way == _Way.BITS:
            out[:] = ints.view(np.float64)
        elif way == _Way.SINGLE_BITS:
            out[:] = ints.astype(np.int32).view(np.float32)
        else:
            np.divide(ints, 10.0**decimals, out=out)
            if way == _Way.SINGLE_DECIMAL:
                out[:] = out.astype(np.float32)
        if gone is not None:
            out[gone] = np.nan

    def _header(self, form: struct.Struct) -> tuple[int, ...]:
        values = form.unpack_from(self._body, self._at)
        self._at += form.size
        return values


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
