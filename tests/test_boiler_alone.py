"""A site whose only heat comes from a boiler: what is asked of the optimiser, what it answers, and what is written."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from config.roles import Role
from controller.actuate import BOILER_MARGIN_K, FLOW_MARGIN_K, Wish, by_point, emitter_share, wishes
from controller.estimate import Estimator
from controller.events import Cause, Trigger, Watch
from controller.gather import BOILER_HEADROOM_K, FLOW_HEADROOM_K, ROOM_DEGC, Gatherer
from controller.history import STEP
from controller.hub import Hub
from controller.learned import priors
from controller.learner import learn
from controller.occupancy import Occupancy
from controller.outlook import Expected, Prices
from controller.rules import Now, Rules
from controller.state import State
from drivers.base import Reading
from drivers.clock import Clock
from optimiser.explain import explain
from optimiser.problem import Plan, Problem, Status
from optimiser.solve import Session
from optimiser.structure import structure_of
from site_sims.learning import history_of
from tests.conftest import EPOCH
from tests.problems import problem as problem_with_a_pump
from tests.school import school_site

SITE = school_site()
ZONES = [zone.id for zone in SITE.buildings[0].zones]
BOILER, FLOW = "school.boiler.enable", "school.circuit.flow_setpoint"
MORNING = datetime(2023, 2, 7, 6, tzinfo=UTC)


class Weather:
    """The same temperature all day."""

    def __init__(self, degc: float) -> None:
        self.degc = degc

    def _flat(self, value: float, steps: int) -> Expected:
        return Expected(values=np.full(steps, value), made_at=MORNING, source="test")

    def outdoor_degc(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return self._flat(self.degc, steps)

    def solar_kw_m2(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return self._flat(0.05, steps)

    def intensity_g_per_kwh(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return self._flat(180.0, steps)

    def issued(self) -> Mapping[Cause, datetime]:
        return {}


class Desk:
    """State, rules and gatherer of the school at a temperature indoors and outdoors."""

    def __init__(self, now: datetime, *, indoor: float, outdoor: float) -> None:
        self.now, self.state, occupancy = now, State(SITE), Occupancy(SITE)
        self.rules = Rules(SITE, self.state, occupancy)
        self.gatherer = Gatherer(
            SITE,
            state=self.state,
            estimator=Estimator(SITE, history_of(SITE), occupancy),
            occupancy=occupancy,
            outlook=Weather(outdoor),
            prices=Prices(SITE, clock=Clock(now), triggers=Hub()),
            watch=Watch(SITE, occupancy),
            learned=priors(SITE),
            gas_kg_per_kwh=0.183,
        )
        self.see({f"school.{zone}.temperature": indoor for zone in ZONES} | {"school.outdoor.temperature": outdoor})

    def see(self, values: Mapping[str, float]) -> None:
        self.state.update(Reading(point=p, time=self.now, received=self.now, value=v) for p, v in values.items())

    def problem(self) -> Problem:
        trigger = Trigger(cause=Cause.SCHEDULE, text="test", time=self.now)
        return self.gatherer.gather(self.now, trigger, {}).problem

    def ruled(self) -> dict[str, Wish]:
        look = Now(
            time=self.now, electricity_price=0.25, gas_price=0.07, intensity_g_per_kwh=200.0, gas_kg_per_kwh=0.183
        )
        return {wish.point: wish for wish in self.rules.wishes(look)}


def solved(problem: Problem) -> Plan:
    return Session(structure_of(problem)).solve(problem)


@pytest.fixture(scope="module")
def winter() -> tuple[Problem, Plan]:
    problem = Desk(MORNING, indoor=14.0, outdoor=2.0).problem()
    return problem, solved(problem)


def test_nothing_but_the_boiler_is_planned_with(winter: tuple[Problem, Plan]) -> None:
    problem, plan = winter
    assert problem.heat_pump is None
    assert problem.tank is None
    assert problem.boiler is not None
    assert plan.status is Status.OPTIMAL
    heat = sum(np.array(plan.series[f"heat:{zone}"].values) for zone in ZONES)
    np.testing.assert_allclose(plan.series["boiler"].values, heat, atol=1e-6)
    assert max(plan.series["boiler"].values) > 20
    assert set(plan.series["heat_pump"].values) == set(plan.series["electricity"].values) == {0.0}


def test_the_boiler_is_enabled_and_the_water_hot_where_the_plan_heats(winter: tuple[Problem, Plan]) -> None:
    problem, plan = winter
    found = by_point(wishes(SITE, problem, plan, priors(SITE)))
    assert found[BOILER].value == 1.0
    assert "heat pump" not in found[BOILER].reason
    assert 60 < found[FLOW].value <= 75
    assert not [point for point in found if "heat_pump" in point or "tank" in point]


def test_the_reasons_speak_of_what_there_is(winter: tuple[Problem, Plan]) -> None:
    problem, plan = winter
    texts = [reason.text for reason in explain(problem, plan, names={}, tz=UTC)]
    assert any("is heated now" in text for text in texts)
    assert not [text for text in texts if "eat pump" in text or "tank" in text]


def test_in_summer_nothing_is_heated_and_nothing_is_wrong() -> None:
    problem = Desk(datetime(2023, 7, 4, 6, tzinfo=UTC), indoor=22.0, outdoor=19.0).problem()
    plan = solved(problem)
    assert plan.status is Status.OPTIMAL
    assert max(plan.series["boiler"].values) == pytest.approx(0.0, abs=1e-6)
    found = by_point(wishes(SITE, problem, plan, priors(SITE)))
    assert found[BOILER].value == 0.0
    assert found[FLOW].value == 30.0


@pytest.mark.parametrize(
    ("outdoor", "valves", "enabled", "why"),
    [
        (5.0, (0.0, 2.0), 0.0, "all valves are shut"),
        (5.0, (0.0, 40.0), 1.0, "a valve is open"),
        (5.0, (), 1.0, "it is cold outdoors"),
        (17.0, (0.0, 40.0), 0.0, "over 16 degC"),
    ],
)
def test_by_the_rules_the_boiler_waits_for_an_open_valve(
    outdoor: float, valves: tuple[float, ...], enabled: float, why: str
) -> None:
    desk = Desk(MORNING, indoor=19.0, outdoor=outdoor)
    desk.see({f"school.{zone}.valve": value for zone, value in zip(ZONES, valves, strict=False)})
    wish = desk.ruled()[BOILER]
    assert wish.value == enabled
    assert why in wish.reason


def test_the_boilers_efficiency_is_learned_without_a_heat_pump() -> None:
    history = history_of(SITE)
    steady = {p.id: 5.0 for p in SITE.points.values() if p.role is not Role.GAS_METER} | {
        "school.boiler.heat_output": 40.0
    }
    for step in range(8 * 96):
        when = EPOCH + step * STEP
        rows = steady | {"school.grid.gas_kwh": 50.0 * step * 0.25}
        history.add([Reading(point=p, time=when, received=when, value=v) for p, v in rows.items()], when)
    history.close(EPOCH + 8 * 96 * STEP)
    estimator = Estimator(SITE, history, Occupancy(SITE))
    found = learn(SITE, estimator, old=priors(SITE), now=EPOCH)
    assert found.boiler_efficiency == pytest.approx(0.8 / 0.88)
    assert "boiler efficiency 0.91 of the rated one" in found.verdict


def test_a_boiler_alone_may_give_hotter_water_than_a_heat_pump_s_plan_would_use() -> None:
    mild = Desk(MORNING, indoor=17.0, outdoor=8.0).problem()
    emitters = {zone.id: zone.emitter_kw or 0.0 for zone in SITE.buildings[0].zones}
    share = {round(zone.max_heat_kw / emitters[zone.id], 9) for zone in mild.zones}
    assert len(share) == 1
    usual = float(Estimator(SITE, history_of(SITE), Occupancy(SITE)).usual_flow(np.array([8.0]))[0])
    assert share.pop() == pytest.approx(emitter_share(usual + BOILER_HEADROOM_K, ROOM_DEGC))
    assert emitter_share(usual + FLOW_HEADROOM_K, ROOM_DEGC) < 0.9 * emitter_share(usual + BOILER_HEADROOM_K, ROOM_DEGC)


def test_its_water_is_hotter_than_the_coolest_that_would_do_because_it_cycles(winter: tuple[Problem, Plan]) -> None:
    problem, plan = winter
    step = int(np.argmin([value if value > 5 else 1e9 for value in plan.series["boiler"].values]))
    pump = problem_with_a_pump(steps=problem.steps).heat_pump
    alone, beside = (
        by_point(wishes(SITE, replace(problem, heat_pump=pump_), plan, priors(SITE), step))[FLOW].value
        for pump_ in (None, pump)
    )
    assert min(alone, 75.0) == pytest.approx(min(beside + BOILER_MARGIN_K - FLOW_MARGIN_K, 75.0), abs=0.11)
