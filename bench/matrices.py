"""The town hall's linear programme written by hand as matrices: what a specialist would do without a modeller.

Same decisions, rows, order and numbers as `optimiser.model`, no general machinery: the yardstick for the compiled one.
"""

from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from optimiser.numbers import Numbers
from optimiser.problem import Problem
from optimiser.solve import EQUILIBRATE
from optimiser.structure import Structure
from optimiser.theta import REACH, end_value

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

PER_ZONE = ("temperature", "mass", "heat", "below", "far_below", "above", "far_above")


class Matrices:
    """One building with heat pump, tank and boiler, loaded in HiGHS and re-solved warm."""

    def __init__(self, problem: Problem, structure: Structure, values: Numbers) -> None:
        self._structure = structure
        zones, steps = len(structure.zones), structure.steps
        self._column: dict[str, Ints] = {}
        count = 0
        for name in PER_ZONE:
            self._column[name] = np.arange(count, count + zones * steps, dtype=np.int32).reshape(zones, steps)
            count += zones * steps
        for name, length in (
            ("heat_pump", steps), ("heat_pump_rise", steps - 1), ("tank", steps), ("discharge", steps), ("hot", steps),
            ("boiler", steps), ("boiler_rise", steps - 1), ("bought", steps), ("over", steps), ("sold", steps),
        ):  # fmt: skip
            self._column[name] = np.arange(count, count + length, dtype=np.int32)
            count += length
        self._count = count
        self._row: dict[str, Ints] = {}
        rows = 0
        for name, shape in (
            ("air", (zones, steps)), ("fabric", (zones, steps - 1)), ("comfort", (zones, steps)),
            ("heat_pump_ramp", (steps - 1,)), ("tank_content", (steps,)), ("tank_hot", (steps,)),
            ("tank_draw", (steps,)),
            ("boiler_ramp", (steps - 1,)), ("balance", (steps,)), ("power", (steps,)),
        ):  # fmt: skip
            size = int(np.prod(shape))
            self._row[name] = np.arange(rows, rows + size, dtype=np.int32).reshape(shape)
            rows += size
        self._rows = rows
        self._entries: list[tuple[Ints, Ints, Floats]] = []
        self._highs: Any = highspy.Highs()
        for name, value in (("output_flag", False), ("threads", 1), ("solver", "simplex"), ("presolve", "off")):
            self._highs.setOptionValue(name, value)
        self._highs.setOptionValue("random_seed", 0)
        self._highs.setOptionValue("simplex_scale_strategy", EQUILIBRATE)
        self._pass(problem, values)

    def _add(self, rows: Any, columns: Any, values: Any) -> None:
        rows, columns, values = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=float))
        self._entries.append((rows.ravel(), columns.ravel(), values.ravel()))

    def _matrix(self, values: Numbers) -> None:
        column, row, structure = self._column, self._row, self._structure
        air, mass, heat = column["temperature"], column["mass"], column["heat"]
        self._add(row["air"], air, 1.0)
        self._add(row["air"][:, 1:], air[:, :-1], -values.keep[:, None])
        self._add(row["air"][:, 1:], mass[:, :-1], -values.mass[:, None])
        for rate, (zone, other) in zip(values.beside, structure.links, strict=True):
            self._add(row["air"][zone, 1:], air[other, :-1], -rate)
        self._add(row["air"], heat, -values.heat[:, None])
        self._add(row["fabric"], mass[:, 1:], 1.0)
        self._add(row["fabric"], mass[:, :-1], values.mass_rate[:, None] - 1.0)
        self._add(row["fabric"], air[:, :-1], -values.mass_rate[:, None])
        signs = (("temperature", 1.0), ("below", 1.0), ("far_below", 1.0), ("above", -1.0), ("far_above", -1.0))
        for name, sign in signs:
            self._add(row["comfort"], column[name], sign)
        for plant in ("heat_pump", "boiler"):
            self._add(row[f"{plant}_ramp"], column[plant][1:], 1.0)
            self._add(row[f"{plant}_ramp"], column[plant][:-1], -1.0)
            self._add(row[f"{plant}_ramp"], column[f"{plant}_rise"], -1.0)
        self._add(row["tank_content"], column["tank"], 1.0)
        self._add(row["tank_content"][1:], column["tank"][:-1], -values.plant.tank_keep)
        self._add(row["tank_content"], column["heat_pump"], -values.hours)
        self._add(row["tank_content"], column["discharge"], values.hours)
        self._add(row["tank_draw"], column["discharge"], 1.0)
        self._add(row["tank_draw"][1:], column["tank"][:-1], -values.plant.tank_draw_slope[1:])
        self._add(row["tank_hot"], column["hot"], 1.0)
        self._add(row["tank_hot"], column["tank"], -1.0)
        self._add(row["balance"], column["discharge"], 1.0)
        self._add(row["balance"], column["boiler"], 1.0)
        self._add(row["balance"][None, :], heat, -1.0)
        self._add(row["power"], column["bought"], 1.0)
        self._add(row["power"], column["over"], 1.0)
        self._add(row["power"], column["sold"], -1.0)

    def _pass(self, problem: Problem, values: Numbers) -> None:
        self._matrix(values)
        held, per_heat, per_hot = self._moving(problem, values)
        self._add(self._row["tank_hot"], self._column["heat_pump"], -held)
        self._add(self._row["power"], self._column["heat_pump"], -per_heat)
        self._add(self._row["power"], self._column["hot"], -per_hot)
        rows, columns, entries = (np.concatenate(parts) for parts in zip(*self._entries, strict=True))
        matrix = coo_array((entries, (rows, columns)), shape=(self._rows, self._count)).tocsc()
        cost, lower, upper, low, high, offset = self._vectors(problem, values)
        self._highs.passModel(
            self._count, self._rows, matrix.nnz, 1, 1, offset, cost, lower, upper, low, high,
            matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data,
            np.zeros(self._count, dtype=np.int32),
        )  # fmt: skip
        self._every_column = np.arange(self._count, dtype=np.int32)
        self._every_row = np.arange(self._rows, dtype=np.int32)
        self._last = np.concatenate([held, per_heat, per_hot])

    def _moving(self, problem: Problem, values: Numbers) -> tuple[Floats, Floats, Floats]:
        plant = values.plant
        electricity = values.import_price + problem.carbon_price_per_kg * values.kg_per_kwh
        held = plant.tank_capacity / np.maximum(plant.heat_pump_max, 1e-6)
        return held, plant.per_heat, np.where(electricity > 0, plant.per_hot, 0.0)

    def _vectors(self, problem: Problem, values: Numbers) -> tuple[Floats, Floats, Floats, Floats, Floats, float]:
        column, row, plant = self._column, self._row, values.plant
        weights, hours = problem.weights, values.hours
        electricity = values.import_price + problem.carbon_price_per_kg * values.kg_per_kwh
        gas = (values.gas_price + problem.carbon_price_per_kg * problem.gas_kg_per_kwh) / plant.boiler_efficiency
        end = end_value(values, electricity, gas)
        outdoor = 1.0 - values.keep - values.mass - values.neighbour
        both = values.air_kwh_per_k + values.mass_kwh_per_k
        kept = end * (1.0 - outdoor * values.air_kwh_per_k / both) ** (REACH.total_seconds() / 3600.0 / hours)
        cost, lower, upper = np.zeros(self._count), np.zeros(self._count), np.full(self._count, np.inf)
        cost[column["below"]] = cost[column["above"]] = weights.near_per_kh * hours
        cost[column["far_below"]] = cost[column["far_above"]] = weights.far_per_kh * hours
        cost[column["temperature"][:, -1]] = -kept * values.air_kwh_per_k
        cost[column["mass"][:, -1]] = -kept * values.mass_kwh_per_k
        cost[column["heat_pump_rise"]] = cost[column["boiler_rise"]] = weights.ramp_per_kw
        cost[column["tank"][-1]] = -end
        cost[column["boiler"]] = gas * hours
        cost[column["bought"]] = electricity * hours
        cost[column["over"]] = (electricity + weights.cap_per_kwh) * hours
        cost[column["sold"]] = -np.minimum(values.export_price, electricity - 1e-6) * hours
        lower[column["temperature"]] = lower[column["mass"]] = -np.inf
        lower[column["mass"][:, 0]] = upper[column["mass"][:, 0]] = values.mass_first
        upper[column["heat"]] = values.max_heat[:, None]
        upper[column["below"]] = upper[column["above"]] = weights.near_k
        upper[column["heat_pump"]] = plant.heat_pump_max
        upper[column["tank"]] = plant.tank_capacity
        upper[column["boiler"]] = plant.boiler_max
        upper[column["bought"]] = values.import_cap
        low, high = np.zeros(self._rows), np.zeros(self._rows)
        low[row["air"]] = high[row["air"]] = values.drive
        low[row["comfort"]], high[row["comfort"]] = values.low, values.high
        low[row["heat_pump_ramp"]] = low[row["boiler_ramp"]] = -np.inf
        first = row["tank_content"][0]
        low[first] = high[first] = plant.tank_energy * plant.tank_keep
        low[row["tank_draw"]], high[row["tank_draw"]] = -np.inf, plant.tank_draw
        high[row["tank_draw"][0]] += plant.tank_draw_slope[0] * plant.tank_energy
        low[row["tank_hot"]], high[row["tank_hot"]] = -plant.tank_capacity, np.inf
        low[row["power"]] = high[row["power"]] = values.net_load
        stored = values.air_kwh_per_k * values.initial + values.mass_kwh_per_k * values.initial_mass
        return cost, lower, upper, low, high, float((kept * stored).sum() + end * plant.tank_energy)

    def solve(self, problem: Problem, values: Numbers) -> tuple[float, Floats, Floats]:
        """Load new numbers (the zone models must be the same), solve; return objective, values and row duals."""
        highs, row, column = self._highs, self._row, self._column
        parts = self._moving(problem, values)
        now = np.concatenate(parts)
        rows = np.concatenate([row["tank_hot"], row["power"], row["power"]])
        columns = np.concatenate([column["heat_pump"], column["heat_pump"], column["hot"]])
        changed = np.flatnonzero(now != self._last)
        places = zip(rows[changed].tolist(), columns[changed].tolist(), (-now[changed]).tolist(), strict=True)
        for at_row, at_column, value in places:
            highs.changeCoeff(at_row, at_column, value)
        self._last = now
        cost, lower, upper, low, high, offset = self._vectors(problem, values)
        highs.changeColsCost(self._count, self._every_column, cost)
        highs.changeColsBounds(self._count, self._every_column, lower, upper)
        highs.changeRowsBounds(self._rows, self._every_row, low, high)
        highs.changeObjectiveOffset(offset)
        highs.run()
        if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(highs.modelStatusToString(highs.getModelStatus()))
        highs.setOptionValue("simplex_dual_edge_weight_strategy", 1)
        solution = highs.getSolution()
        return highs.getObjectiveValue(), np.array(solution.col_value), np.array(solution.row_dual)
