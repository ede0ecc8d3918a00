"""The BACnet driver against a simulated device, both ends in one loop."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from config.load import load_site
from config.site import Site
from drivers.bacnet.poll import sample
from drivers.base import Flags, Quality, Reading, priority
from drivers.clock import Clock
from drivers.registry import Shared, make_driver
from site_sims.bacnet_devices import serve_bacnet
from site_sims.building import build_field
from site_sims.virtual_time import VirtualTimeLoop
from tests.bacnet_field import FAN, GHOST, POINTS, SETPOINT, TEMPERATURE, bench
from tests.conftest import EPOCH

TOWNHALL = Path(__file__).parents[1] / "config" / "examples" / "townhall.yaml"


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


@pytest.mark.parametrize(
    ("bits", "quality", "flags"),
    [
        ("0000", Quality.GOOD, Flags.NONE),
        ("1000", Quality.GOOD, Flags.IN_ALARM),
        ("0100", Quality.BAD, Flags.FAULT),
        ("0010", Quality.SUSPECT, Flags.OVERRIDDEN),
        ("0001", Quality.SUSPECT, Flags.OUT_OF_SERVICE),
        ("1111", Quality.BAD, Flags.IN_ALARM | Flags.FAULT | Flags.OVERRIDDEN | Flags.OUT_OF_SERVICE),
    ],
)
def test_status_flags_become_quality(bits: str, quality: Quality, flags: Flags) -> None:
    found = sample(20.5, tuple(bit == "1" for bit in bits))
    assert (found.quality, found.flags) == (quality, flags)
    assert found.value == (None if quality is Quality.BAD else 20.5)


@pytest.mark.parametrize("value", ["warm", b"x", None, (1.0, 2.0), (), float("inf")])
def test_what_is_no_number_has_no_value(value: object) -> None:
    assert sample(value) == (None, Quality.BAD, Flags.NOT_A_NUMBER)  # type: ignore[arg-type]


async def minutes_of_polling(site: Site, minutes: int) -> list[Reading]:
    """What polling all BACnet devices of the example site brings, sensors drifting at random but seeded."""
    clock, random = Clock(EPOCH), Random(7)
    field = build_field(site)
    devices = [device for device in site.devices if device.driver == "bacnet"]
    for device in field.of("bacnet"):
        device.port = 0
    readings: list[Reading] = []
    async with serve_bacnet(field, clock=clock), Shared() as shared:

        async def poll(number: int) -> None:
            told = devices[number]
            address = f"127.0.0.1:{field.devices[told.id].port}"
            here = told.model_copy(update={"options": {**told.options, "address": address, "bind": "127.0.0.1:0"}})
            async with make_driver(here, clock=clock, shared=shared) as driver:
                for _ in range(minutes):
                    readings.extend(await driver.read(told.points))
                    await asyncio.sleep(60)

        async with asyncio.TaskGroup() as tasks:
            for number in range(len(devices)):
                tasks.create_task(poll(number), name=f"poll:{number}")
            for _ in range(minutes):
                await asyncio.sleep(60)
                for obj in field:
                    obj.sense(random.uniform(15, 25) if not obj.commandable else obj.sensed)
    return readings


def test_the_town_hall_reads_the_same_to_the_bit_every_time() -> None:
    site = load_site(TOWNHALL)
    runs: list[list[Reading]] = []
    for _ in range(2):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runs.append(runner.run(minutes_of_polling(site, 20)))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 20 * len([p for d in site.devices if d.driver == "bacnet" for p in d.points])
    assert {reading.quality for reading in runs[0]} == {Quality.GOOD}


@pytest.mark.real_time
async def test_it_works_on_the_ordinary_loop_too() -> None:
    async with bench(Clock.real()) as b, b.driver() as driver:
        await driver.write(SETPOINT, 21.5, priority(13))
        assert [r.value for r in await driver.read([TEMPERATURE, SETPOINT])] == [19.5, 21.5]
        await driver.relinquish(SETPOINT, priority(13))
        assert (await driver.read_back(SETPOINT, priority(13))).slot is None
