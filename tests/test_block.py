"""Sealed days give back what went in, to the bit, and are small."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from controller.store.base import StoreError
from controller.store.block import (
    DAY_US,
    HALF_HOUR_US,
    Intervals,
    Rows,
    intervals,
    merged,
    pack,
    pack_intervals,
    regrouped,
    unpack,
    unpack_intervals,
    unpack_shown,
)
from controller.store.column import Floats, Ints, Reader, Writer

MONDAY_US = 1_675_641_600_000_000  # 6 February 2023
MINUTES = MONDAY_US + np.arange(1440) * 60_000_000
ROOM = 20 + 2 * np.sin(np.arange(1440) / 230) + np.random.default_rng(1).normal(0, 0.05, 1440)


def day(value: Floats, *, time: Ints = MINUTES, state: int = 0) -> Rows:
    return Rows(time, value, np.full(len(value), state, dtype=np.int32), np.zeros(len(value), dtype=np.int64))


def bits(values: Floats) -> list[int]:
    """Floats as integers, so that -0.0 is not 0.0; every NaN is the same to a store."""
    return np.where(np.isnan(values), np.nan, values).view(np.int64).tolist()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1), nps.arrays(np.int64, st.integers(1, 60)))
def test_any_integers_come_back(order: int, values: Ints) -> None:
    writer = Writer()
    writer.ints(values, order=order)
    back = np.empty_like(values)
    Reader(writer.packed()).ints(back)
    assert back.tolist() == values.tolist()


@settings(max_examples=300, deadline=None)
@given(nps.arrays(np.float64, st.integers(1, 60)))
def test_any_floats_come_back(values: Floats) -> None:
    for writer in Writer().floats(values):
        back = np.empty_like(values)
        Reader(writer.packed()).floats(back)
        assert bits(back) == bits(values)


@pytest.mark.parametrize(
    ("values", "most_bytes"),
    [
        (np.full(1440, 21.0), 0.1),
        (ROOM.round(1), 0.5),
        (ROOM.round(2), 1.0),
        (ROOM.round(2).astype(np.float32).astype(np.float64), 1.0),  # as BACnet sends it
        ((ROOM * 16).round() / 16, 0.6),
        ((ROOM * 20).round() * 0.0489, 1.5),  # an analogue input's steps, no decimals at all
        (np.where(np.arange(1440) % 50 == 0, np.nan, ROOM.round(1)), 0.6),
        (np.cumsum(np.random.default_rng(2).exponential(0.1, 1440)).round(2) + 12345, 1.0),
        (ROOM.astype(np.float32).astype(np.float64), 3.0),
        (ROOM, 6.5),
        (np.where(np.arange(1440) == 7, np.inf, -ROOM), 6.5),
        (np.where(np.arange(1440) == 7, -0.0, ROOM.round(1)), 6.5),
    ],
)
def test_a_day_comes_back_and_is_small(values: Floats, most_bytes: float) -> None:
    rows = day(values, state=9)
    data = pack(rows)
    back = unpack(data)
    assert bits(back.value) == bits(values)
    assert back.time.tolist() == MINUTES.tolist()
    assert set(back.state.tolist()) == {9}
    assert len(data) / len(rows) < most_bytes


def test_a_day_of_uneven_times_and_lags_takes_less_than_eight_bytes_a_reading() -> None:
    random = np.random.default_rng(3)
    time = MINUTES + random.integers(0, 50_000, 1440)  # microseconds of a busy machine
    lag = random.integers(500, 5_000, 1440)
    state = np.where(random.random(1440) < 0.01, 2 + 4 * 64, 0).astype(np.int32)
    rows = Rows(time, ROOM.round(2), state, lag)
    data = pack(rows)
    back = unpack(data)
    for column in ("time", "state", "lag"):
        assert getattr(back, column).tolist() == getattr(rows, column).tolist()
    assert len(data) / 1440 < 8


def test_a_single_reading_is_a_day() -> None:
    rows = day(np.array([np.nan]), time=MINUTES[:1], state=3)
    assert bits(unpack(pack(rows)).value) == bits(rows.value)
    assert unpack(pack(rows)).time.tolist() == [MONDAY_US]


@pytest.mark.parametrize("spoil", [lambda data: data[:5], lambda data: b"\x07" + data[1:], lambda data: data[:-300]])
def test_a_damaged_block_says_so(spoil: object) -> None:
    with pytest.raises(StoreError, match="plenum restore"):
        unpack(spoil(pack(day(ROOM))))  # type: ignore[operator]


def test_a_flipped_byte_is_noticed() -> None:
    data = bytearray(pack(day(ROOM)))
    data[len(data) // 2] ^= 1
    with pytest.raises(StoreError, match="damaged"):
        unpack_shown([bytes(data)])


def test_of_equal_times_the_newer_row_stays() -> None:
    older = day(np.array([1.0, 2.0, 3.0]), time=MINUTES[:3])
    newer = day(np.array([9.0, 4.0]), time=MINUTES[[1, 5]])
    both = merged(older, newer)
    assert both.time.tolist() == MINUTES[[0, 1, 2, 5]].tolist()
    assert both.value.tolist() == [1.0, 9.0, 3.0, 4.0]


def test_half_hours_come_back() -> None:
    found = intervals(MINUTES, ROOM, np.zeros(1440, dtype=np.int32), HALF_HOUR_US)
    assert len(found.start) == 48
    back = unpack_intervals(pack_intervals(found))
    assert back.start.tolist() == found.start.tolist()
    assert (back.mean.tolist(), back.low.tolist()) == (found.mean.tolist(), found.low.tolist())
    assert (back.high.tolist(), back.count.tolist()) == (found.high.tolist(), found.count.tolist())
    assert len(pack_intervals(found)) < 1440  # a byte a reading they were made of


def test_nothing_usable_makes_no_interval() -> None:
    for state, value in ((2, 5.0), (3, np.nan)):
        assert not len(
            intervals(MINUTES, np.full(1440, value), np.full(1440, state, dtype=np.int32), HALF_HOUR_US).start
        )
    none = np.empty(0, dtype=np.int64)
    assert not len(intervals(none, np.empty(0), none.astype(np.int32), HALF_HOUR_US).start)


@settings(max_examples=60, deadline=None)
@given(split=st.integers(0, 47), step=st.sampled_from([1, 2, 6, 48]))
def test_half_hours_add_up_to_longer_intervals(split: int, step: int) -> None:
    state = np.zeros(1440, dtype=np.int32)
    at = split * 30
    half_hours = intervals(MINUTES[:at], ROOM[:at], state[:at], HALF_HOUR_US)
    rest = intervals(MINUTES[at:], ROOM[at:], state[at:], step * HALF_HOUR_US)
    found = regrouped(half_hours, rest, step * HALF_HOUR_US)
    whole = intervals(MINUTES, ROOM, state, step * HALF_HOUR_US)
    assert found.start.tolist() == whole.start.tolist()
    assert found.count.tolist() == whole.count.tolist()
    assert (found.low.tolist(), found.high.tolist()) == (whole.low.tolist(), whole.high.tolist())
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-14)


def test_regrouping_nothing_changes_nothing() -> None:
    none = Intervals(*(np.empty(0, dtype=kind) for kind in (np.int64, float, float, float, np.int64)))
    found = intervals(MINUTES, ROOM, np.zeros(1440, dtype=np.int32), DAY_US)
    assert regrouped(none, found, DAY_US).mean.tolist() == found.mean.tolist()
    assert not len(regrouped(none, none, DAY_US).start)
