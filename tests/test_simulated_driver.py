"""What the contract suite does not ask of the simulated driver."""

import asyncio
from datetime import timedelta

import pytest

from drivers.base import Can, Flags, NotReachable, Quality, Rejected, priority
from drivers.clock import Clock
from site_sims.building import SimulatedBuilding
from site_sims.simulated_driver import SimulatedDriver, simulated_drivers
from tests.conftest import EPOCH
from tests.town_hall import town_hall, town_hall_site

OURS = priority(13)


def driver(building: SimulatedBuilding, device: str, clock: Clock) -> SimulatedDriver:
    config = next(one for one in town_hall_site().devices if one.id == device)
    return simulated_drivers(building.field, clock=clock)(config)


async def test_it_reads_every_point_of_every_device_as_good(clock: Clock) -> None:
    building = town_hall(start=EPOCH)
    building.advance(timedelta(minutes=5))
    for device in town_hall_site().devices:
        one = driver(building, device.id, clock)
        async with one:
            readings = await one.read(device.points)
        assert [reading.point for reading in readings] == [point.id for point in device.points]
        assert all(reading.quality is Quality.GOOD and reading.time == clock.now() for reading in readings)


async def test_mqtt_devices_push_changes_and_bacnet_devices_do_not(clock: Clock) -> None:
    building = town_hall(start=EPOCH)
    meters, plant = driver(building, "meters", clock), driver(building, "plant", clock)
    assert Can.PUSH in meters.can
    assert Can.PUSH not in plant.can
    with pytest.raises(TypeError, match="push"):
        await anext(plant.changes())
    heard = []

    async def listen() -> None:
        async for reading in meters.changes():
            heard.append(reading)  # noqa: PERF401  a comprehension would keep what was heard to itself until the end

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(listen(), name="listen")
        await asyncio.sleep(1)
        building.advance(timedelta(minutes=3))
        await asyncio.sleep(1)
        listening.cancel()
    assert {reading.point for reading in heard} >= {"townhall.grid.electricity_kw", "townhall.grid.electricity_kwh"}
    assert all(reading.flags & Flags.PUSHED for reading in heard)
    assert building.field["grid.electricity_kw"].watchers == []


async def test_an_operator_is_seen_in_the_read_back(clock: Clock) -> None:
    building = town_hall(start=EPOCH)
    zones = driver(building, "zones_a", clock)
    setpoint = zones.points["townhall.hall.heating_setpoint"]
    await zones.write(setpoint, 19.0, OURS)
    building.field["hall.heating_setpoint"].write(22.5, 8)
    back = await zones.read_back(setpoint, OURS)
    assert (back.present, back.slot, back.holder) == (22.5, 19.0, 8)
    assert back.default == 18.0


async def test_an_mqtt_command_has_no_slot_to_show_and_hands_back(clock: Clock) -> None:
    building = town_hall(start=EPOCH)
    building.step()
    lights = driver(building, "lighting", clock)
    level = lights.points["townhall.hall.light_level"]
    await lights.write(level, 40.0, OURS)
    back = await lights.read_back(level, OURS)
    assert (back.present, back.slot, back.array) == (40.0, None, None)
    await lights.relinquish(level, OURS)
    assert (await lights.read_back(level, OURS)).present == 0.0  # midnight


@pytest.mark.parametrize("value", [99.0, -1.0, float("nan"), float("inf")])
async def test_bad_values_are_rejected_by_the_device(clock: Clock, value: float) -> None:
    zones = driver(town_hall(start=EPOCH), "zones_a", clock)
    with pytest.raises(Rejected, match="hall"):
        await zones.write(zones.points["townhall.hall.heating_setpoint"], value, OURS)


async def test_a_sensor_cannot_be_written(clock: Clock) -> None:
    zones = driver(town_hall(start=EPOCH), "zones_a", clock)
    with pytest.raises(Rejected, match="denied"):
        await zones.write(zones.points["townhall.hall.temperature"], 20.0, OURS)


async def test_unplugged_it_does_not_answer(clock: Clock) -> None:
    building = town_hall(start=EPOCH)
    zones = driver(building, "zones_a", clock)
    building.field.devices["zones_a"].reachable = False
    setpoint = zones.points["townhall.hall.heating_setpoint"]
    with pytest.raises(NotReachable):
        await zones.__aenter__()
    with pytest.raises(NotReachable):
        await zones.read(list(zones.points.values()))
    with pytest.raises(NotReachable):
        await zones.write(setpoint, 20.0, OURS)
    building.field.devices["zones_a"].reachable = True
    assert len(await zones.read([setpoint])) == 1


async def test_faults_and_nonsense_show_in_the_quality(clock: Clock) -> None:
    building = town_hall(start=EPOCH)
    zones = driver(building, "zones_a", clock)
    building.field["hall.temperature"].fault = True
    building.field["council.temperature"].sense(float("nan"))
    points = [zones.points[f"townhall.{zone}.temperature"] for zone in ("hall", "council", "library")]
    faulty, broken, good = await zones.read(points)
    assert (faulty.quality, faulty.value, faulty.flags) == (Quality.BAD, None, Flags.FAULT)
    assert (broken.quality, broken.value, broken.flags) == (Quality.BAD, None, Flags.NOT_A_NUMBER)
    assert good.quality is Quality.GOOD
