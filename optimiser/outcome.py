"""The solver's numbers as a Plan."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimiser.numbers import Floats, Numbers
from optimiser.problem import Plan, Problem, Series, Status
from optimiser.structure import Structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What a solve found."""

    status: Status
    columns: dict[str, NDArray[np.int32]]  # where each decision is in `values`
    values: Floats
    row_duals: dict[str, Floats]  # by constraint, for those asked for
    objective: float
    solve_s: float

    def value(self, name: str) -> Floats:
        """Return a decision's values, shaped like its index sets; KeyError where the model has none such."""
        return self.values[self.columns[name]]


def plan(problem: Problem, structure: Structure, values: Numbers, solution: Solution) -> Plan:
    """Make the Plan; money and carbon are of what is bought and burnt, without any priced wish."""
    nothing = np.zeros(structure.steps)
    temperature, heat = solution.value("temperature"), solution.value("heat")
    pump = solution.value("heat_pump") if structure.heat_pump else nothing
    boiler = solution.value("boiler") if structure.boiler else nothing
    tank = solution.value("tank") if structure.tank else nothing
    bought = solution.value("bought") + solution.value("over")
    sold = solution.value("sold")
    electricity = pump * values.plant.per_heat
    if structure.tank:
        electricity = electricity + solution.value("hot") * values.plant.per_hot
    gas = boiler / values.plant.boiler_efficiency
    hours = values.hours
    rows = {f"temperature:{name}": row for name, row in zip(structure.zones, temperature, strict=True)}
    rows |= {f"heat:{name}": row for name, row in zip(structure.zones, heat, strict=True)}
    rows |= {"heat_pump": pump, "boiler": boiler, "import": bought, "export": sold, "electricity": electricity}
    units = {"tank": "kWh"}
    if structure.tank:
        rows["tank"] = tank
    series = {
        name: Series(
            start=problem.start,
            step=problem.step,
            unit=units.get(name, "degC" if name.startswith("temperature:") else "kW"),
            values=tuple(row.tolist()),
        )
        for name, row in rows.items()
    }
    cost = (bought * values.import_price - sold * values.export_price + gas * values.gas_price).sum() * hours
    carbon = (bought * values.kg_per_kwh + gas * problem.gas_kg_per_kwh).sum() * hours
    ours = ~values.held
    outside = np.maximum(values.low - temperature, 0.0) + np.maximum(temperature - values.high, 0.0)
    return Plan(
        made_at=problem.made_at or problem.start,
        trigger=problem.trigger,
        status=solution.status,
        series=series,
        cost=float(cost),
        carbon_kg=float(carbon),
        energy_kwh={
            "electricity": float(bought.sum() * hours),
            "export": float(sold.sum() * hours),
            "gas": float(gas.sum() * hours),
        },
        discomfort_kh=float(outside[ours].sum() * hours),
        objective=solution.objective,
        solve_s=solution.solve_s,
        marginal_heat_price=tuple((solution.row_duals["balance"] / hours).tolist()),
    )
