"""The all-air plant: energy and CO2 balances, chiller, boxes, what it needs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from config.site import AirBox
from site_sims.chiller import ChillerUnit, performance
from site_sims.plant import Commands
from site_sims.plant_air import AllAirPlant
from site_sims.truth import site_truth
from site_sims.weather import Column
from tests.library import library_site

BUILDING = library_site().buildings[0]
N = len(BUILDING.zones)


def plant() -> AllAirPlant:
    return AllAirPlant(BUILDING, site_truth("library"))


def sky(outdoor: float, *, sun: float = 0.0) -> NDArray[np.float64]:
    row = np.zeros(len(Column))
    row[Column.OUTDOOR], row[Column.WIND] = outdoor, 3.0
    row[Column.HORIZONTAL], row[Column.SOUTH], row[Column.WEST] = sun, 0.6 * sun, 0.5 * sun
    return row


def commands(*, heating: float = 20.0, cooling: float = 24.0, damper: float = 30.0, supply: float = 16.0) -> Commands:
    return Commands(
        heating_setpoint=np.full(N, heating),
        light_percent=np.full(N, 100.0),
        cooling_setpoint=np.full(N, cooling),
        supply_setpoint=supply,
        outdoor_damper_percent=damper,
        fan_percent=100.0,
        chiller_enable=1.0,
        boiler_enable=1.0,
        flow_setpoint=60.0,
    )


@pytest.mark.parametrize(("outdoor", "sun"), [(-2.0, 50.0), (30.0, 700.0)], ids=["winter", "summer"])
def test_a_whole_day_closes_its_energy_balance(outdoor: float, sun: float) -> None:
    p, c = plant(), commands()
    before, put_in, moved = p.stored_kj, 0.0, 0.0
    for minute in range(1440):
        c.fan_percent = 100.0 if 300 < minute < 1200 else 0.0
        p.step(c, sky(outdoor, sun=sun if minute > 600 else 0.0), np.full(N, 8.0))
        power = p.state.power
        fan_heat = 0.9 * power.fan
        put_in += 60 * (power.boiler_heat + power.gains + fan_heat + p.fabric.sun_kw)
        put_in -= 60 * (power.cooling + power.ventilation + p.fabric.loss_kw)
        moved += 60 * (power.boiler_heat + power.cooling)
    assert moved > 3.6e5
    assert p.stored_kj - before == pytest.approx(put_in, abs=0.002 * moved)


def test_rooms_that_are_too_warm_get_more_cold_air_and_the_chiller_runs() -> None:
    p, c = plant(), commands(supply=13.0)
    p.fabric.temperature[:] = 27.0
    for _ in range(60):
        p.step(c, sky(30.0), np.full(N, 5.0))
    assert p.air.opening(0) > 0.4  # the least is a quarter
    assert p.state.supply_air < 20.0
    assert p.state.power.cooling > 20.0
    assert p.state.power.chiller > 5.0
    assert float(p.fabric.air.max()) < 27.0


def test_a_broken_chiller_cools_nothing() -> None:
    p, c = plant(), commands()
    p.machines["chiller"].fault = True
    p.fabric.temperature[:] = 27.0
    for _ in range(30):
        p.step(c, sky(30.0), np.full(N, 5.0))
    assert p.state.power.cooling == p.state.power.chiller == 0.0


def test_cool_outdoor_air_cools_without_the_chiller() -> None:
    p, c = plant(), commands(damper=100.0, supply=13.0)
    c.chiller_enable = 0.0
    p.fabric.temperature[:] = 26.0
    for _ in range(60):
        p.step(c, sky(12.0), np.full(N, 5.0))
    assert p.state.power.ventilation > 20.0  # heat that leaves with the exhaust air
    assert p.state.power.chiller == 0.0
    assert float(p.fabric.air.mean()) < 26.0


def test_cold_rooms_are_reheated_with_water_from_the_boiler() -> None:
    p, c = plant(), commands(heating=20.5, supply=18.0)
    p.fabric.temperature[:] = 16.0
    for _ in range(180):
        p.step(c, sky(0.0), np.zeros(N))
    assert p.state.power.boiler_heat > 20.0
    assert float(p.fabric.air.mean()) > 17.0
    assert p.state.power.cooling == 0.0


def test_without_the_fan_no_air_moves_and_no_heat_is_given() -> None:
    p, c = plant(), commands()
    c.fan_percent = 0.0
    for _ in range(30):
        p.step(c, sky(0.0), np.zeros(N))
    assert p.air.flow.tolist() == [0.0] * N
    assert p.state.power.fan == p.state.power.boiler_heat == 0.0


def test_co2_settles_where_people_and_outdoor_air_balance() -> None:
    p, c = plant(), commands(damper=40.0)
    people = np.full(N, 10.0)
    for _ in range(1440):
        p.step(c, sky(15.0), people)
    outdoor_air = float(p.air.flow.sum()) * p.air.fresh_share
    leaks = p.fabric.leak_m3_s + 1e-4
    exhaust = float(p.air.flow @ p.air.co2) / float(p.air.flow.sum())
    gone = outdoor_air * (exhaust - 420) + float(leaks @ (p.air.co2 - 420))
    assert gone == pytest.approx(people.sum() * 5.0, rel=0.02)


def test_a_chiller_is_better_on_a_mild_day_and_at_middling_load() -> None:
    assert performance(35.0, 1.0, rated=3.1) == pytest.approx(3.1)
    assert performance(20.0, 1.0, rated=3.1) > 4.0
    assert performance(35.0, 0.5, rated=3.1) > performance(35.0, 1.0, rated=3.1) > performance(35.0, 0.05, rated=3.1)


def test_a_chiller_stays_on_and_off_for_minutes() -> None:
    unit = ChillerUnit(90.0, 3.1, 1.0)
    runs = []
    for minute in range(60):
        unit.step(enable=True, wanted_kw=40.0 if minute % 2 else 0.0, outdoor=25.0)
        runs.append(unit.running)
    assert unit.starts <= 6
    assert unit.electricity_kw >= 0.0
    assert any(runs)


def test_every_zone_needs_a_box() -> None:
    fewer = tuple(item for item in BUILDING.plant if not (isinstance(item, AirBox) and item.serves == ("staff",)))
    with pytest.raises(TypeError, match="a box a zone"):
        AllAirPlant(BUILDING.model_copy(update={"plant": fewer}), site_truth("library"))
