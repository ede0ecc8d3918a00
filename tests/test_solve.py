from dataclasses import replace
from datetime import timedelta
from typing import Any

import highspy
import numpy as np
import pytest
from problems import problem, random_problem, zone

from optimiser.problem import Problem, Status
from optimiser.shift import shifted
from optimiser.solve import KEPT, Limits, Session, Sessions, Solver, SolverFailed
from optimiser.structure import structure_of


def test_a_warm_session_finds_what_a_fresh_one_finds() -> None:
    session = Session(structure_of(random_problem(0)))
    for seed in range(6):
        case = random_problem(seed)
        fresh = Session(session.structure).solve(case)
        assert session.solve(case).objective == pytest.approx(fresh.objective, rel=1e-9)


def test_a_refit_of_all_models_passes_the_model_anew_and_stays_right(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[int] = []
    whole = Solver._pass
    monkeypatch.setattr(Solver, "_pass", lambda self, now: (passed.append(1), whole(self, now))[1])
    case = random_problem(1, zones=6, steps=60)
    session = Session(structure_of(case))
    session.solve(case)
    refit = replace(
        case,
        zones=tuple(
            replace(state, model=replace(state.model, outdoor=1.1 * state.model.outdoor, neighbour=0.03))
            for state in case.zones
        ),
    )
    found = session.solve(refit).objective
    assert len(passed) == 2
    assert found == pytest.approx(Session(session.structure).solve(refit).objective, rel=1e-9)


def test_equal_problems_in_equal_order_give_equal_plans() -> None:
    one, other = Sessions(), Sessions()
    for seed in range(5):
        assert one.solve(random_problem(seed)) == other.solve(random_problem(seed))


def test_a_session_refuses_another_structure() -> None:
    session = Session(structure_of(problem()))
    with pytest.raises(ValueError, match="another structure"):
        session.solve(problem(steps=9))


def test_the_least_recently_used_session_is_dropped() -> None:
    sessions = Sessions()
    for steps in range(4, 4 + KEPT + 2):
        sessions.solve(problem(steps=steps))
    assert [structure.steps for structure in sessions._sessions] == list(range(6, 6 + KEPT))


def test_too_few_iterations_end_without_a_plan_and_the_next_solve_recovers() -> None:
    case = random_problem(2, zones=6, steps=48)
    session = Session(structure_of(case), limits=Limits(iterations=3))
    with pytest.raises(SolverFailed, match=r"[Ii]teration limit"):
        session.solve(case)
    session._solver._limits = Limits()
    assert session.solve(case).status is Status.OPTIMAL


def test_no_time_ends_without_a_plan() -> None:
    case = random_problem(2, zones=8, steps=96)
    session = Session(structure_of(case), limits=Limits(time_s=1e-6))
    with pytest.raises(SolverFailed, match=r"[Tt]ime limit"):
        session.solve(case)


def test_the_time_limit_is_of_each_solve_and_not_of_all_together() -> None:
    case = random_problem(2, zones=6, steps=48)
    session = Session(structure_of(case), limits=Limits(time_s=5.0))
    plans = [session.solve(replace(case, outdoor_degc=(float(n),) * 48)) for n in range(20)]
    assert all(plan.status is Status.OPTIMAL for plan in plans)
    assert plans[0].solve_s > 0
    session._solver._limits = Limits(time_s=0.7 * sum(plan.solve_s for plan in plans))
    assert session.solve(case).status is Status.OPTIMAL


def test_without_a_time_limit_a_plan_carries_no_solver_time() -> None:
    assert Sessions().solve(problem()).solve_s == 0.0


def test_the_heat_price_is_what_another_kilowatt_hour_would_cost() -> None:
    case = random_problem(4)
    plan = Sessions().solve(case)
    extra = 1e-4  # kW of emitter-independent demand: a little less gain in one step and zone
    step = 5
    state = case.zones[0]
    gain = np.array(state.gain_k)
    gain[step] -= extra * state.model.heat_k_per_kw
    other = replace(case, zones=(replace(state, gain_k=tuple(gain)), *case.zones[1:]))
    assert 0 < plan.series[f"heat:{state.id}"].values[step] < state.max_heat_kw
    change = Sessions().solve(other).objective - plan.objective
    assert change / (extra * 0.25) == pytest.approx(plan.marginal_heat_price[step], rel=1e-3)


def test_the_heat_price_of_gas_heat_is_the_price_of_gas() -> None:
    case = problem(steps=8, heat_pump=None, tank=None, carbon_price_per_kg=0.0)
    cold = replace(case, zones=(zone(temperature_degc=18.0, mass_degc=18.0),))
    plan = Sessions().solve(cold)
    assert plan.series["boiler"].values[0] > 0
    free = [p for p, kw in zip(plan.marginal_heat_price, plan.series["boiler"].values, strict=True) if 0.1 < kw < 9.9]
    assert free == pytest.approx([0.07 / 0.9] * len(free), rel=0.05)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"outdoor_degc": (0.0,) * 7 + (float("nan"),)}, "outdoor temperature: step 7 is not a finite number"),
        ({"import_price": (float("inf"),) * 8}, "import price: step 0 is not a finite number"),
        ({"gas_price": (0.1,) * 7}, "gas price: 7 values for 8 steps"),
        ({"pv_kw": (None,) * 8}, "PV power: step 0 is not a finite number"),
        ({"base_load_kw": ("much",) * 8}, "base load: holds something that is not a number"),
        ({"import_cap_kw": float("nan")}, "import cap: nan is not a finite number"),
        ({"step": timedelta(0)}, "the step must be longer than zero"),
        ({"zones": ()}, "at least one zone"),
        ({"zones": (zone("a"), zone("a"))}, "zone a appears more than once"),
    ],
)
def test_a_bad_series_is_refused_by_name(change: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Sessions().solve(replace(problem(), **change))  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"temperature_degc": float("nan")}, "zone hall: temperature is not a finite number"),
        ({"mass_degc": None}, "zone hall: mass temperature is not a finite number"),
        ({"low_degc": (20.0,) * 7 + (float("nan"),)}, "zone hall: lower comfort limit: step 7 is not"),
        ({"high_degc": (19.0,) * 8}, "zone hall: the lower comfort limit is above the upper one"),
        ({"people": (1.0,) * 3}, "zone hall: people: 3 values for 8 steps"),
        ({"held_degc": float("inf")}, "zone hall: held temperature is not a finite number"),
    ],
)
def test_a_bad_zone_is_refused_by_name(change: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Sessions().solve(problem((zone(**change),)))


def test_bad_plant_is_refused_by_name() -> None:
    case = problem()
    assert case.heat_pump is not None
    assert case.tank is not None
    assert case.boiler is not None
    bad = (
        (replace(case, heat_pump=replace(case.heat_pump, cop=(0.0,) * 8)), "heat_pump: a COP must be above"),
        (replace(case, boiler=replace(case.boiler, efficiency=0.0)), "boiler: the efficiency must be above"),
        (replace(case, tank=replace(case.tank, energy_kwh=float("nan"))), "tank: energy: nan is not"),
    )
    for wrong, text in bad:
        with pytest.raises(ValueError, match=text):
            Sessions().solve(wrong)


def test_a_bad_problem_leaves_the_session_usable() -> None:
    sessions = Sessions()
    good = sessions.solve(problem())
    with pytest.raises(ValueError, match="outdoor"):
        sessions.solve(problem(outdoor_degc=(float("nan"),) * 8))
    assert sessions.solve(problem()).objective == pytest.approx(good.objective)


def plan_case() -> Problem:
    return problem(outdoor_degc=tuple(float(n) for n in range(8)))


def test_a_shifted_plan_is_what_is_left_of_it() -> None:
    plan = Sessions().solve(plan_case())
    start = plan_case().start + timedelta(minutes=40)
    later = shifted(plan, start)
    assert later.status is Status.SHIFTED
    assert later.made_at == plan.made_at
    series = later.series["temperature:hall"]
    assert series.start == plan_case().start + timedelta(minutes=30)
    assert series.values == plan.series["temperature:hall"].values[2:]
    assert later.marginal_heat_price == plan.marginal_heat_price[2:]
    assert shifted(later, start).series == later.series


@pytest.mark.parametrize("minutes", [-15, 120, 600])
def test_a_plan_that_does_not_cover_a_time_cannot_be_shifted_to_it(minutes: int) -> None:
    plan = Sessions().solve(plan_case())
    with pytest.raises(ValueError, match="does not cover"):
        shifted(plan, plan_case().start + timedelta(minutes=minutes))


class _Forgetful:
    """A solver that loses its way once: it says that it does not know the answer."""

    def __init__(self, highs: Any) -> None:
        self._highs, self.lapses = highs, 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._highs, name)

    def getModelStatus(self) -> Any:  # noqa: N802  the library's name
        if self.lapses:
            self.lapses -= 1
            return highspy.HighsModelStatus.kUnknown
        return self._highs.getModelStatus()


def test_a_solver_that_loses_its_way_begins_anew() -> None:
    cases = [random_problem(seed, zones=4, steps=36) for seed in range(3)]
    fragile, sound = (Session(structure_of(cases[0])) for _ in range(2))
    fragile.solve(cases[0])
    forgetful = _Forgetful(fragile._solver._highs)
    fragile._solver._highs = forgetful
    for case in cases[1:]:
        assert fragile.solve(case).objective == pytest.approx(sound.solve(case).objective, rel=1e-6)
    assert forgetful.lapses == 0
