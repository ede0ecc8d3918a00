import numpy as np
import pytest

from optimiser.plant import heat_pump_curve, identify_plant

OUTDOOR = np.linspace(-10, 15, 200)


def test_the_curve_is_exact_at_its_rating() -> None:
    heat, cop = heat_pump_curve(60.0, 4.1, 7.0, 35.0)
    assert heat == pytest.approx(60.0)
    assert cop == pytest.approx(4.1)


def test_hotter_water_and_colder_air_cost_efficiency_and_output() -> None:
    flows = np.linspace(25.0, 60.0, 20)
    heat, cop = heat_pump_curve(60.0, 4.1, 2.0, flows)
    assert (np.diff(cop) < 0).all()
    assert (np.diff(heat) < 0).all()
    cold, mild = heat_pump_curve(60.0, 4.1, np.array([-10.0, 10.0]), 45.0)[1]
    assert cold < 0.8 * mild


def test_the_curve_is_near_the_data_sheets() -> None:
    """Ranges of the EN 14511 figures of large air-water machines with COP 4.1 at A7/W35."""
    for outdoor, flow, low, high in (
        (-7.0, 35.0, 2.4, 3.2),
        (2.0, 35.0, 3.0, 3.8),
        (7.0, 45.0, 3.0, 3.5),
        (7.0, 55.0, 2.4, 3.0),
    ):
        assert low < heat_pump_curve(60.0, 4.1, outdoor, flow)[1] < high


def test_frost_costs_most_about_freezing() -> None:
    _, cop = heat_pump_curve(60.0, 4.1, np.array([-8.0, 1.0, 9.0]), 40.0)
    smooth = cop[0] + (cop[2] - cop[0]) * 9.0 / 17.0
    assert cop[1] < 0.97 * smooth


def metered(cop_scale: float, capacity: float, *, noise: float = 0.2) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    most, cop = heat_pump_curve(60.0, 4.1, OUTDOOR, 42.0)
    share = np.where(random.random(200) < 0.3, 0.0, random.uniform(0.3, 1.0, 200))
    share[::5] = 1.0
    heat = share * most * capacity
    power = np.where(heat > 0, heat / (cop * cop_scale) + 0.9, 0.05) + random.normal(0, noise, 200)
    return {"rated_cop": cop, "rated_max_kw": most, "heat_pump_heat_kw": heat, "heat_pump_electricity_kw": power}


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.15])
def test_the_true_efficiency_is_found(scale: float) -> None:
    found = identify_plant(**metered(scale, 1.0), auxiliary_kw=0.9)
    assert found.heat_pump_cop == pytest.approx(scale, rel=0.02)
    assert "COP" in found.reason


def test_a_capacity_below_the_curve_needs_proof_that_it_ran_flat_out() -> None:
    series = metered(1.0, 0.8)
    flat_out = np.zeros(200, dtype=bool)
    flat_out[::5] = True
    assert identify_plant(**series, auxiliary_kw=0.9).heat_pump_capacity == 1.0
    repeated = {name: np.tile(values, 3) for name, values in series.items()}
    found = identify_plant(**repeated, auxiliary_kw=0.9, flat_out=np.tile(flat_out, 3))
    assert found.heat_pump_capacity == pytest.approx(0.8, rel=0.01)
    assert identify_plant(**metered(1.0, 1.2), auxiliary_kw=0.9).heat_pump_capacity == pytest.approx(1.2, rel=0.02)


def test_too_few_running_hours_keep_the_rated_curve() -> None:
    series = {name: values[:40] for name, values in metered(0.8, 1.0).items()}
    found = identify_plant(**series, auxiliary_kw=0.9)
    assert (found.heat_pump_cop, found.heat_pump_capacity, found.boiler_efficiency) == (1.0, 1.0, 1.0)
    assert "too few" in found.reason


def test_holes_in_the_meters_are_left_out() -> None:
    series = metered(0.9, 1.0)
    series["heat_pump_electricity_kw"][::3] = np.nan
    assert identify_plant(**series, auxiliary_kw=0.9).heat_pump_cop == pytest.approx(0.9, rel=0.03)


def test_the_boiler_efficiency_is_heat_over_gas() -> None:
    random = np.random.default_rng(2)
    heat = np.where(random.random(200) < 0.5, random.uniform(10, 100, 200), 0.0)
    gas = heat / 0.8
    found = identify_plant(
        **metered(1.0, 1.0), auxiliary_kw=0.9, boiler_heat_kw=heat, gas_kw=gas, rated_efficiency=0.88
    )
    assert found.boiler_efficiency == pytest.approx(0.8 / 0.88)
