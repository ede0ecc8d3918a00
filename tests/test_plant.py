"""Heat pump, boiler, tank, circuit, ventilation and electricity of the simulated plant."""

import numpy as np
import pytest

from site_sims.machines import BoilerUnit, HeatPumpUnit, TankUnit, full_capacity_kw, performance
from site_sims.plant import Commands, Plant
from site_sims.truth import site_truth
from site_sims.weather import Column
from tests.town_hall import town_hall_site

BUILDING = town_hall_site().buildings[0]
BOILER_ALONE = tuple(item for item in BUILDING.plant if item.kind in {"boiler", "circuit"})
ZONES = len(BUILDING.zones)
NOBODY = np.zeros(ZONES)


def plant() -> Plant:
    return Plant(BUILDING, site_truth("townhall"))


def commands(setpoint: float = 20.0, **more: float) -> Commands:
    return Commands(heating_setpoint=np.full(ZONES, setpoint), light_percent=np.zeros(ZONES), **more)


def sky(outdoor: float = 3.0, sun: float = 0.0) -> np.ndarray:
    row = np.zeros(len(Column))
    row[Column.OUTDOOR], row[Column.WIND], row[Column.PV] = outdoor, 3.0, sun
    return row


def test_performance_falls_with_lift_and_holds_at_the_rating_point() -> None:
    assert performance(7, 35, 1.0) == pytest.approx(4.1, abs=0.1)
    by_water = [performance(2, water, 0.8) for water in range(30, 61, 5)]
    assert by_water == sorted(by_water, reverse=True)
    by_air = [performance(air, 45, 0.8) for air in range(4, 20, 2)]
    assert by_air == sorted(by_air)
    assert performance(-10, 55, 0.8) > 1.5


def test_part_load_and_ice_cost_performance() -> None:
    assert performance(7, 45, 0.55) > performance(7, 45, 1.0)
    assert performance(7, 45, 0.55) > performance(7, 45, 0.3)
    smooth = (performance(-6, 45, 0.8) + performance(8, 45, 0.8)) / 2
    assert performance(1, 45, 0.8) < 0.95 * smooth


def test_capacity_falls_in_the_cold() -> None:
    assert full_capacity_kw(60, 7, 35) == pytest.approx(60, rel=0.02)
    assert 38 < full_capacity_kw(60, -3, 50) < 48
    warm = [full_capacity_kw(60, air, 45) for air in range(4, 16, 2)]
    assert warm == sorted(warm)


def test_the_heat_pump_keeps_its_least_running_and_resting_times() -> None:
    pump, tank = HeatPumpUnit(60, 4.1, 0.9), TankUnit(3000, 0.006, layers=[30.0, 30.0, 30.0])
    history = []
    for minute in range(60):
        enable = minute not in range(5, 12)  # switched off five minutes after the start, and on again at once
        pump.step(enable=enable, limit=1.0, setpoint=50.0, tank=tank, outdoor=5.0)
        history.append(pump.running)
    assert history[:20] == [True] * 20  # fifteen minutes at least, and enabled again by then
    while pump.running:
        pump.step(enable=False, limit=1.0, setpoint=50.0, tank=tank, outdoor=5.0)
    resting = 0
    while not pump.running:
        pump.step(enable=True, limit=1.0, setpoint=55.0, tank=tank, outdoor=5.0)
        resting += 1
    assert resting == 10
    assert pump.starts == 2


def test_a_limit_holds_the_heat_pump_down_and_a_low_one_stops_it() -> None:
    heat = []
    for limit in (1.0, 0.5, 0.1):
        pump, tank = HeatPumpUnit(60, 4.1, 0.9), TankUnit(3000, 0.006, layers=[30.0, 30.0, 30.0])
        for _ in range(20):
            pump.step(enable=True, limit=limit, setpoint=55.0, tank=tank, outdoor=7.0)
        heat.append(pump.heat_kw)
    assert heat[0] > 50
    assert heat[1] == pytest.approx(heat[0] / 2, rel=0.1)
    assert heat[2] == 0


