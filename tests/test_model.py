from dataclasses import replace

import numpy as np
import pytest
from problems import MODEL, problem, random_problem, zone

from optimiser.numbers import numbers
from optimiser.problem import Plan, Problem, Weights
from optimiser.solve import Sessions
from optimiser.structure import structure_of
from optimiser.thermal import Inputs, coefficients, predict
from optimiser.theta import parameters

WILD = Weights(near_per_kh=5.0, far_per_kh=50.0, ramp_per_kw=0.0)


def solved(case: Problem) -> Plan:
    return Sessions().solve(case)


def row(plan: Plan, name: str) -> np.ndarray:
    return np.array(plan.series[name].values)


@pytest.mark.parametrize("seed", range(4))
def test_the_planned_temperatures_follow_from_the_planned_heat(seed: int) -> None:
    case = random_problem(seed)
    plan = solved(case)
    structure = structure_of(case)
    found = predict(
        coefficients([state.model for state in case.zones], structure.neighbours),
        np.array([state.temperature_degc for state in case.zones]),
        np.array([state.mass_degc for state in case.zones]),
        Inputs(
            outdoor_degc=np.array(case.outdoor_degc),
            solar_kw_m2=np.array(case.solar_kw_m2),
            people=np.array([state.people for state in case.zones]).T,
            heat_kw=np.array([plan.series[f"heat:{state.id}"].values for state in case.zones]).T,
            gain_k=np.array([state.gain_k for state in case.zones]).T,
        ),
    )
    planned = np.array([plan.series[f"temperature:{state.id}"].values for state in case.zones]).T
    assert planned == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_heat_power_and_storage_balance(seed: int) -> None:
    case = random_problem(seed)
    plan, pump, tank = solved(case), case.heat_pump, case.tank
    assert pump is not None
    assert tank is not None
    heat = sum(row(plan, f"heat:{state.id}") for state in case.zones)
    keep = 1 - tank.loss_per_step - tank.standing_loss_kw * 0.25 / tank.capacity_kwh
    held = row(plan, "tank")
    before = np.concatenate([[tank.energy_kwh], held[:-1]])
    discharge = (before * keep - held) / 0.25 + row(plan, "heat_pump")
    assert heat == pytest.approx(discharge + row(plan, "boiler"), abs=1e-6)
    net = row(plan, "import") - row(plan, "export")
    assert net == pytest.approx(np.array(case.base_load_kw) - np.array(case.pv_kw) + row(plan, "electricity"), abs=1e-6)
    least = row(plan, "heat_pump") * (1 / np.array(pump.cop) + pump.auxiliary_kw / np.array(pump.max_heat_kw))
    assert (row(plan, "electricity") >= least - 1e-9).all()
    assert (row(plan, "heat_pump") <= np.array(pump.max_heat_kw) + 1e-9).all()
    assert (held <= tank.capacity_kwh + 1e-9).all()


def test_the_figures_of_the_plan_are_those_of_its_series() -> None:
    case = random_problem(3)
    plan = solved(case)
    assert case.boiler is not None
    gas = row(plan, "boiler").sum() * 0.25 / case.boiler.efficiency
    assert plan.energy_kwh["gas"] == pytest.approx(gas)
    assert plan.energy_kwh["electricity"] == pytest.approx(row(plan, "import").sum() * 0.25)
    money = (
        row(plan, "import") * np.array(case.import_price) - row(plan, "export") * np.array(case.export_price)
    ).sum()
    money = money * 0.25 + (row(plan, "boiler") * np.array(case.gas_price)).sum() * 0.25 / case.boiler.efficiency
    assert plan.cost == pytest.approx(money)
    carbon = (row(plan, "import") * np.array(case.intensity_g_per_kwh)).sum() * 0.25 / 1000
    assert plan.carbon_kg == pytest.approx(carbon + gas * case.gas_kg_per_kwh)


