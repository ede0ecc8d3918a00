"""What a read-back means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.site import Point
from config.units import Unit
from controller.outcome import Holder, Result, beneath, holder, judge, same, taken
from drivers.base import ReadBack

POINT = Point(id="b.hall.x", unit=Unit.DEGC, address="x", writable=True, low=5, high=30)


def back(present: float | None, **slots: float) -> ReadBack:
    array = tuple(slots.get(f"p{n}") for n in range(1, 17))
    return ReadBack(present=present, slot=array[12], array=array, default=20.0)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (back(22.0, p13=22.0), Result.APPLIED),
        (back(22.0, p13=22.0, p15=19.0), Result.APPLIED),
        (back(22.0004, p13=21.9996), Result.APPLIED),  # rounded on the way
        (back(23.0, p8=23.0, p13=22.0), Result.HELD),
        (back(23.0, p12=23.0, p13=22.0), Result.HELD),
        (back(22.0, p8=22.0, p13=22.0), Result.HELD),  # the same value, but not ours
        (back(22.5, p13=22.5), Result.CLAMPED),
        (back(21.0, p13=22.0), Result.CLAMPED),  # out of service
        (back(20.0), Result.REJECTED),  # acknowledged, and yet not there
        (ReadBack(present=22.0, slot=None), Result.APPLIED),
        (ReadBack(present=21.0, slot=None), Result.HELD),
        (ReadBack(present=None, slot=None), Result.UNKNOWN),
    ],
)
def test_a_write_is_judged_by_what_is_read_afterwards(seen: ReadBack, expected: Result) -> None:
    assert judge(POINT, 22.0, seen, 13) is expected


def test_a_relinquish_is_done_when_our_slot_is_empty() -> None:
    assert judge(POINT, None, back(19.0, p15=19.0), 13) is Result.APPLIED
    assert judge(POINT, None, back(19.0, p13=19.0), 13) is Result.REJECTED
    assert judge(POINT, None, ReadBack(present=3.0, slot=None), 13) is Result.APPLIED


@pytest.mark.parametrize(
    ("ours", "seen", "expected"),
    [
        (22.0, back(22.0, p13=22.0), Holder.WE),
        (None, back(22.0, p13=22.0), Holder.UNKNOWN),
        (22.0, back(18.0, p8=18.0, p13=22.0), Holder.OPERATOR),
        (22.0, back(18.0, p1=18.0), Holder.OPERATOR),
        (22.0, back(18.0, p10=18.0, p13=22.0), Holder.BMS),
        (None, back(18.0, p15=18.0), Holder.BMS),
        (None, back(20.0), Holder.BMS),
        (22.0, ReadBack(present=22.0, slot=None), Holder.WE),
        (22.0, ReadBack(present=18.0, slot=None), Holder.UNKNOWN),
        (None, ReadBack(present=18.0, slot=None), Holder.BMS),
        (22.0, ReadBack(present=None, slot=None), Holder.UNKNOWN),
        (22.0, None, Holder.UNKNOWN),
    ],
)
def test_who_holds_a_point(ours: float | None, seen: ReadBack | None, expected: Holder) -> None:
    assert holder(POINT, ours, seen, 13) is expected


def test_what_the_building_would_do_by_itself() -> None:
    assert beneath(back(22.0, p8=1.0, p13=22.0, p15=19.0, p16=18.0), 13) == 19.0
    assert beneath(back(22.0, p13=22.0), 13) == 20.0
    assert beneath(ReadBack(present=22.0, slot=None), 13) is None
    assert beneath(None, 13) is None


def test_taken_means_by_somebody_stronger() -> None:
    assert taken(back(1.0, p12=1.0), 13)
    assert not taken(back(1.0, p13=1.0), 13)
    assert not taken(back(1.0), 13)
    assert not taken(None, 13)


@given(st.floats(5, 30))
def test_a_value_survives_the_wire_of_32_bits(value: float) -> None:
    import struct

    (wire,) = struct.unpack("f", struct.pack("f", value))
    assert same(POINT, value, wire)
    assert not same(POINT, value, value + 0.05)
    assert not same(POINT, value, None)
    assert same(POINT, None, None)


def test_switches_and_counts_are_compared_as_whole_numbers() -> None:
    switch = Point(id="b.hall.s", unit=Unit.BINARY, address="x", writable=True, low=0, high=1)
    assert not same(switch, 0.0, 1.0)
    assert same(switch, 1.0, 1.0)