def test_auxiliaries_are_drawn_only_while_it_runs_and_a_fault_stops_it_at_once() -> None:
    pump, tank = HeatPumpUnit(60, 4.1, 0.9), TankUnit(3000, 0.006, layers=[30.0, 30.0, 30.0])
    pump.step(enable=False, limit=1.0, setpoint=50.0, tank=tank, outdoor=5.0)
    assert pump.electricity_kw == 0
    for _ in range(5):
        pump.step(enable=True, limit=1.0, setpoint=50.0, tank=tank, outdoor=5.0)
    assert pump.electricity_kw > 0.9
    pump.fault = True
    pump.step(enable=True, limit=1.0, setpoint=50.0, tank=tank, outdoor=5.0)
    assert (pump.electricity_kw, pump.heat_kw) == (0, 0)


def test_the_tank_holds_what_is_put_in_and_stays_layered() -> None:
    tank = TankUnit(3000, 0.006, layers=[40.0, 38.0, 30.0])
    before, balance = tank.stored_kj, 0.0
    for minute in range(600):
        heat = 30.0 if minute < 200 else 0.0
        tank.charge(heat) if heat else None
        drawn = tank.discharge(0.5, 27.0)
        tank.settle()
        balance += 60 * (heat - drawn - tank.lost_kw)
        assert tank.layers == sorted(tank.layers, reverse=True)
        assert min(tank.layers) >= 26.9
    assert tank.stored_kj - before == pytest.approx(balance, rel=1e-6)


def test_the_boiler_condenses_with_cool_returns_and_dislikes_low_load() -> None:
    efficiency = BoilerUnit.efficiency
    assert efficiency(30, 1.0) > efficiency(45, 1.0) > efficiency(60, 1.0) > 0.8
    assert efficiency(40, 1.0) > efficiency(40, 0.2)
    assert efficiency(30, 1.0) < 0.97


def test_the_boiler_meets_the_flow_setpoint_and_cycles_below_its_least_load() -> None:
    boiler = BoilerUnit(130)
    heat = [boiler.step(enable=True, setpoint=55, flow_kg_s=1.6, entering=40, back=40) for _ in range(30)]
    assert heat[-1] == pytest.approx(1.6 * 4.186 * 15)
    boiler = BoilerUnit(130)
    for _ in range(120):
        boiler.step(enable=True, setpoint=45, flow_kg_s=0.3, entering=40, back=40)
    assert boiler.starts > 3
    assert boiler.gas_kw > 0  # standby at least


def test_a_whole_day_closes_its_energy_balance() -> None:
    p, c = plant(), commands(20.0, flow_setpoint=50.0, tank_setpoint=48.0, boiler_enable=1.0, fan_percent=60.0)
    people = np.full(ZONES, 5.0)
    before, put_in, supplied = p.stored_kj, 0.0, 0.0
    for minute in range(1440):
        c.heating_setpoint[:] = 20.0 if minute > 400 else 15.0
        p.step(c, sky(3 + minute / 300, sun=100), people)
        power = p.state.power
        heat = power.heat_pump_heat + power.boiler_heat
        supplied += 60 * heat
        gained = heat + power.gains + p.fabric.sun_kw
        put_in += 60 * (gained - p.fabric.loss_kw - power.ventilation - p.tank.lost_kw)
    assert supplied > 3.6e6  # a megawatt-hour at least
    assert p.stored_kj - before == pytest.approx(put_in, abs=0.005 * supplied)


def test_radiators_give_less_than_in_proportion_at_low_flow() -> None:
    warmth = []
    for flow in (35.0, 55.0):
        p = plant()
        c = commands(30.0, flow_setpoint=flow, tank_setpoint=20.0, heat_pump_enable=0.0, boiler_enable=1.0)
        p.tank.layers = [20.0, 20.0, 20.0]
        for _ in range(240):
            p.step(c, sky(5.0), NOBODY)
        over = p.state.emitter - p.fabric.air
        warmth.append((p.state.power.circuit_heat, float(over.mean())))
    share = warmth[0][0] / warmth[1][0]
    assert share < warmth[0][1] / warmth[1][1]


