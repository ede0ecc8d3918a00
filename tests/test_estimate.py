"""What no sensor shows: masses, disturbances, heat by zone, base load, and how far back all of it is known."""

from datetime import timedelta

import numpy as np
import pytest

from config.site import Fuel
from controller.estimate import DAY_STEPS, Estimator
from controller.history import STEP, History
from controller.learned import priors
from controller.occupancy import Occupancy
from drivers.base import Reading
from site_sims.learning import history_of
from tests.conftest import EPOCH
from tests.town_hall import town_hall_site

SITE = town_hall_site()
LEARNED = priors(SITE)
HALL, OUTDOOR = "townhall.hall.temperature", "townhall.outdoor.temperature"
FLOW, VALVE = "townhall.circuit.flow_temperature", "townhall.hall.valve"
IMPORT, PV, PUMP = "townhall.grid.electricity_kw", "townhall.pv.kw", "townhall.heat_pump.electricity_kw"
GAS = "townhall.grid.gas_kwh"


def remember(rows: list[dict[str, float]]) -> History:
    """Quarter hours from EPOCH on with these values."""
    history = history_of(SITE)
    for step, values in enumerate(rows):
        when = EPOCH + step * STEP
        history.add([Reading(point=p, time=when, received=when, value=v) for p, v in values.items()], when)
    history.close(EPOCH + len(rows) * STEP)
    return history


def estimator(rows: list[dict[str, float]]) -> Estimator:
    return Estimator(SITE, remember(rows), Occupancy(SITE))


def test_without_a_history_everything_has_a_default() -> None:
    made = estimator([])
    made.renew(LEARNED)
    assert len(made) == 0
    assert made.mass("hall", 17.5) == 17.5
    assert made.disturbance_k("hall") == 0.0
    assert made.base_load_kw(EPOCH, 4).tolist() == [0.0] * 4
    assert made.local_steps(3).shape in {(0,), (3,)}
    assert made.power_by_register(Fuel.GAS).shape == (0,)


def test_walls_are_shared_from_both_sides() -> None:
    beside = estimator([]).neighbours
    for zone, others in beside.items():
        assert zone not in others
        assert all(zone in beside[other] for other in others)
    assert set(beside["hall"]) == {"council", "library", "reception"}


def test_the_mass_follows_the_air_slowly() -> None:
    rate = LEARNED.zones["hall"].mass_rate
    degc = [18.0] * 300 + [21.0] * 40
    made = estimator([{HALL: value} for value in degc])
    made.renew(LEARNED)
    mass, weight = 0.0, 0.0
    for value in degc:
        mass, weight = mass + rate * (value - mass), weight + rate * (1.0 - weight)
    assert made.mass("hall", 0.0) == pytest.approx(mass / weight)
    assert 18.0 < made.mass("hall", 0.0) < 21.0


def test_gaps_do_not_pull_the_mass_anywhere() -> None:
    rows: list[dict[str, float]] = [{HALL: 20.0} if n % 3 else {} for n in range(200)]
    made = estimator(rows)
    made.renew(LEARNED)
    assert made.mass("hall", 0.0) == pytest.approx(20.0)
    assert made.mass("council", 19.0) == 19.0, "a zone that never spoke"


def test_estimates_are_made_anew_only_when_a_quarter_hour_has_ended_or_the_models_changed() -> None:
    history = remember([{HALL: 20.0}] * 10)
    made = Estimator(SITE, history, Occupancy(SITE))
    made.renew(LEARNED)
    first = made._mass
    made.renew(LEARNED)
    assert made._mass is first
    made.renew(priors(SITE))
    assert made._mass is not first
    second = made._mass
    history.close(EPOCH + 12 * STEP)
    made.renew(made._made_for or LEARNED)
    assert made._mass is not second


def test_heat_that_nothing_explains_is_the_disturbance() -> None:
    zones = estimator([]).ids
    steady = {OUTDOOR: 18.0, "townhall.outdoor.solar": 0.0, FLOW: 20.0}
    steady |= dict.fromkeys((f"townhall.{zone}.valve" for zone in zones), 0.0)
    rows = [
        steady | dict.fromkeys((f"townhall.{zone}.temperature" for zone in zones), 20.0 + 0.1 * (step % 2))
        for step in range(2 * DAY_STEPS)
    ]
    made = estimator(rows)
    made.renew(LEARNED)
    needed = LEARNED.zones["hall"].outdoor * 2.05  # K a step that keep it at 20 degC with 18 outdoors
    assert made.disturbance_k("hall") == pytest.approx(needed, rel=0.1)


def test_an_emitters_heat_is_by_valve_flow_and_rating() -> None:
    rows = [{HALL: 20.0, FLOW: 70.0, VALVE: valve} for valve in (0.0, 50.0, 100.0)] + [
        {HALL: 20.0, FLOW: 15.0, VALVE: 100.0}
    ]
    heat = estimator(rows).rated_heat_kw()[:, 0]
    np.testing.assert_allclose(heat, [0.0, 14.0, 28.0, 0.0])


def test_power_comes_from_the_rise_of_a_register() -> None:
    power = estimator([{GAS: 5.0 * step} for step in range(6)]).power_by_register(Fuel.GAS)
    np.testing.assert_allclose(power, [np.nan, 20.0, 20.0, 20.0, 20.0, np.nan], equal_nan=True)
    assert np.isnan(estimator([{HALL: 20.0}] * 5).power_by_register(Fuel.PV)).all(), "no such meter"


def test_the_base_load_is_what_is_not_ours_to_move() -> None:
    made = estimator([{IMPORT: 12.0, PV: 3.0, PUMP: 5.0}] * (3 * DAY_STEPS) + [{IMPORT: 8.0}])
    past = made.past_base_load_kw(None)
    assert past[0] == pytest.approx(10.0)
    assert past[-1] == pytest.approx(8.0), "a silent sub-meter counts nothing"
    ahead = made.base_load_kw(EPOCH + timedelta(days=3) + STEP, 8)
    assert ahead.shape == (8,)
    assert (ahead > 7.0).all()
    assert (ahead < 11.0).all()


def test_a_heat_pump_runs_flat_out_where_nothing_holds_it_back() -> None:
    free = {
        "townhall.heat_pump.capacity_limit": 100.0,
        "townhall.tank.setpoint": 50.0,
        "townhall.tank.temperature": 40.0,
        "townhall.heat_pump.running": 1.0,
    }
    rows = [
        free,
        free | {"townhall.heat_pump.capacity_limit": 60.0},
        free | {"townhall.tank.temperature": 47.0},
        free | {"townhall.heat_pump.running": 0.0},
    ]
    assert estimator(rows).flat_out("heat_pump").tolist() == [True, False, False, False]


def test_the_usual_flow_is_hotter_in_the_cold_and_known_without_a_sensor() -> None:
    made = estimator([])
    flows = made.usual_flow(np.array([-25.0, -10.0, 0.0, 10.0, 20.0, 30.0, np.nan]))
    assert (np.diff(flows[:5]) < 0).all()
    assert flows[4] == flows[5] == 20.0
    assert flows[6] == made.usual_flow(np.array([5.0]))[0]
    assert flows[0] <= 70.0
