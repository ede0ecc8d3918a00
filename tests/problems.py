"""Small Problems with numbers one can follow, for the optimiser's tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from optimiser.problem import BoilerState, HeatPumpState, Problem, TankState, Weights, ZoneModel, ZoneState

START = datetime(2023, 2, 6, tzinfo=UTC)
STEP = timedelta(minutes=15)
MODEL = ZoneModel(
    outdoor=0.01, mass=0.1, neighbour=0.02, heat_k_per_kw=0.1, solar_k_per_kw_m2=0.3, people_k=0.01, mass_rate=0.01
)


def zone(name: str = "hall", *, steps: int = 8, neighbours: tuple[str, ...] = (), **changes: object) -> ZoneState:
    state = ZoneState(
        id=name,
        model=MODEL,
        temperature_degc=20.0,
        mass_degc=20.0,
        neighbours=neighbours,
        low_degc=(20.0,) * steps,
        high_degc=(23.0,) * steps,
        people=(0.0,) * steps,
        gain_k=(0.0,) * steps,
        max_heat_kw=10.0,
    )
    return replace(state, **changes)  # type: ignore[arg-type]  # the test says which fields


def problem(zones: tuple[ZoneState, ...] | None = None, *, steps: int = 8, **changes: object) -> Problem:
    """One zone, a heat pump, a boiler and a tank in mild frost, at flat prices."""
    made = Problem(
        start=START,
        step=STEP,
        zones=zones or (zone(steps=steps),),
        heat_pump=HeatPumpState(
            id="heat_pump", max_heat_kw=(8.0,) * steps, cop=(3.0,) * steps, auxiliary_kw=0.2, min_share=0.3
        ),
        boiler=BoilerState(id="boiler", max_heat_kw=20.0, efficiency=0.9),
        tank=TankState(
            id="tank",
            capacity_kwh=20.0,
            energy_kwh=5.0,
            loss_per_step=0.002,
            standing_loss_kw=0.05,
            cop_loss_per_kwh=0.02,
        ),
        outdoor_degc=(0.0,) * steps,
        solar_kw_m2=(0.0,) * steps,
        base_load_kw=(2.0,) * steps,
        pv_kw=(0.0,) * steps,
        import_price=(0.25,) * steps,
        export_price=(0.05,) * steps,
        gas_price=(0.07,) * steps,
        intensity_g_per_kwh=(200.0,) * steps,
        gas_kg_per_kwh=0.183,
        carbon_price_per_kg=0.1,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the test says which fields


def random_problem(seed: int, *, zones: int = 3, steps: int = 24, weights: Weights | None = None) -> Problem:
    """A Problem with every series, state and model drawn at random."""
    random = np.random.default_rng(seed)

    def series(low: float, high: float) -> tuple[float, ...]:
        return tuple(random.uniform(low, high, steps).tolist())

    names = [f"zone{index}" for index in range(zones)]
    occupied = random.random(steps) < 0.6
    states = tuple(
        zone(
            name,
            steps=steps,
            neighbours=tuple(names[:index] + names[index + 1 :]),
            model=replace(
                MODEL,
                outdoor=random.uniform(0.005, 0.02),
                mass=random.uniform(0.05, 0.2),
                heat_k_per_kw=random.uniform(0.05, 0.2),
                mass_rate=random.uniform(0.005, 0.02),
            ),
            temperature_degc=random.uniform(17.0, 22.0),
            mass_degc=random.uniform(17.0, 21.0),
            low_degc=tuple(np.where(occupied, 20.0, 12.0).tolist()),
            high_degc=tuple(np.where(occupied, 23.0, 26.0).tolist()),
            people=series(0.0, 10.0),
            gain_k=series(-0.02, 0.03),
            max_heat_kw=random.uniform(4.0, 12.0),
        )
        for index, name in enumerate(names)
    )
    pump = HeatPumpState(
        id="heat_pump",
        max_heat_kw=series(3.0 * zones, 6.0 * zones),
        cop=series(2.0, 4.0),
        auxiliary_kw=0.1 * zones,
        min_share=0.3,
    )
    return problem(
        states,
        steps=steps,
        heat_pump=pump,
        outdoor_degc=series(-5.0, 10.0),
        solar_kw_m2=series(0.0, 0.4),
        base_load_kw=series(0.0, 10.0),
        pv_kw=series(0.0, 8.0),
        import_price=series(0.05, 0.4),
        export_price=series(0.0, 0.3),
        gas_price=series(0.05, 0.1),
        intensity_g_per_kwh=series(50.0, 300.0),
        import_cap_kw=random.uniform(4.0, 12.0),
        weights=weights or Weights(),
    )
