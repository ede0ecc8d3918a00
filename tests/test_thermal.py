from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from problems import MODEL

from optimiser.problem import ZoneModel
from optimiser.thermal import Inputs, coefficients, predict, prior_model, stable

STEP = timedelta(minutes=15)


def inputs(steps: int, zones: int, *, outdoor: float = 0.0, heat: float = 0.0) -> Inputs:
    return Inputs(
        outdoor_degc=np.full(steps, outdoor),
        solar_kw_m2=np.zeros(steps),
        people=np.zeros((steps, zones)),
        heat_kw=np.full((steps, zones), heat),
        gain_k=np.zeros((steps, zones)),
    )


def test_one_step_is_the_written_equation() -> None:
    acting = Inputs(
        outdoor_degc=np.array([3.0]),
        solar_kw_m2=np.array([0.2]),
        people=np.array([[4.0, 0.0]]),
        heat_kw=np.array([[2.0, 0.0]]),
        gain_k=np.array([[0.05, 0.0]]),
    )
    found = predict(coefficients([MODEL, MODEL], [(1,), (0,)]), np.array([20.0, 18.0]), np.array([19.0, 18.0]), acting)
    change = 0.01 * (3 - 20) + 0.1 * (19 - 20) + 0.02 * (18 - 20) + 0.1 * 2 + 0.3 * 0.2 + 0.01 * 4 + 0.05
    assert found[0, 0] == pytest.approx(20.0 + change)
    assert found[0, 1] == pytest.approx(18.0 + 0.01 * (3 - 18) + 0.02 * (20 - 18) + 0.3 * 0.2)


def test_a_building_without_heat_ends_at_the_outdoor_temperature() -> None:
    zones = coefficients([MODEL] * 2, [(1,), (0,)])
    found = predict(zones, np.array([22.0, 18.0]), np.array([20.0, 20.0]), inputs(15000, 2, outdoor=5.0))
    assert found[-1] == pytest.approx([5.0, 5.0], abs=0.01)


def test_steady_heat_balances_the_loss() -> None:
    zones = coefficients([MODEL], [()])
    found = predict(zones, np.array([20.0]), np.array([20.0]), inputs(6000, 1, outdoor=5.0, heat=1.5))
    assert found[-1, 0] == pytest.approx(5.0 + 0.1 * 1.5 / 0.01, abs=0.01)


def test_many_starts_at_once_equal_one_after_the_other() -> None:
    random = np.random.default_rng(1)
    zones = coefficients([MODEL, replace(MODEL, heat_k_per_kw=0.2)], [(1,), (0,)])
    begin, mass = random.uniform(15, 22, (3, 2)), random.uniform(15, 22, (3, 2))
    outdoor, heat = random.uniform(-5, 10, (10, 3)), random.uniform(0, 5, (10, 3, 2))
    none = np.zeros((10, 3, 2))
    together = predict(
        zones,
        begin,
        mass,
        Inputs(outdoor_degc=outdoor, solar_kw_m2=np.zeros((10, 3)), people=none, heat_kw=heat, gain_k=none),
    )
    for start in range(3):
        alone = predict(
            zones,
            begin[start],
            mass[start],
            Inputs(
                outdoor_degc=outdoor[:, start],
                solar_kw_m2=np.zeros(10),
                people=none[:, 0],
                heat_kw=heat[:, start],
                gain_k=none[:, 0],
            ),
        )
        assert together[:, start] == pytest.approx(alone)


def test_weather_of_one_run_is_shared_by_many_starts() -> None:
    zones = coefficients([MODEL], [()])
    heat = np.zeros((5, 3, 1))
    acting = Inputs(outdoor_degc=np.arange(5.0), solar_kw_m2=np.zeros(5), people=heat, heat_kw=heat, gain_k=heat)
    found = predict(zones, np.full((3, 1), 20.0), np.full((3, 1), 20.0), acting)
    assert found[:, 0] == pytest.approx(found[:, 2])


def test_what_one_room_gains_from_the_next_that_one_loses() -> None:
    """Also where the models disagree, and where only one of them names the other."""
    rooms = [
        replace(MODEL, outdoor=0.0, mass=0.0, neighbour=0.08, heat_k_per_kw=0.2),
        replace(MODEL, outdoor=0.0, mass=0.0, neighbour=0.01, heat_k_per_kw=0.05),
        replace(MODEL, outdoor=0.0, mass=0.0, neighbour=0.02, heat_k_per_kw=0.1),
    ]
    capacity = np.array([1 / 0.2, 1 / 0.05, 1 / 0.1])
    begin = np.array([24.0, 16.0, 20.0])
    found = predict(coefficients(rooms, [(1, 2), (), ()]), begin, begin, inputs(400, 3))
    assert found @ capacity == pytest.approx(np.full(400, begin @ capacity))
    assert found[-1] == pytest.approx(np.full(3, begin @ capacity / capacity.sum()), abs=0.1)


def test_a_zone_without_neighbours_feels_none() -> None:
    assert coefficients([MODEL], [()]).neighbour.tolist() == [0.0]


@pytest.mark.parametrize(("area", "emitter"), [(80.0, 9.0), (260.0, 28.0), (140.0, 0.0)])
def test_the_prior_is_a_stable_building_of_that_size(area: float, emitter: float) -> None:
    model = prior_model(area, emitter, STEP)
    assert stable(coefficients([model], [()]))
    assert model.fitted_rmse_k is None
    hours = 0.25
    air_kwh_per_k = hours / model.heat_k_per_kw
    loss_w_per_m2 = model.outdoor * air_kwh_per_k / hours / area * 1000
    assert 1.3 <= loss_w_per_m2 <= 3.6
    assert model.outdoor + model.mass + model.neighbour < 0.5


def test_a_prior_for_a_shorter_step_is_the_same_building() -> None:
    quarter, minute = prior_model(200.0, 20.0, STEP), prior_model(200.0, 20.0, timedelta(minutes=1))
    assert quarter.outdoor == pytest.approx(15 * minute.outdoor)
    assert quarter.mass_rate == pytest.approx(15 * minute.mass_rate)


def test_a_coupling_stronger_than_the_step_is_not_stable() -> None:
    wild = ZoneModel(
        outdoor=0.5,
        mass=1.8,
        neighbour=0.0,
        heat_k_per_kw=0.1,
        solar_k_per_kw_m2=0.0,
        people_k=0.0,
        mass_rate=0.1,
    )
    assert not stable(coefficients([wild], [()]))