def test_a_warm_building_needs_nothing() -> None:
    plan = solved(problem(outdoor_degc=(20.0,) * 8, base_load_kw=(0.0,) * 8))
    assert row(plan, "heat_pump").sum() == pytest.approx(0.0, abs=1e-9)
    assert row(plan, "boiler").sum() == pytest.approx(0.0, abs=1e-9)
    assert plan.cost == pytest.approx(0.0, abs=1e-9)
    assert plan.discomfort_kh == pytest.approx(0.0, abs=1e-9)


def test_the_cheaper_source_heats() -> None:
    dear = problem(import_price=(0.9,) * 8, tank=None)
    cheap = problem(import_price=(0.1,) * 8, tank=None)
    assert row(solved(dear), "heat_pump").sum() == pytest.approx(0.0, abs=1e-9)
    assert row(solved(dear), "boiler").sum() > 1.0
    assert row(solved(cheap), "boiler").sum() == pytest.approx(0.0, abs=1e-9)


def test_a_carbon_price_moves_heat_from_gas_to_electricity() -> None:
    case = problem(import_price=(0.26,) * 8, gas_price=(0.05,) * 8, intensity_g_per_kwh=(50.0,) * 8, tank=None)
    free, priced = solved(replace(case, carbon_price_per_kg=0.0)), solved(replace(case, carbon_price_per_kg=0.5))
    assert row(free, "heat_pump").sum() == pytest.approx(0.0, abs=1e-9)
    assert row(priced, "boiler").sum() == pytest.approx(0.0, abs=1e-9)
    assert priced.carbon_kg < free.carbon_kg
    assert priced.cost > free.cost


def test_heat_is_stored_before_a_dear_hour() -> None:
    steps = 24
    price = (0.1,) * 12 + (0.6,) * 12
    case = problem(steps=steps, import_price=price, gas_price=(0.5,) * steps)
    plan = solved(case)
    held, pump = row(plan, "tank"), row(plan, "heat_pump")
    assert held[11] > 10.0
    assert held[-1] < held[11] - 2.0
    assert pump[:12].sum() > 30.0
    assert pump[12:].sum() == pytest.approx(0.0, abs=1e-9)


def test_what_the_tank_costs_when_hot_is_counted_at_full_load() -> None:
    case = problem(steps=4, boiler=None, import_price=(0.01, 5.0, 5.0, 5.0))
    assert case.tank is not None
    full = replace(case, tank=replace(case.tank, energy_kwh=20.0, loss_per_step=0.0, standing_loss_kw=0.0))
    wanted = replace(full.zones[0], low_degc=(30.0,) * 4, high_degc=(40.0,) * 4, max_heat_kw=8.0)
    plan = solved(replace(full, zones=(wanted,)))
    assert row(plan, "heat_pump")[0] == pytest.approx(8.0)
    assert row(plan, "tank")[0] == pytest.approx(20.0)
    assert row(plan, "electricity")[0] == pytest.approx(8.0 / 3.0 * (1 + 0.02 * 20.0) + 0.2)


def test_a_tank_gives_only_what_its_water_is_hot_enough_for() -> None:
    case = problem(steps=12, gas_price=(0.5,) * 12)
    assert case.tank is not None
    cold = replace(case.zones[0], temperature_degc=17.0)
    limited = replace(case, zones=(cold,), tank=replace(case.tank, draw_kw=2.0, draw_kw_per_kwh=0.1))
    plan = solved(limited)
    held = np.concatenate([[case.tank.energy_kwh], row(plan, "tank")[:-1]])
    drawn = row(plan, "heat:hall") - row(plan, "boiler")
    assert (drawn <= 2.0 + 0.1 * held + 1e-6).all()
    assert row(plan, "boiler").max() > 1.0
    assert plan.objective > solved(replace(case, zones=(cold,))).objective


