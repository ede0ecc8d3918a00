"""A Problem as checked arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimiser.problem import Problem
from optimiser.structure import Structure
from optimiser.thermal import coefficients

Floats = NDArray[np.float64]

NO_LIMIT = 1e30
NO_DRAW_LIMIT = 1e5  # kW, as large as a coefficient may be


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantNumbers:
    """The numbers of the plant; what there is none of gives no heat and holds none."""

    heat_pump_max: Floats  # kW of heat by step
    per_heat: Floats  # kW of electricity per kW of heat, auxiliaries included
    per_hot: Floats  # kW of electricity per kWh of charge while charging at full load
    boiler_max: float
    boiler_efficiency: float
    tank_energy: float
    tank_keep: float  # share of the content left after a step
    tank_capacity: float
    tank_draw: Floats  # kW of heat at an empty tank by step, and more for each kWh of charge
    tank_draw_slope: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The numbers of a Problem; series are (steps,) or (zones, steps), others (zones,) or plain."""

    hours: float  # length of a step
    keep: Floats
    mass: Floats
    neighbour: Floats
    beside: Floats  # coupling of each link of the structure
    heat: Floats
    mass_rate: Floats
    drive: Floats  # K per step from weather, people, gains; the known start is in step 0
    mass_first: Floats
    low: Floats  # as wanted of the plan: a held zone has its held temperature
    high: Floats
    held: NDArray[np.bool_]
    max_heat: Floats
    air_kwh_per_k: Floats
    mass_kwh_per_k: Floats
    initial: Floats
    initial_mass: Floats
    import_price: Floats  # money
    export_price: Floats
    gas_price: Floats
    kg_per_kwh: Floats  # electricity
    net_load: Floats
    import_cap: float
    plant: PlantNumbers


def numbers(problem: Problem, structure: Structure) -> Numbers:
    """Return the Problem's numbers.

    Raises ValueError, naming the zone or series, for a number that is missing, not finite or out of its range, and
    for a series of the wrong length.
    """
    hours = problem.step.total_seconds() / 3600.0
    if hours <= 0:
        raise ValueError("the step must be longer than zero")
    zones = problem.zones
    models = _models(problem)
    low = _rows([zone.low_degc for zone in zones], problem, "lower comfort limit")
    high = _rows([zone.high_degc for zone in zones], problem, "upper comfort limit")
    wrong = np.nonzero((low > high).any(axis=1))[0]
    if wrong.size:
        raise ValueError(f"zone {zones[wrong[0]].id}: the lower comfort limit is above the upper one")
    held = np.array([zone.held_degc is not None for zone in zones])
    if held.any():
        wanted = np.array([[0.0 if zone.held_degc is None else zone.held_degc] for zone in zones])
        _finite(wanted[:, 0], [f"zone {zone.id}: held temperature" for zone in zones])
        low = np.where(held[:, None], wanted, low)
        high = np.where(held[:, None], wanted, high)
    state = np.array([[zone.temperature_degc, zone.mass_degc, zone.max_heat_kw] for zone in zones], dtype=float)
    for column, name in enumerate(("temperature", "mass temperature", "largest heat")):
        _finite(state[:, column], [f"zone {zone.id}: {name}" for zone in zones])
    outdoor = _series(problem.outdoor_degc, problem, "outdoor temperature")
    solar = _series(problem.solar_kw_m2, problem, "solar irradiance")
    drive = _rows([zone.gain_k for zone in zones], problem, "gain")
    drive = drive + models[:, 0:1] * outdoor + models[:, 4:5] * solar
    drive += models[:, 5:6] * _rows([zone.people for zone in zones], problem, "people")
    outdoor_rate, mass, _, heat, _, _, mass_rate = models.T
    joined = coefficients([zone.model for zone in zones], structure.neighbours)
    neighbour, rates = joined.neighbour, joined.neighbour[:, None] * joined.beside
    keep = 1.0 - outdoor_rate - mass - neighbour
    drive[:, 0] += keep * state[:, 0] + mass * state[:, 1] + rates @ state[:, 0]
    air = np.where(heat > 0, hours / np.maximum(heat, 1e-9), 0.0)
    return Numbers(
        hours=hours,
        keep=keep,
        mass=mass,
        neighbour=neighbour,
        beside=np.array([rates[link] for link in structure.links]),
        heat=heat,
        mass_rate=mass_rate,
        drive=drive,
        mass_first=state[:, 1] + mass_rate * (state[:, 0] - state[:, 1]),
        low=low,
        high=high,
        held=held,
        max_heat=np.where(heat > 0, np.maximum(state[:, 2], 0.0), 0.0),
        air_kwh_per_k=air,
        mass_kwh_per_k=np.where(mass_rate > 0, air * mass / np.maximum(mass_rate, 1e-9), 0.0),
        initial=state[:, 0],
        initial_mass=state[:, 1],
        import_price=_series(problem.import_price, problem, "import price"),
        export_price=_series(problem.export_price, problem, "export price"),
        gas_price=_series(problem.gas_price, problem, "gas price"),
        kg_per_kwh=_series(problem.intensity_g_per_kwh, problem, "carbon intensity") / 1000.0,
        net_load=_series(problem.base_load_kw, problem, "base load") - _series(problem.pv_kw, problem, "PV power"),
        import_cap=NO_LIMIT if problem.import_cap_kw is None else _plain(problem.import_cap_kw, "import cap"),
        plant=_plant(problem, hours),
    )


