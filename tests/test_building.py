"""The whole building: field, steps, checkpoints, faults, life with the clock."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.site import Site
from drivers.clock import Clock
from site_sims.building import SimulatedBuilding, build_field
from tests.town_hall import MONDAY, town_hall, town_hall_site

OURS = 13
SIX_HOURS = timedelta(hours=6)


def life(building: SimulatedBuilding) -> list[Any]:
    """Everything a controller could see or a meter count."""
    return [
        building.minute,
        [(obj.key, obj.value, list(obj.array)) for obj in building.field],
        building.plant.fabric.temperature.tolist(),
        building.plant.tank.layers,
        building.registers,
    ]


def test_the_field_is_the_site_file() -> None:
    field = build_field(town_hall_site())
    points = town_hall_site().points
    assert {f"townhall.{obj.key}" for obj in field} == set(points)
    assert [device.port for device in field.of("bacnet")] == [47811, 47812, 47813, 47814]
    assert [device.instance for device in field.of("bacnet")] == [1001, 1002, 1003, 1004]
    setpoint = field["hall.heating_setpoint"]
    assert (setpoint.commandable, setpoint.low, setpoint.high) == (True, 12, 23.5)
    assert setpoint.address == "analog-value,1"
    assert field["grid.electricity_kwh"].address == "townhall/meters/state"
    assert not field["hall.temperature"].commandable
    assert (field["boiler.enable"].low, field["boiler.enable"].high) == (0, 1)


def test_the_same_seed_lives_the_same_life_to_the_bit() -> None:
    one, other, third = town_hall(), town_hall(), town_hall(seed=2)
    for building in (one, other, third):
        building.advance(timedelta(hours=12))
    assert life(one) == life(other)
    assert life(one) != life(third)


def test_a_restored_building_lives_on_as_the_first_did() -> None:
    building = town_hall()
    building.advance(SIX_HOURS + timedelta(minutes=3))
    building.field["hall.heating_setpoint"].write(21.0, OURS)
    kept = building.snapshot()
    building.advance(SIX_HOURS)
    expected = life(building)
    other = town_hall(start=MONDAY + timedelta(days=9))
    other.advance(timedelta(hours=1))
    for target in (building, other):
        target.restore(kept)
        assert target.time == MONDAY + SIX_HOURS + timedelta(minutes=3)
        target.advance(SIX_HOURS)
        assert life(target) == expected


def test_a_command_works_and_relinquishing_hands_back() -> None:
    building = town_hall(start=datetime(2023, 1, 17, 10, tzinfo=UTC))
    building.plant.fabric.temperature[:] = 18.0
    building.advance(timedelta(minutes=10))
    setpoint = building.field["office_n1.heating_setpoint"]
    by_itself = setpoint.value
    setpoint.write(12.0, OURS)
    building.advance(timedelta(minutes=15))
    assert building.field["office_n1.valve"].value == 0
    assert building.field["office_s1.valve"].value > 0
    setpoint.write(None, OURS)
    building.advance(timedelta(minutes=15))
    assert setpoint.value == by_itself
    assert building.field["office_n1.valve"].value > 50


def test_sensors_show_the_truth_with_noise_and_resolution() -> None:
    building = town_hall()
    errors = []
    for _ in range(300):
        building.step()
        shown = building.field["hall.temperature"].value
        assert shown == pytest.approx(round(shown, 1))
        errors.append(shown - building.plant.fabric.air[0])
    assert 0 < max(abs(error) for error in errors) < 0.3
    assert abs(sum(errors) / len(errors)) < 0.05


def test_registers_only_rise_and_agree_with_power() -> None:
    building = town_hall(start=MONDAY + timedelta(hours=8))
    meter, power = building.field["grid.electricity_kwh"], building.field["grid.electricity_kw"]
    shown, energy = [], 0.0
    for _ in range(240):
        building.step()
        energy += max(power.value, 0.0) / 60
        shown.append(meter.value)
    assert shown == sorted(shown)
    assert meter.value <= building.registers.imported
    assert meter.value == pytest.approx(energy, abs=0.2)


def test_an_unplugged_boiler_shows_its_fault_and_gives_no_heat() -> None:
    building = town_hall(start=datetime(2023, 2, 8, 16, tzinfo=UTC))
    building.advance(timedelta(hours=1))
    assert building.plant.state.power.gas > 0
    building.unplug("boiler")
    building.step()
    assert building.field["boiler.fault"].value == 1
    assert building.plant.state.power.boiler_heat == 0
    assert building.plant.state.power.gas == 0
    building.mend("boiler")
    building.advance(timedelta(minutes=20))
    assert building.field["boiler.fault"].value == 0
    assert building.plant.state.power.gas > 0
    with pytest.raises(KeyError):
        building.unplug("tank")


async def test_it_lives_a_minute_for_each_minute_of_the_clock() -> None:
    start = datetime(2023, 2, 6, tzinfo=UTC)
    building, seen = town_hall(start=start), []
    building.watchers.append(lambda b: seen.append(b.time))
    clock = Clock(start)
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(building.run(clock), name="building")
        await asyncio.sleep(600.5)
        living.cancel()
    assert seen == [start + timedelta(minutes=n) for n in range(1, 11)]


def test_a_site_without_a_heat_pump_is_refused() -> None:
    site = town_hall_site()
    bare = site.buildings[0].model_copy(update={"plant": site.buildings[0].plant[1:]})
    with pytest.raises((TypeError, KeyError), match="heat"):
        SimulatedBuilding(_with(site, bare), seed=1, start=MONDAY)


def _with(site: Site, building: Any) -> Site:
    return site.model_copy(update={"buildings": (building,)})


def test_a_winter_week_uses_what_such_a_building_uses() -> None:
    building = town_hall(start=MONDAY)
    building.advance(timedelta(days=2))
    before = building.registers.circuit, building.registers.imported
    building.advance(timedelta(days=2))
    heat, electricity = building.registers.circuit - before[0], building.registers.imported - before[1]
    assert 1100 < heat < 2600  # kWh in two working days at about 1 degC
    assert 500 < electricity < 1300
    total = building.registers
    assert 2.4 < total.heat_pump_heat / total.heat_pump < 3.5
