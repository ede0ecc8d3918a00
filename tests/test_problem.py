from dataclasses import replace
from datetime import timedelta

import pytest
from problems import START, STEP, problem, zone

from optimiser.problem import Series
from optimiser.structure import structure_of


def test_a_series_answers_for_the_interval_that_holds_a_time() -> None:
    series = Series(start=START, step=STEP, unit="kW", values=(1.0, 2.0))
    assert series.at(START) == 1.0
    assert series.at(START + timedelta(minutes=29, seconds=59)) == 2.0
    for outside in (START - timedelta(seconds=1), START + timedelta(minutes=30)):
        with pytest.raises(IndexError, match="outside the series"):
            series.at(outside)


def test_a_problem_is_as_long_as_its_weather() -> None:
    assert problem(steps=12).steps == 12


def test_neighbours_are_mutual_and_of_the_problem() -> None:
    zones = (zone("a", neighbours=("b", "cellar", "a", "b")), zone("b"))
    assert structure_of(problem(zones)).neighbours == ((1,), (0,))


def test_a_tank_without_a_heat_pump_is_no_tank() -> None:
    assert structure_of(problem()).tank
    assert not structure_of(replace(problem(), heat_pump=None)).tank


def test_an_empty_problem_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one zone and two steps"):
        structure_of(problem(steps=1))
