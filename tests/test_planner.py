"""When a plan is made, what is asked for, and who leads when there is none."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from controller.actuate import Wish
from controller.arbiter import Request, Source
from controller.events import Cause, Trigger
from controller.gather import Gathered
from controller.hub import Buffer, Hub
from controller.ladder import Ladder, Level, LevelChange
from controller.learned import Learned, priors
from controller.outlook import Expected
from controller.planner import SHORTEST_GAP, Planner
from controller.rules import Now
from drivers.clock import Clock
from optimiser.problem import Plan, Problem, Status
from optimiser.solve import SolverFailed
from tests.conftest import EPOCH
from tests.plans import STEPS, cold_house, planned
from tests.problems import STEP
from tests.town_hall import town_hall_site

SITE = town_hall_site()
HALL, OFFICE = "townhall.hall.heating_setpoint", "townhall.office_n1.heating_setpoint"
LIGHT, FAN = "townhall.hall.light_level", "townhall.ahu.fan_speed"
MINUTE = timedelta(minutes=1)


@dataclass
class Sources:
    """Forecasts, prices and models as the planner sees them."""

    clock: Clock
    missing: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    gas_kg_per_kwh: float = 0.18
    learned: Learned = field(default_factory=lambda: priors(SITE))
    forecasts: dict[Cause, datetime] = field(default_factory=dict)
    triggers: list[Trigger] = field(default_factory=list)

    @property
    def prices(self) -> "Sources":
        return self

    @property
    def outlook(self) -> "Sources":
        return self

    def electricity(self, *_: object) -> np.ndarray:
        return np.array([0.25])

    gas = electricity

    def intensity_g_per_kwh(self, *_: object) -> Expected:
        return Expected(values=np.array([200.0]), made_at=EPOCH, source="test")

    def issued(self) -> Mapping[Cause, datetime]:
        return dict(self.forecasts)

    def gather(self, now: datetime, trigger: Trigger, held: Mapping[str, float]) -> Gathered:
        self.triggers.append(trigger)
        start = now - timedelta(seconds=now.timestamp() % STEP.total_seconds())
        house = replace(cold_house(), start=start, made_at=now, trigger=str(trigger))
        return Gathered(problem=house, stale=self.stale, missing=self.missing)


@dataclass
class Solver:
    failures: int = 0
    solved: list[datetime] = field(default_factory=list)

    async def solve(self, problem: Problem, time_out_s: float) -> Plan:
        if self.failures:
            self.failures -= 1
            raise SolverFailed("told to fail")
        assert problem.made_at is not None
        self.solved.append(problem.made_at)
        plan = planned(problem, heat_hall=10.0, temperature_hall=20.5, heat_pump=4.0)
        series = {name: replace(one, start=problem.start) for name, one in plan.series.items()}
        return replace(plan, series=series, made_at=problem.made_at, trigger=problem.trigger)


class Asked:
    """Stands for dispatch: what each source wants now."""

    def __init__(self) -> None:
        self.wanted: dict[tuple[Source, str], Request] = {}
        self.log: list[Request] = []

    def submit(self, *requests: Request) -> None:
        self.log += requests
        self.wanted |= {(r.source, r.point): r for r in requests}

    def withdraw(self, source: Source, *points: str) -> None:
        for point in points:
            self.wanted.pop((source, point))

    def held(self) -> Mapping[str, float]:
        return {}

    def points(self, source: Source) -> set[str]:
        return {point for who, point in self.wanted if who is source}


@dataclass
class RuleBook:
    """Rules for two zones, a fan, and a light that follows presence."""

    dark: bool = True

    def wishes(self, now: Now) -> list[Wish]:
        names = [HALL, OFFICE, FAN, *([LIGHT] if self.dark else [])]
        return [Wish(point=name, value=1.0, reason="rule") for name in names]


class Bench:
    def __init__(self, clock: Clock, *, optimise: bool = True) -> None:
        self.clock, self.sources, self.solver = clock, Sources(clock), Solver()
        self.asked, self.rules = Asked(), RuleBook()
        self.triggers: Hub[Trigger] = Hub()
        self.plans: Hub[Plan] = Hub()
        self.levels: Hub[LevelChange] = Hub()
        self.ladder = Ladder(clock, changes=self.levels)
        self.planner = Planner(
            SITE,
            clock=clock,
            gatherer=self.sources,
            solver=self.solver,
            rules=self.rules,
            dispatch=self.asked,
            ladder=self.ladder,
            triggers=self.triggers,
            plans=self.plans,
            optimise=optimise,
        )
        self.heard: Buffer[LevelChange]

    def tell(self, cause: Cause, text: str = "something") -> None:
        self.triggers.publish(Trigger(cause=cause, text=text, time=self.clock.now()))

    def at(self) -> list[float]:
        """Minutes since the beginning at which a plan was made."""
        return [round((when - EPOCH) / MINUTE, 2) for when in self.solver.solved]


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock)


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    with bench.levels.subscribe() as bench.heard:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(bench.planner.run(), name="planner")
            await asyncio.sleep(0)
            yield
            task.cancel()


async def test_a_plan_is_made_at_the_start_and_every_quarter_of_an_hour(bench: Bench) -> None:
    await asyncio.sleep(7 * 60)
    async with running(bench):
        await asyncio.sleep(40 * 60)
        assert bench.planner.next_at == EPOCH + timedelta(hours=1)
    assert bench.at() == [7, 15, 30, 45]
    assert str(bench.sources.triggers[0]) == "start: control begins"
    assert str(bench.sources.triggers[1]) == "schedule: every 15 minutes"


@pytest.mark.parametrize("cause", [Cause.DEMAND, Cause.DEVICE, Cause.OVERRIDE, Cause.PRICE, Cause.MODEL])
async def test_what_cannot_wait_makes_a_plan_at_once(bench: Bench, cause: Cause) -> None:
    async with running(bench):
        await asyncio.sleep(60)
        bench.tell(cause)
        await asyncio.sleep(1)
    assert bench.at() == pytest.approx([0, 1], abs=0.01)


@pytest.mark.parametrize("cause", [Cause.OCCUPANCY, Cause.COMFORT, Cause.METER, Cause.WEATHER, Cause.CARBON])
async def test_what_can_wait_waits_until_the_last_plan_is_five_minutes_old(bench: Bench, cause: Cause) -> None:
    async with running(bench):
        await asyncio.sleep(60)
        bench.tell(cause)
        bench.tell(cause)
        await asyncio.sleep(6 * 60)
        assert bench.at() == [0, SHORTEST_GAP / MINUTE]
        await asyncio.sleep(5 * 60 + 1)
        bench.tell(cause, "later")
        await asyncio.sleep(1)
    assert len(bench.at()) == 3, "and not at all if it is older"
    assert str(bench.sources.triggers[1]) == f"{cause}: something (and 1 more)"


async def test_triggers_of_one_moment_make_one_plan_named_by_the_urgent_one(bench: Bench) -> None:
    async with running(bench):
        await asyncio.sleep(60)
        for cause in (Cause.OCCUPANCY, Cause.DEVICE, Cause.METER):
            bench.tell(cause)
        await asyncio.sleep(60)
    assert len(bench.at()) == 2
    assert str(bench.sources.triggers[-1]) == "device: something (and 2 more)"


async def test_a_regular_plan_says_which_forecast_is_new(bench: Bench) -> None:
    bench.sources.forecasts = {Cause.WEATHER: EPOCH}
    async with running(bench):
        await asyncio.sleep(60)
        bench.sources.forecasts = {Cause.WEATHER: EPOCH + MINUTE}
        await asyncio.sleep(15 * 60)
        bench.tell(Cause.WEATHER)
        await asyncio.sleep(10 * 60)
    assert [t.cause for t in bench.sources.triggers] == [Cause.START, Cause.WEATHER]
    assert str(bench.sources.triggers[1]) == "weather: new forecast of weather"


async def test_the_plan_asks_where_it_wants_something_and_the_rules_for_the_rest(bench: Bench) -> None:
    async with running(bench):
        await asyncio.sleep(1)
    assert bench.asked.points(Source.RULES) == {FAN, LIGHT}
    assert {HALL, OFFICE} < bench.asked.points(Source.OPTIMISER)
    request = bench.asked.wanted[Source.OPTIMISER, HALL]
    assert request.value is not None
    assert request.value >= 20.5
    assert request.expires == EPOCH + timedelta(minutes=30)
    assert request.decision.startswith("plan-20230206T000000-")


async def test_only_regular_changes_count_as_announced(bench: Bench) -> None:
    async with running(bench):
        await asyncio.sleep(60)
        bench.tell(Cause.DEMAND)
        await asyncio.sleep(15 * 60)
    announced = {request.decision.rpartition("-")[2]: request.scheduled for request in bench.asked.log}
    assert announced == {"1": False, "2": False, "3": True}


async def test_a_zone_whose_temperature_is_unknown_is_left_to_the_rules(bench: Bench) -> None:
    bench.sources.missing = ("hall",)
    async with running(bench):
        await asyncio.sleep(1)
        assert HALL in bench.asked.points(Source.RULES)
        assert HALL not in bench.asked.points(Source.OPTIMISER)
        bench.tell(Cause.OCCUPANCY)
        await asyncio.sleep(1)
        assert HALL in bench.asked.points(Source.RULES), "also when somebody came in"


async def test_light_and_air_do_not_wait_for_a_plan(bench: Bench) -> None:
    async with running(bench):
        await asyncio.sleep(60)
        before = bench.asked.points(Source.OPTIMISER)
        bench.rules.dark = False
        bench.tell(Cause.OCCUPANCY)
        await asyncio.sleep(1)
        assert len(bench.at()) == 1
        assert bench.asked.points(Source.RULES) == {FAN}
        assert bench.asked.points(Source.OPTIMISER) == before


async def test_without_optimising_the_rules_ask_for_everything(clock: Clock) -> None:
    bench = Bench(clock, optimise=False)
    with bench.plans.subscribe() as plans:
        async with running(bench):
            await asyncio.sleep(20 * 60)
            bench.tell(Cause.OCCUPANCY)
            await asyncio.sleep(1)
        assert plans.take() == []
    assert bench.asked.points(Source.RULES) == {HALL, OFFICE, FAN, LIGHT}
    assert bench.asked.points(Source.OPTIMISER) == set()
    assert bench.sources.triggers == []


async def test_one_failure_lets_the_last_plan_go_on(bench: Bench) -> None:
    with bench.plans.subscribe() as plans:
        async with running(bench):
            await asyncio.sleep(60)
            bench.solver.failures = 1
            await asyncio.sleep(15 * 60)
            assert bench.ladder.level is Level.SHIFTED
            assert HALL in bench.asked.points(Source.OPTIMISER)
            await asyncio.sleep(15 * 60)
            assert bench.ladder.level is Level.OPTIMISING
        first, shifted, again = plans.take()
    assert [plan.status for plan in (first, shifted, again)] == [Status.OPTIMAL, Status.SHIFTED, Status.OPTIMAL]
    assert shifted.made_at == first.made_at
    assert len(shifted.series["heat:hall"].values) == STEPS - 1
    assert [change.new for change in bench.heard.take()] == [Level.SHIFTED, Level.OPTIMISING]


async def test_two_failures_give_the_lead_to_the_rules_until_three_good_plans(bench: Bench) -> None:
    async with running(bench):
        await asyncio.sleep(60)
        bench.solver.failures = 3
        await asyncio.sleep(30 * 60)
        leads = []
        for _ in range(4):
            leads.append((bench.ladder.level, HALL in bench.asked.points(Source.OPTIMISER)))
            assert (HALL in bench.asked.points(Source.RULES)) is not leads[-1][1]
            await asyncio.sleep(15 * 60)
        leads.append((bench.ladder.level, HALL in bench.asked.points(Source.OPTIMISER)))
    assert leads == [(Level.RULES, False)] * 4 + [(Level.OPTIMISING, True)]
    assert [change.new for change in bench.heard.take()] == [Level.SHIFTED, Level.RULES, Level.OPTIMISING]


async def test_a_failure_among_good_plans_begins_the_count_anew(bench: Bench) -> None:
    bench.solver.failures = 1
    levels = []
    async with running(bench):
        for failures in (0, 0, 1, 0, 0, 0):
            await asyncio.sleep(60)
            bench.solver.failures = failures
            bench.tell(Cause.DEVICE)
            await asyncio.sleep(1)
            levels.append(bench.ladder.level)
    assert levels == [Level.RULES] * 5 + [Level.OPTIMISING]


async def test_without_any_plan_a_failure_leaves_the_lead_to_the_rules_at_once(bench: Bench) -> None:
    bench.solver.failures = 1
    async with running(bench):
        await asyncio.sleep(1)
        assert bench.ladder.level is Level.RULES
        assert bench.asked.points(Source.RULES) == {HALL, OFFICE, FAN, LIGHT}


async def test_old_forecasts_are_told_to_the_ladder_and_planned_with(bench: Bench) -> None:
    bench.sources.stale = ("weather from the county",)
    async with running(bench):
        await asyncio.sleep(60)
        assert (bench.ladder.level, bench.ladder.why) == (
            Level.DEGRADED,
            "forecasts are old: weather from the county",
        )
        assert HALL in bench.asked.points(Source.OPTIMISER)
