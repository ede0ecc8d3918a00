"""The BACnet driver against a simulated device, both ends in one loop."""

import pytest

from drivers.base import Flags, Quality, priority
from drivers.clock import Clock
from tests.bacnet_field import FAN, GHOST, POINTS, SETPOINT, TEMPERATURE, bench


async def test_reads_every_kind_of_point_in_order(clock: Clock) -> None:
    async with bench(clock) as b, b.driver() as driver:
        readings = await driver.read(POINTS)
    assert [r.point for r in readings] == [p.id for p in POINTS]
    assert [r.value for r in readings] == [19.5, 20.0, 0.0, 1.0, 0.0, 1.0]
    assert {r.quality for r in readings} == {Quality.GOOD}


async def test_a_write_reaches_the_slot_and_is_read_back(clock: Clock) -> None:
    async with bench(clock) as b, b.driver() as driver:
        await driver.write(SETPOINT, 21.5, priority(13))
        held = await driver.read_back(SETPOINT, priority(13))
        assert b.field["hall.setpoint"].array[12] == 21.5
    assert (held.present, held.slot, held.default, held.holder) == (21.5, 21.5, 20.0, 13)


async def test_an_unknown_object_is_bad_and_spoils_nothing(clock: Clock) -> None:
    async with bench(clock) as b, b.driver((TEMPERATURE, GHOST, FAN)) as driver:
        readings = await driver.read((TEMPERATURE, GHOST, FAN))
    assert [r.value for r in readings] == [19.5, None, 0.0]
    assert readings[1].quality is Quality.BAD
    assert readings[1].flags == Flags.UNKNOWN_POINT


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
async def test_a_value_that_is_no_number_is_bad(clock: Clock, value: float) -> None:
    async with bench(clock) as b, b.driver() as driver:
        b.field["hall.temperature"].sense(value)
        (reading,) = await driver.read([TEMPERATURE])
    assert (reading.value, reading.quality, reading.flags) == (None, Quality.BAD, Flags.NOT_A_NUMBER)