def test_carbon_dioxide_settles_where_breath_and_fresh_air_balance() -> None:
    p, people = plant(), np.zeros(ZONES)
    people[p.aired] = 45
    for _ in range(600):
        p.step(commands(20.0, fan_percent=60.0), sky(), people)
    fresh = 0.9 * 0.6 + float(p.fabric.leak_m3_s[p.aired]) + 1e-4
    assert p.state.co2 == pytest.approx(420 + 45 * 5.0 / fresh, rel=0.02)
    for _ in range(600):
        p.step(commands(20.0), sky(), np.zeros(ZONES))
    assert 420 < p.state.co2 < 500


def test_fan_power_follows_the_cube_of_its_speed() -> None:
    fans = []
    for speed in (50.0, 100.0):
        p = plant()
        p.step(commands(fan_percent=speed), sky(), NOBODY)
        fans.append(p.state.power.fan - 0.02)
    assert fans[1] / fans[0] == pytest.approx(8)


def test_light_follows_the_dimmer_and_the_sun_feeds_the_meter() -> None:
    p, c = plant(), commands()
    c.light_percent[:] = 50
    p.step(c, sky(sun=800), NOBODY)
    rated = sum(zone.lighting_kw for zone in BUILDING.zones)
    assert p.state.power.lighting == pytest.approx(rated * 0.52)
    assert 11 < p.state.power.pv < 16
    dark = p.state.power.net
    p.step(commands(), sky(sun=0), NOBODY)
    assert p.state.power.net > dark


def test_a_cold_tank_is_bypassed_rather_than_warmed_by_the_boiler() -> None:
    p = plant()
    p.tank.layers = [20.0, 20.0, 20.0]
    c = commands(22.0, flow_setpoint=60.0, heat_pump_enable=0.0, boiler_enable=1.0)
    for _ in range(120):
        p.step(c, sky(0.0), NOBODY)
    assert p.tank.mean <= 20.0
    assert p.state.power.boiler_heat > 20


def test_a_boiler_alone_heats_and_closes_its_energy_balance() -> None:
    p = Plant(BUILDING.model_copy(update={"plant": BOILER_ALONE}), site_truth("townhall"))
    c, people = commands(20.0, flow_setpoint=60.0, boiler_enable=1.0, fan_percent=60.0), np.full(ZONES, 5.0)
    before, put_in, supplied = p.stored_kj, 0.0, 0.0
    for minute in range(1440):
        p.step(c, sky(3 + minute / 300, sun=100), people)
        power = p.state.power
        supplied += 60 * power.boiler_heat
        put_in += 60 * (power.boiler_heat + power.gains + p.fabric.sun_kw - p.fabric.loss_kw)
    assert supplied > 3e6
    assert p.stored_kj - before == pytest.approx(put_in, abs=0.005 * supplied)
    assert (power.heat_pump, power.fan, power.pv, p.tank_kj) == (0, 0, 0, 0)
    assert list(p.machines) == ["boiler"]


@pytest.mark.parametrize("kinds", [["heat_pump"], ["tank", "boiler"], ["circuit"], ["boiler", "boiler", "circuit"]])
def test_a_plant_that_cannot_be_simulated_is_refused(kinds: list[str]) -> None:
    plant = tuple(next(item for item in BUILDING.plant if item.kind == kind) for kind in kinds)
    with pytest.raises(TypeError, match=r"needs a boiler, or a heat pump with its tank|one boiler at most"):
        Plant(BUILDING.model_copy(update={"plant": plant}), site_truth("townhall"))


def test_what_people_use_warms_the_room_less_where_the_hood_takes_it_away() -> None:
    truth = site_truth("townhall")
    hall = truth.zones["hall"].model_copy(update={"plug_w_per_person": 2000.0, "plug_share_inside": 0.25})
    kitchen = Plant(BUILDING, truth.model_copy(update={"zones": truth.zones | {"hall": hall}}))
    people = np.where(np.arange(ZONES) == 0, 4.0, 0.0)
    usual = plant()
    for p in (usual, kitchen):
        p.step(commands(), sky(), people)
    assert kitchen.state.power.plugs - usual.state.power.plugs == pytest.approx(4 * (2.0 - 0.11))
    assert kitchen.state.power.gains - usual.state.power.gains == pytest.approx(4 * (0.5 - 0.11))