def _plant(problem: Problem, hours: float) -> PlantNumbers:
    per_heat, per_hot, most = _heat_pump(problem)
    boiler, tank = problem.boiler, problem.tank
    boiler_max, efficiency = 0.0, 1.0
    if boiler is not None:
        efficiency = _plain(boiler.efficiency, f"{boiler.id}: efficiency")
        if efficiency <= 0.1:
            raise ValueError(f"{boiler.id}: the efficiency must be above 0.1")
        boiler_max = max(_plain(boiler.max_heat_kw, f"{boiler.id}: largest heat"), 0.0) * boiler.available
    capacity, lost, energy = 0.0, 0.0, 0.0
    draw, draw_slope = np.full(problem.steps, NO_DRAW_LIMIT), np.zeros(problem.steps)
    if tank is not None:
        capacity = max(_plain(tank.capacity_kwh, f"{tank.id}: capacity"), 0.0)
        standing = _plain(tank.standing_loss_kw, f"{tank.id}: standing loss")
        # The standing loss is taken in proportion to the content, exact for a full tank: an empty one cannot lose.
        lost = _plain(tank.loss_per_step, f"{tank.id}: loss") + standing * hours / max(capacity, 1e-6)
        energy = _plain(tank.energy_kwh, f"{tank.id}: energy")
        if tank.draw_kw is not None:
            share = np.ones(problem.steps)
            if tank.open_share:
                share = np.clip(_series(tank.open_share, problem, f"{tank.id}: share of open emitters"), 0.0, 1.0)
            draw = share * max(_plain(tank.draw_kw, f"{tank.id}: heat drawn"), 0.0)
            draw_slope = share * max(_plain(tank.draw_kw_per_kwh, f"{tank.id}: heat drawn by charge"), 0.0)
    return PlantNumbers(
        heat_pump_max=most,
        per_heat=per_heat,
        per_hot=per_hot,
        boiler_max=boiler_max,
        boiler_efficiency=efficiency,
        tank_energy=min(max(energy, 0.0), capacity),
        tank_keep=1.0 - min(max(lost, 0.0), 1.0),
        tank_capacity=capacity,
        tank_draw=draw,
        tank_draw_slope=draw_slope,
    )


def _heat_pump(problem: Problem) -> tuple[Floats, Floats, Floats]:
    """Electricity per heat, electricity per charge held, and the most heat, each by step."""
    nothing = np.zeros(problem.steps)
    pump, tank = problem.heat_pump, problem.tank
    if pump is None:
        return nothing, nothing, nothing
    most = np.maximum(_series(pump.max_heat_kw, problem, f"{pump.id}: largest heat"), 0.0)
    cop = _series(pump.cop, problem, f"{pump.id}: COP")
    if (cop <= 0.1).any():
        raise ValueError(f"{pump.id}: a COP must be above 0.1")
    auxiliary = _plain(pump.auxiliary_kw, f"{pump.id}: auxiliary power")
    per_heat = 1.0 / cop + np.where(most > 0, auxiliary / np.maximum(most, 1e-6), 0.0)
    loss = 0.0 if tank is None else _plain(tank.cop_loss_per_kwh, f"{tank.id}: COP loss")
    return per_heat, loss * most / cop, most if pump.available else nothing


def _models(problem: Problem) -> Floats:
    names = ("outdoor", "mass", "neighbour", "heat_k_per_kw", "solar_k_per_kw_m2", "people_k", "mass_rate")
    rows = [
        (m.outdoor, m.mass, m.neighbour, m.heat_k_per_kw, m.solar_k_per_kw_m2, m.people_k, m.mass_rate)
        for m in (zone.model for zone in problem.zones)
    ]
    models = np.array(rows, dtype=float)
    for column, name in enumerate(names):
        _finite(models[:, column], [f"zone {zone.id}: model {name}" for zone in problem.zones])
    return models


def _rows(rows: list[tuple[float, ...]], problem: Problem, name: str) -> Floats:
    try:
        values = np.array(rows, dtype=float)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape == (len(problem.zones), problem.steps) and np.isfinite(values).all():
        return values
    for zone, row in zip(problem.zones, rows, strict=True):
        _series(row, problem, f"zone {zone.id}: {name}")
    raise ValueError(f"{name}: not a number for each zone and step")


def _series(values: tuple[float, ...], problem: Problem, name: str) -> Floats:
    if len(values) != problem.steps:
        raise ValueError(f"{name}: {len(values)} values for {problem.steps} steps")
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: holds something that is not a number") from None
    bad = np.nonzero(~np.isfinite(array))[0]
    if bad.size:
        raise ValueError(f"{name}: step {bad[0]} is not a finite number")
    return array


def _plain(value: float | None, name: str) -> float:
    if value is None or not np.isfinite(value):
        raise ValueError(f"{name}: {value} is not a finite number")
    return float(value)


def _finite(values: Floats, names: list[str]) -> None:
    bad = np.nonzero(~np.isfinite(values))[0]
    if bad.size:
        raise ValueError(f"{names[bad[0]]} is not a finite number")
