"""The Pyomo model: zones, plant, storage, grid, comfort and carbon as one linear programme.

Everything that changes from plan to plan is a *parameter*: a Var on the block `theta`, multiplied at most once with a
decision. `compile.py` turns that into arrays that are affine in theta; Pyomo's own solvers see the same model once the
parameters are fixed, which is the reference in the tests.

Heat moves like this: the heat pump charges the tank (or, without one, feeds the circuit), the tank and the boiler feed
the circuit, the circuit feeds the zones. Powers are kW, the tank kWh, temperatures degC, costs money for the horizon.

The heat pump's fixed auxiliaries are relaxed: it is on for the share heat / max_heat of a step, so they add a constant
to its electricity per kWh of heat. A lowest part load does not change that (the relaxation is the convex envelope of
"off, or between lowest and full load"), so it is no constraint here; a tank makes it true by cycling.

Emitters take less from cooler water: what the tank gives in a step is limited by its charge at the step's beginning and
by how many emitters are open then.

Electricity for charging a hot tank is heat x charge held, which is not linear. We use its convex envelope over the box
[0, max_heat] x [0, capacity]: exact at full load, at an empty and at a full tank, below the truth between.
"""

from typing import Any

import pyomo.environ as pyo
from pyomo.common.gc_manager import PauseGC

from optimiser.structure import Structure


def build(structure: Structure) -> Any:
    """Make the ConcreteModel for every Problem of this structure, its parameters on `model.theta`."""
    with PauseGC():
        model = pyo.ConcreteModel()
        model.Z = pyo.RangeSet(0, len(structure.zones) - 1)
        model.K = pyo.RangeSet(0, structure.steps - 1)
        model.later = pyo.RangeSet(1, structure.steps - 1)
        model.theta = pyo.Block()
        costs = [*_zones(model, structure), *_heat(model, structure), *_grid(model, structure)]
        model.theta.offset = pyo.Var()
        costs.append(model.theta.offset)
        model.cost = pyo.Objective(expr=pyo.quicksum(costs))
    return model


def _zones(model: Any, structure: Structure) -> list[Any]:
    """Two states a zone (see `ZoneModel`), and a band that may be left at a price."""
    theta, zones, steps = model.theta, model.Z, model.K
    for name in ("keep", "mass", "heat", "mass_rate", "mass_first", "max_heat"):
        setattr(theta, name, pyo.Var(zones))
    for name in ("near_low", "far_low", "near_high", "far_high", "end_temperature", "end_mass"):
        setattr(theta, name, pyo.Var(zones))
    for name in ("drive", "low", "high"):
        setattr(theta, name, pyo.Var(zones, steps))
    theta.near_width = pyo.Var()
    theta.beside = pyo.Var(range(len(structure.links)))
    link = {pair: number for number, pair in enumerate(structure.links)}
    model.temperature = pyo.Var(zones, steps)
    model.mass = pyo.Var(zones, steps)
    model.heat = pyo.Var(zones, steps, within=pyo.NonNegativeReals)
    for name in ("below", "far_below", "above", "far_above"):
        setattr(model, name, pyo.Var(zones, steps, within=pyo.NonNegativeReals))

    def air(m: Any, z: int, k: int) -> Any:
        if k == 0:  # the known start is part of `drive`
            return m.temperature[z, 0] - theta.heat[z] * m.heat[z, 0] == theta.drive[z, 0]
        beside = structure.neighbours[z]
        coupling = sum(theta.beside[link[z, n]] * m.temperature[n, k - 1] for n in beside)
        return (
            m.temperature[z, k]
            - theta.keep[z] * m.temperature[z, k - 1]
            - theta.mass[z] * m.mass[z, k - 1]
            - coupling
            - theta.heat[z] * m.heat[z, k]
            == theta.drive[z, k]
        )

    def fabric(m: Any, z: int, k: int) -> Any:
        if k == 0:
            return m.mass[z, 0] == theta.mass_first[z]
        return (
            m.mass[z, k] - (1 - theta.mass_rate[z]) * m.mass[z, k - 1] - theta.mass_rate[z] * m.temperature[z, k - 1]
            == 0
        )

    def felt(m: Any, z: int, k: int) -> Any:
        return m.temperature[z, k] + m.below[z, k] + m.far_below[z, k] - m.above[z, k] - m.far_above[z, k]

    model.air = pyo.Constraint(zones, steps, rule=air)
    model.fabric = pyo.Constraint(zones, steps, rule=fabric)
    model.comfort_low = pyo.Constraint(zones, steps, rule=lambda m, z, k: felt(m, z, k) >= theta.low[z, k])
    model.comfort_high = pyo.Constraint(zones, steps, rule=lambda m, z, k: felt(m, z, k) <= theta.high[z, k])
    model.near_below = pyo.Constraint(zones, steps, rule=lambda m, z, k: m.below[z, k] <= theta.near_width)
    model.near_above = pyo.Constraint(zones, steps, rule=lambda m, z, k: m.above[z, k] <= theta.near_width)
    model.emitter = pyo.Constraint(zones, steps, rule=lambda m, z, k: m.heat[z, k] <= theta.max_heat[z])
    last = structure.steps - 1
    discomfort = [
        theta.near_low[z] * model.below[z, k]
        + theta.far_low[z] * model.far_below[z, k]
        + theta.near_high[z] * model.above[z, k]
        + theta.far_high[z] * model.far_above[z, k]
        for z in zones
        for k in steps
    ]
    stored = [
        theta.end_temperature[z] * model.temperature[z, last] + theta.end_mass[z] * model.mass[z, last] for z in zones
    ]
    return [*discomfort, *stored]


