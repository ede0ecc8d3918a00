"""The numbers of a Problem as the parameters of the compiled model."""

from datetime import timedelta

import numpy as np

from optimiser.numbers import Floats, Numbers
from optimiser.problem import Problem
from optimiser.structure import Structure

REACH = timedelta(hours=6)  # heat left at the end of the horizon serves the hours after it


def parameters(problem: Problem, structure: Structure, values: Numbers, layout: dict[str, slice], size: int) -> Floats:
    """Return theta for the compiled model, in its layout."""
    theta = np.empty(size)
    weights, hours, steps = problem.weights, values.hours, structure.steps
    electricity = values.import_price + problem.carbon_price_per_kg * values.kg_per_kwh
    gas = (values.gas_price + problem.carbon_price_per_kg * problem.gas_kg_per_kwh) / values.plant.boiler_efficiency
    end = end_value(values, electricity, gas)
    loss = np.where(values.mass_kwh_per_k + values.air_kwh_per_k > 0, _outdoor_rate(values), 0.0)
    kept = end * np.maximum(1.0 - loss, 0.0) ** (REACH.total_seconds() / 3600.0 / hours)
    near = np.where(values.held, weights.far_per_kh, weights.near_per_kh) * hours
    far = np.full(len(structure.zones), weights.far_per_kh * hours)
    parts: dict[str, Floats | float] = {
        "keep": values.keep,
        "mass": values.mass,
        "beside": values.beside,
        "heat": values.heat,
        "mass_rate": values.mass_rate,
        "mass_first": values.mass_first,
        "max_heat": values.max_heat,
        "near_low": near,
        "far_low": far,
        "near_high": near,
        "far_high": far,
        "end_temperature": -kept * values.air_kwh_per_k,
        "end_mass": -kept * values.mass_kwh_per_k,
        "drive": values.drive.ravel(),
        "low": values.low.ravel(),
        "high": values.high.ravel(),
        "near_width": weights.near_k,
        "hours": hours,
        "rise": weights.ramp_per_kw,
        "net_load": values.net_load,
        "import_cost": electricity * hours,
        # Selling for more than buying costs would be a pump that earns money from nothing.
        "export_cost": -np.minimum(values.export_price, electricity - 1e-6) * hours,
        "import_cap": np.full(steps, values.import_cap),
        "over_cost": weights.cap_per_kwh * hours,
        "offset": float(
            (kept * (values.air_kwh_per_k * values.initial + values.mass_kwh_per_k * values.initial_mass)).sum()
            + end * values.plant.tank_energy
        ),
    }
    if structure.heat_pump:
        parts |= {"heat_pump_max": values.plant.heat_pump_max, "per_heat": values.plant.per_heat}
    if structure.boiler:
        parts |= {"boiler_max": values.plant.boiler_max, "boiler_cost": gas * hours}
    if structure.tank:
        most = values.plant.heat_pump_max
        draw = values.plant.tank_draw.copy()
        draw[0] += values.plant.tank_draw_slope[0] * values.plant.tank_energy
        parts |= {
            "tank_first": values.plant.tank_energy * values.plant.tank_keep,
            "tank_keep": values.plant.tank_keep,
            "tank_max": values.plant.tank_capacity,
            "draw": draw,
            "draw_slope": values.plant.tank_draw_slope[1:],
            "held_share": np.where(most > 0, values.plant.tank_capacity / np.maximum(most, 1e-6), 0.0),
            # Where electricity is paid to be used, the envelope would burn it for nothing.
            "per_hot": np.where(electricity > 0, values.plant.per_hot, 0.0),
            "end_tank": -end,
        }
    for name, place in layout.items():
        theta[place] = parts[name]
    return theta


def heat_price(values: Numbers, electricity: Floats, gas: Floats) -> Floats:
    """Return money per kWh of heat from the cheapest plant there is, by step; 0 without any."""
    pump = np.where(values.plant.heat_pump_max > 0, electricity * values.plant.per_heat, np.inf)
    boiler = gas if values.plant.boiler_max > 0 else np.full_like(gas, np.inf)
    price = np.minimum(pump, boiler)
    return np.where(np.isfinite(price), price, 0.0)


def end_value(values: Numbers, electricity: Floats, gas: Floats) -> float:
    """Return money per kWh of heat still stored when the horizon ends.

    The mean price of heat, but not more than heat costs in the last hour: what is cheap to buy then is not worth
    hoarding until then.
    """
    price = heat_price(values, electricity, gas)
    last = max(1, round(1.0 / values.hours))
    return max(0.0, min(float(price.mean()), 0.98 * float(price[-last:].mean())))


def _outdoor_rate(values: Numbers) -> Floats:
    """Share of a zone's heat lost outdoors each step when air and mass move together."""
    outdoor = 1.0 - values.keep - values.mass - values.neighbour
    total = values.air_kwh_per_k + values.mass_kwh_per_k
    return outdoor * values.air_kwh_per_k / np.maximum(total, 1e-9)
