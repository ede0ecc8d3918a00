from dataclasses import replace

import pyomo.environ as pyo
import pytest
from problems import problem, random_problem, zone

from optimiser.compile import compile_model
from optimiser.model import build
from optimiser.numbers import numbers
from optimiser.problem import Problem
from optimiser.solve import Session
from optimiser.structure import structure_of
from optimiser.theta import parameters


def reference(case: Problem) -> float:
    """The optimum of the same Pyomo model by Pyomo's own way into the solver."""
    structure = structure_of(case)
    model = build(structure)
    compiled = compile_model(model)
    theta = parameters(case, structure, numbers(case, structure), compiled.layout, compiled.size)
    for part in model.theta.component_objects(pyo.Var):
        for entry, value in zip(part.values(), theta[compiled.layout[part.local_name]], strict=True):
            entry.fix(float(value))
    pyo.SolverFactory("appsi_highs").solve(model)
    return float(pyo.value(model.cost))


@pytest.mark.parametrize("seed", range(6))
def test_the_arrays_have_the_optimum_of_the_model(seed: int) -> None:
    case = random_problem(seed)
    assert Session(structure_of(case)).solve(case).objective == pytest.approx(reference(case), rel=1e-7)


@pytest.mark.parametrize(
    "changes",
    [
        {"tank": None},
        {"heat_pump": None, "tank": None},
        {"heat_pump": None},
        {"boiler": None},
        {"boiler": None, "heat_pump": None, "tank": None},
    ],
)
def test_every_set_of_plant_has_the_optimum_of_the_model(changes: dict[str, None]) -> None:
    case = replace(random_problem(7), **changes)
    assert Session(structure_of(case)).solve(case).objective == pytest.approx(reference(case), rel=1e-7)


def test_a_session_that_has_seen_other_problems_gives_the_same_optimum() -> None:
    cases = [random_problem(seed) for seed in range(5)]
    session = Session(structure_of(cases[0]))
    for case in cases:
        assert session.solve(case).objective == pytest.approx(reference(case), rel=1e-7)


def test_rows_on_one_decision_become_bounds_and_equal_left_hand_sides_one_row() -> None:
    structure = structure_of(problem())
    compiled = compile_model(build(structure))
    assert "emitter" not in compiled.rows
    assert "tank_limit" not in compiled.rows
    assert compiled.rows["comfort_low"].tolist() == compiled.rows["comfort_high"].tolist()


def test_a_product_of_decisions_is_refused() -> None:
    model = build(structure_of(problem()))
    model.wrong = pyo.Constraint(expr=model.heat_pump[0] * model.boiler[0] + model.boiler[1] <= 1)
    with pytest.raises(ValueError, match="wrong multiplies"):
        compile_model(model)


def test_a_product_of_parameters_is_refused() -> None:
    model = build(structure_of(problem()))
    model.wrong = pyo.Constraint(expr=model.theta.hours * model.theta.rise + model.boiler[0] + model.boiler[1] <= 1)
    with pytest.raises(ValueError, match="wrong multiplies"):
        compile_model(model)


def test_a_curved_term_is_refused() -> None:
    model = build(structure_of(problem()))
    model.wrong = pyo.Constraint(expr=pyo.exp(model.boiler[0]) + model.boiler[1] <= 1)
    with pytest.raises(ValueError, match="wrong is not linear"):
        compile_model(model)


def test_a_moving_coefficient_on_a_bound_is_refused() -> None:
    model = build(structure_of(problem()))
    model.wrong = pyo.Constraint(expr=model.theta.hours * model.boiler[0] <= 1)
    with pytest.raises(ValueError, match="wrong bounds a decision"):
        compile_model(model)


def test_structures_differ_by_topology_and_not_by_numbers() -> None:
    pair = (zone("a", neighbours=("b",)), zone("b", neighbours=("a",)))
    assert structure_of(problem(pair)) == structure_of(
        problem((replace(pair[0], temperature_degc=3.0), pair[1]), outdoor_degc=(9.0,) * 8)
    )
    assert structure_of(problem(pair)) != structure_of(problem((zone("a"), zone("b"))))
