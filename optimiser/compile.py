"""A Pyomo model with parameters -> arrays that are affine in the parameters, found once.

Every constraint and the objective are walked a single time by Pyomo's quadratic visitor. A product of a parameter and
a decision becomes a coefficient that moves with theta; a parameter alone moves a bound or the constant. Rows with one
decision and a constant coefficient become column bounds, and rows with the same left-hand side become one ranged row.
A re-solve is then one sparse product and a few bulk calls into the solver, with no Pyomo in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray
from pyomo.common.gc_manager import PauseGC
from pyomo.repn.quadratic import QuadraticRepnVisitor
from pyomo.repn.util import OrderedVarRecorder

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]


@dataclass(slots=True)
class Affine:
    """A number that depends on theta: constant + sum of coefficient x parameter."""

    constant: float = 0.0
    terms: dict[int, float] = field(default_factory=dict)

    def scaled(self, factor: float) -> "Affine":
        return Affine(self.constant * factor, {key: value * factor for key, value in self.terms.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """A sparse matrix. Not SciPy's: with Pyomo about, importing that takes two seconds, and a restart waits for it."""

    lines: NDArray[np.intp]  # of each entry
    places: NDArray[np.intp]
    values: Floats
    count: int  # of lines

    def times(self, vector: Floats) -> Floats:
        """Multiply with a vector."""
        product: Floats = np.bincount(self.lines, self.values * vector[self.places], self.count).astype(np.float64)
        return product


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The model as arrays. `numbers(theta)` holds everything that moves, in the order of the slices below."""

    layout: dict[str, slice]  # parameter -> its place in theta, row-major over its index sets
    size: int  # of theta
    columns: dict[str, Indices]  # decision -> its columns, shaped like its index sets
    rows: dict[str, Indices]  # constraint -> its rows, one-dimensional; absent if it became bounds
    row_signs: dict[str, Floats]  # multiply the solver's row dual by this
    column_count: int
    row_count: int
    lower: Floats  # of all columns; entries at `bounded` are overwritten
    upper: Floats
    bounded: Indices  # columns whose bounds move
    priced: Indices  # columns whose cost moves
    cost: Floats  # of all columns; entries at `priced` are overwritten
    entry_rows: Indices  # matrix entries: row, column, value; the first `moving` values are overwritten
    entry_columns: Indices
    entries: Floats
    moving: int
    constant: Floats
    product: Sparse  # numbers = constant + product x theta
    parts: dict[str, slice]  # row_lower, row_upper, lower, upper, cost, entries, offset

    def numbers(self, theta: Floats) -> Floats:
        """Return all moving numbers at these parameters."""
        return self.constant + self.product.times(theta)


class _Walk:
    """Collects rows, bounds and costs while the model is walked."""

    def __init__(self, model: Any) -> None:
        self.layout: dict[str, slice] = {}
        self.parameters: dict[int, int] = {}
        for part in model.theta.component_objects(pyo.Var):
            first = len(self.parameters)
            for entry in part.values():
                self.parameters[id(entry)] = len(self.parameters)
            self.layout[part.local_name] = slice(first, len(self.parameters))
        self.columns: dict[str, Indices] = {}
        self.column: dict[int, int] = {}
        lower: list[float] = []
        upper: list[float] = []
        for part in model.component_objects(pyo.Var, descend_into=False):
            first = len(self.column)
            for entry in part.values():
                self.column[id(entry)] = len(self.column)
                lower.append(-inf if entry.lb is None else float(entry.lb))
                upper.append(inf if entry.ub is None else float(entry.ub))
            places = np.arange(first, len(self.column), dtype=np.int32)
            self.columns[part.local_name] = places.reshape(_shape(part))
        self.lower: list[Affine] = [Affine(value) for value in lower]
        self.upper: list[Affine] = [Affine(value) for value in upper]
        self.row_lower: list[Affine] = []
        self.row_upper: list[Affine] = []
        self.coefficients: list[dict[int, Affine]] = []
        self._places: dict[tuple[object, ...], int] = {}
        recorder = OrderedVarRecorder({}, {}, pyo.SortComponents.deterministic)
        self._visitor = QuadraticRepnVisitor({}, var_recorder=recorder)

    def terms(self, expression: Any, name: str) -> tuple[dict[int, Affine], Affine]:
        """Split an expression into coefficients by column and the part without decisions."""
        repn = self._visitor.walk_expression(expression)
        if repn.nonlinear is not None:
            raise ValueError(f"{name} is not linear in the decisions")
        by_column: dict[int, Affine] = {}
        rest = Affine(float(repn.constant))
        for key, value in repn.linear.items():
            if key in self.parameters:
                rest.terms[self.parameters[key]] = float(value)
            else:
                by_column.setdefault(self.column[key], Affine()).constant += float(value)
        for (one, other), value in (repn.quadratic or {}).items():
            decision, parameter = (other, one) if one in self.parameters else (one, other)
            if decision in self.parameters or parameter not in self.parameters:
                raise ValueError(f"{name} multiplies two parameters or two decisions")
            terms = by_column.setdefault(self.column[decision], Affine()).terms
            place = self.parameters[parameter]
            terms[place] = terms.get(place, 0.0) + float(value)
        return dict(sorted(by_column.items())), rest

    def constraint(self, entry: Any) -> tuple[int, float]:
        """Take one constraint in; return its row (-1 if it became bounds) and the sign of its dual."""
        by_column, rest = self.terms(entry.body, entry.name)
        if not by_column:
            raise ValueError(f"{entry.name} has no decision in it")
        sign = -1.0 if next(iter(by_column.values())).constant < 0 else 1.0
        low = None if entry.lower is None else _minus(float(pyo.value(entry.lower)), rest)
        high = None if entry.upper is None else _minus(float(pyo.value(entry.upper)), rest)
        if len(by_column) == 1:
            (place, coefficient), *_ = by_column.items()
            if coefficient.terms:
                raise ValueError(f"{entry.name} bounds a decision whose coefficient is a parameter")
            self._bound(place, coefficient.constant, low, high)
            return -1, sign
        if sign < 0:
            by_column = {place: value.scaled(-1.0) for place, value in by_column.items()}
            low, high = (
                None if high is None else high.scaled(-1.0),
                None if low is None else low.scaled(-1.0),
            )
        key = tuple((place, value.constant, *sorted(value.terms.items())) for place, value in by_column.items())
        row = self._places.get(key)
        if row is None:
            row = self._places[key] = len(self.coefficients)
            self.coefficients.append(by_column)
            self.row_lower.append(Affine(-inf))
            self.row_upper.append(Affine(inf))
        _tighten(self.row_lower, row, low, entry.name)
        _tighten(self.row_upper, row, high, entry.name)
        return row, sign

    def _bound(self, place: int, coefficient: float, low: Affine | None, high: Affine | None) -> None:
        low, high = (low, high) if coefficient > 0 else (high, low)
        if low is not None:
            self.lower[place] = low.scaled(1.0 / coefficient)
        if high is not None:
            self.upper[place] = high.scaled(1.0 / coefficient)


def _shape(part: Any) -> tuple[int, ...]:
    if not part.is_indexed():
        return ()
    subsets = list(part.index_set().subsets())
    return tuple(len(subset) for subset in subsets)


def _minus(bound: float, rest: Affine) -> Affine:
    return Affine(bound - rest.constant, {key: -value for key, value in rest.terms.items()})


def _tighten(sides: list[Affine], row: int, side: Affine | None, name: str) -> None:
    if side is None:
        return
    if np.isfinite(sides[row].constant):
        raise ValueError(f"{name} repeats the left-hand side of another constraint")
    sides[row] = side


def compile_model(model: Any) -> Compiled:
    """Compile a model made by `model.build`.

    Raises ValueError, naming the constraint, where the model is not linear in the decisions and affine in theta.
    """
    with PauseGC():
        walk = _Walk(model)
        rows: dict[str, Indices] = {}
        signs: dict[str, Floats] = {}
        for part in model.component_objects(pyo.Constraint):
            found = [walk.constraint(entry) for entry in part.values()]
            if all(row >= 0 for row, _ in found):
                rows[part.local_name] = np.array([row for row, _ in found], dtype=np.int32)
                signs[part.local_name] = np.array([sign for _, sign in found])
        costs, offset = walk.terms(model.cost.expr, "the objective")
        return _arrays(walk, rows, signs, costs, offset)


def _arrays(
    walk: _Walk, rows: dict[str, Indices], signs: dict[str, Floats], costs: dict[int, Affine], offset: Affine
) -> Compiled:
    count = len(walk.column)
    bounded = [place for place in range(count) if walk.lower[place].terms or walk.upper[place].terms]
    priced = [place for place, value in costs.items() if value.terms]
    entries = [(row, place, value) for row, line in enumerate(walk.coefficients) for place, value in line.items()]
    entries.sort(key=lambda entry: not entry[2].terms)  # stable: the moving ones first
    moving = sum(bool(value.terms) for _, _, value in entries)
    groups: dict[str, Sequence[Affine]] = {
        "row_lower": walk.row_lower,
        "row_upper": walk.row_upper,
        "lower": [walk.lower[place] for place in bounded],
        "upper": [walk.upper[place] for place in bounded],
        "cost": [costs[place] for place in priced],
        "entries": [value for _, _, value in entries[:moving]],
        "offset": [offset],
    }
    numbers = [value for group in groups.values() for value in group]
    parts: dict[str, slice] = {}
    first = 0
    for name, group in groups.items():
        parts[name] = slice(first, first + len(group))
        first += len(group)
    cost = np.zeros(count)
    for place, value in costs.items():
        cost[place] = value.constant
    return Compiled(
        layout=walk.layout,
        size=len(walk.parameters),
        columns=walk.columns,
        rows=rows,
        row_signs=signs,
        column_count=count,
        row_count=len(walk.coefficients),
        lower=np.array([value.constant for value in walk.lower]),
        upper=np.array([value.constant for value in walk.upper]),
        bounded=np.array(bounded, dtype=np.int32),
        priced=np.array(priced, dtype=np.int32),
        cost=cost,
        entry_rows=np.array([row for row, _, _ in entries], dtype=np.int32),
        entry_columns=np.array([place for _, place, _ in entries], dtype=np.int32),
        entries=np.array([value.constant for _, _, value in entries]),
        moving=moving,
        constant=np.array([value.constant for value in numbers]),
        product=_sparse([value.terms for value in numbers]),
        parts=parts,
    )


def _sparse(lines: Sequence[dict[int, float]]) -> Sparse:
    entries = [(n, place, value) for n, line in enumerate(lines) for place, value in line.items()]
    return Sparse(
        lines=np.array([line for line, _, _ in entries], dtype=np.intp),
        places=np.array([place for _, place, _ in entries], dtype=np.intp),
        values=np.array([value for _, _, value in entries], dtype=float),
        count=len(lines),
    )