def test_a_tank_gives_the_less_the_fewer_emitters_are_open() -> None:
    case = problem(steps=12, gas_price=(0.5,) * 12)
    assert case.tank is not None
    tank = replace(case.tank, draw_kw=4.0, draw_kw_per_kwh=0.1, open_share=(1.0,) * 6 + (0.25,) * 6)
    cold = replace(case, zones=(replace(case.zones[0], temperature_degc=17.0),), tank=tank)
    plan = solved(cold)
    held = np.concatenate([[tank.energy_kwh], row(plan, "tank")[:-1]])
    drawn = row(plan, "heat:hall") - row(plan, "boiler")
    assert (drawn <= (4.0 + 0.1 * held) * np.array(tank.open_share) + 1e-6).all()
    with pytest.raises(ValueError, match="share of open emitters"):
        solved(replace(cold, tank=replace(tank, open_share=(1.0,))))


def test_the_end_of_the_horizon_is_not_emptied() -> None:
    case = problem(steps=48)
    with_value, held = solved(case), row(solved(case), "temperature:hall")
    assert held[-1] >= 20.0 - 1e-6
    night = (20.0,) * 24 + (10.0,) * 24
    empty = replace(case, zones=(replace(case.zones[0], low_degc=night),))
    assert row(solved(empty), "temperature:hall")[-1] > 17.0
    assert with_value.discomfort_kh == pytest.approx(0.0, abs=1e-6)


def test_stored_heat_is_not_hoarded_for_after_the_horizon() -> None:
    steps = 48
    price = (0.3,) * 40 + (0.05,) * 8
    plan = solved(problem(steps=steps, import_price=price, gas_price=(0.5,) * steps))
    assert row(plan, "temperature:hall")[-1] < 21.0
    assert row(plan, "tank")[-1] < 5.0


def test_an_import_cap_holds_as_long_as_comfort_can_be_bought_otherwise() -> None:
    plan = solved(problem(import_cap_kw=2.5))
    assert row(plan, "import").max() <= 2.5 + 1e-9


def test_an_impossible_cap_is_passed_at_its_price_and_not_infeasible() -> None:
    plan = solved(problem(import_cap_kw=1.0, base_load_kw=(3.0,) * 8))
    assert row(plan, "import").min() == pytest.approx(3.0)
    assert plan.objective == pytest.approx(plan.cost + 0.1 * plan.carbon_kg + 50 * 2.0 * 2.0, rel=0.05)


def test_an_unreachable_band_is_approached_as_far_as_heat_allows() -> None:
    cold = zone(temperature_degc=10.0, mass_degc=10.0)
    plan = solved(problem((cold,)))
    assert row(plan, "heat:hall") == pytest.approx([10.0] * 8)
    assert plan.discomfort_kh > 5.0


def test_discomfort_is_two_tiered() -> None:
    case = problem((zone(temperature_degc=19.7, max_heat_kw=0.0),), weights=WILD, base_load_kw=(0.0,) * 8)
    case = replace(case, outdoor_degc=(19.7,) * 8)
    still = replace(MODEL, mass=0.0, neighbour=0.0, outdoor=0.5)
    case = replace(case, weights=replace(WILD, near_k=0.5))
    near = replace(case, zones=(replace(case.zones[0], model=still),))
    far = replace(near, zones=(replace(near.zones[0], temperature_degc=19.0),), outdoor_degc=(19.0,) * 8)
    assert solved(near).objective == pytest.approx(5.0 * 0.3 * 2.0, rel=1e-2)
    assert solved(far).objective == pytest.approx((5.0 * 0.5 + 50.0 * 0.5) * 2.0, rel=1e-2)


def test_a_held_zone_goes_where_the_stronger_hand_wants_it_whatever_it_costs() -> None:
    case = problem((zone(held_degc=22.0, temperature_degc=21.8, mass_degc=22.0),), import_price=(2.0,) * 8)
    plan = solved(replace(case, gas_price=(2.0,) * 8))
    assert row(plan, "temperature:hall") == pytest.approx([22.0] * 8)
    assert plan.discomfort_kh == 0.0