def _heat(model: Any, structure: Structure) -> list[Any]:
    """Heat pump, tank and boiler feed the zones; each rise of a plant's heat has a small price."""
    theta, steps = model.theta, model.K
    theta.hours = pyo.Var()
    theta.rise = pyo.Var()
    supply: list[Any] = []
    costs: list[Any] = []
    if structure.heat_pump:
        theta.heat_pump_max = pyo.Var(steps)
        model.heat_pump = pyo.Var(steps, within=pyo.NonNegativeReals)
        model.heat_pump_limit = pyo.Constraint(steps, rule=lambda m, k: m.heat_pump[k] <= theta.heat_pump_max[k])
        costs += _rises(model, "heat_pump")
        supply.append(model.heat_pump)
    if structure.tank:
        supply = [_tank(model)]
        last = structure.steps - 1
        theta.end_tank = pyo.Var()
        costs.append(theta.end_tank * model.tank[last])
    if structure.boiler:
        theta.boiler_max = pyo.Var()
        theta.boiler_cost = pyo.Var(steps)
        model.boiler = pyo.Var(steps, within=pyo.NonNegativeReals)
        model.boiler_limit = pyo.Constraint(steps, rule=lambda m, k: m.boiler[k] <= theta.boiler_max)
        costs += [theta.boiler_cost[k] * model.boiler[k] for k in steps]
        costs += _rises(model, "boiler")
        supply.append(model.boiler)
    model.balance = pyo.Constraint(
        steps, rule=lambda m, k: sum(part[k] for part in supply) - sum(m.heat[z, k] for z in m.Z) == 0
    )
    return costs


def _tank(model: Any) -> Any:
    """Add the tank's energy at the end of each step and its discharge; return the discharge."""
    theta, steps = model.theta, model.K
    theta.tank_first = pyo.Var()
    theta.tank_keep = pyo.Var()
    theta.tank_max = pyo.Var()
    theta.draw = pyo.Var(steps)
    theta.draw_slope = pyo.Var(model.later)
    theta.held_share = pyo.Var(steps)
    model.tank = pyo.Var(steps, within=pyo.NonNegativeReals)
    model.discharge = pyo.Var(steps, within=pyo.NonNegativeReals)
    model.hot = pyo.Var(steps, within=pyo.NonNegativeReals)  # envelope of heat x charge / max_heat, in kWh

    def content(m: Any, k: int) -> Any:
        before = theta.tank_first if k == 0 else theta.tank_keep * m.tank[k - 1]
        return m.tank[k] - theta.hours * m.heat_pump[k] + theta.hours * m.discharge[k] == before

    def envelope(m: Any, k: int) -> Any:
        # heat x charge >= max_heat x charge + capacity x heat - max_heat x capacity, divided by max_heat
        return m.hot[k] - m.tank[k] - theta.held_share[k] * m.heat_pump[k] >= -theta.tank_max

    def draw(m: Any, k: int) -> Any:
        held = theta.draw_slope[k] * m.tank[k - 1] if k else 0.0  # the known start is part of `draw`
        return m.discharge[k] - held <= theta.draw[k]

    model.tank_draw = pyo.Constraint(steps, rule=draw)
    model.tank_content = pyo.Constraint(steps, rule=content)
    model.tank_limit = pyo.Constraint(steps, rule=lambda m, k: m.tank[k] <= theta.tank_max)
    model.tank_hot = pyo.Constraint(steps, rule=envelope)
    return model.discharge


def _rises(model: Any, plant: str) -> list[Any]:
    heat = getattr(model, plant)
    rise = pyo.Var(model.later, within=pyo.NonNegativeReals)
    setattr(model, f"{plant}_rise", rise)
    setattr(
        model,
        f"{plant}_ramp",
        pyo.Constraint(model.later, rule=lambda _m, k: heat[k] - heat[k - 1] - rise[k] <= 0),
    )
    return [model.theta.rise * rise[k] for k in model.later]


def _grid(model: Any, structure: Structure) -> list[Any]:
    """Add what is bought and sold; buying beyond the cap is possible at the cap's price."""
    theta, steps = model.theta, model.K
    for name in ("net_load", "import_cost", "export_cost", "import_cap"):
        setattr(theta, name, pyo.Var(steps))
    theta.over_cost = pyo.Var()
    model.bought = pyo.Var(steps, within=pyo.NonNegativeReals)
    model.over = pyo.Var(steps, within=pyo.NonNegativeReals)
    model.sold = pyo.Var(steps, within=pyo.NonNegativeReals)
    if structure.heat_pump:
        theta.per_heat = pyo.Var(steps)
    if structure.tank:
        theta.per_hot = pyo.Var(steps)

    def power(m: Any, k: int) -> Any:
        ours = theta.per_heat[k] * m.heat_pump[k] if structure.heat_pump else 0.0
        hot = theta.per_hot[k] * m.hot[k] if structure.tank else 0.0
        return m.bought[k] + m.over[k] - m.sold[k] - ours - hot == theta.net_load[k]

    model.power = pyo.Constraint(steps, rule=power)
    model.cap = pyo.Constraint(steps, rule=lambda m, k: m.bought[k] <= theta.import_cap[k])
    return [
        theta.import_cost[k] * (model.bought[k] + model.over[k])
        + theta.over_cost * model.over[k]
        + theta.export_cost[k] * model.sold[k]
        for k in steps
    ]