def test_unavailable_plant_gives_no_heat_and_no_other_structure() -> None:
    case = problem(steps=24)
    assert case.heat_pump is not None
    assert case.boiler is not None
    off = replace(
        case, heat_pump=replace(case.heat_pump, available=False), boiler=replace(case.boiler, available=False)
    )
    sessions = Sessions()
    assert row(sessions.solve(case), "heat_pump").sum() + row(sessions.solve(case), "boiler").sum() > 0
    plan = sessions.solve(off)
    assert row(plan, "heat_pump").max() == row(plan, "boiler").max() == 0.0
    assert structure_of(case) == structure_of(off)


def test_negative_prices_burn_nothing_for_its_own_sake() -> None:
    plan = solved(
        problem(outdoor_degc=(25.0,) * 8, import_price=(-0.2,) * 8, export_price=(0.3,) * 8, pv_kw=(5.0,) * 8)
    )
    pump = row(plan, "heat_pump")
    assert row(plan, "electricity") == pytest.approx(pump * (1 / 3.0 + 0.2 / 8.0) + 0.0, abs=pump.max() * 0.2)
    assert row(plan, "import").max() <= 2.0 - 5.0 + 8.0
    assert np.minimum(row(plan, "import"), row(plan, "export")).max() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_more_freedom_never_costs_more(seed: int) -> None:
    case = random_problem(seed)
    assert case.heat_pump is not None
    assert case.tank is not None
    assert case.import_cap_kw is not None
    tight = solved(case).objective
    wider = tuple(
        replace(state, low_degc=tuple(v - 0.5 for v in state.low_degc), max_heat_kw=1.5 * state.max_heat_kw)
        for state in case.zones
    )
    freer = (
        replace(case, zones=wider),
        replace(case, import_cap_kw=case.import_cap_kw + 2.0),
        replace(case, tank=replace(case.tank, loss_per_step=0.0, standing_loss_kw=0.0)),
    )
    for other in freer:
        assert solved(other).objective <= tight + 1e-7


def test_no_schedule_on_a_coarse_grid_is_better() -> None:
    """Brute force: one zone, one source, three steps, every combination of eleven levels of heat."""
    levels = np.linspace(0.0, 10.0, 11)
    price = (0.1, 0.5, 0.3)
    case = problem(
        (zone(steps=3, low_degc=(20.0, 20.5, 20.5), high_degc=(21.0,) * 3),),
        steps=3,
        heat_pump=None,
        tank=None,
        base_load_kw=(0.0,) * 3,
        gas_price=price,
        weights=Weights(near_per_kh=2.0, far_per_kh=20.0, ramp_per_kw=0.0),
    )
    structure = structure_of(case)
    names = ("offset", "end_temperature", "end_mass")
    layout = {name: slice(place, place + 1) for place, name in enumerate(names)}
    offset, end_air, end_mass = parameters(case, structure, numbers(case, structure), layout, 3)
    heats = np.stack(np.meshgrid(levels, levels, levels, indexing="ij")).reshape(3, -1)
    air, slow = np.full(heats.shape[1], 20.0), np.full(heats.shape[1], 20.0)
    cost = np.full(heats.shape[1], offset)
    keep = 1 - MODEL.outdoor - MODEL.mass
    for step in range(3):
        slow, air = (
            slow + MODEL.mass_rate * (air - slow),
            keep * air + MODEL.mass * slow + MODEL.heat_k_per_kw * heats[step],
        )
        low, high = case.zones[0].low_degc[step], case.zones[0].high_degc[step]
        miss = np.maximum(low - air, 0) + np.maximum(air - high, 0)
        cost += 0.25 * (2.0 * np.minimum(miss, 0.5) + 20.0 * np.maximum(miss - 0.5, 0))
        cost += 0.25 * heats[step] * (price[step] + 0.1 * 0.183) / 0.9
    cost += end_air * air + end_mass * slow
    best = solved(case).objective
    assert best <= cost.min() + 1e-9
    assert best == pytest.approx(cost.min(), abs=0.03)
