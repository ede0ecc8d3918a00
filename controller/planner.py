"""Plans when something happened and at the latest every quarter of an hour; turns the plan into requests."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from config.site import Site
from controller.actuate import Wish, by_point, wishes
from controller.arbiter import Request, Source
from controller.dispatch import Dispatch
from controller.events import Cause, Trigger
from controller.gather import Gathered, Gatherer
from controller.history import STEP
from controller.hub import Buffer, Hub
from controller.ladder import Ladder, Level, Trouble
from controller.naming import Names
from controller.rules import Now, Rules, merged
from controller.supervisor import next_tick
from drivers.clock import Clock
from optimiser.explain import explain
from optimiser.problem import Plan, Problem, SolverFailed
from optimiser.shift import shifted

log = logging.getLogger(__name__)

SOLVER_TIME_OUT_S = 30.0
LAST_PLAN_FOR = timedelta(hours=2)
PATIENT = frozenset({Cause.OCCUPANCY, Cause.COMFORT, Cause.METER, Cause.WEATHER, Cause.CARBON})
TOGETHER_S = 0.1  # what happens at one moment makes one plan, and reflexes are on the wire before we compute
SHORTEST_GAP = timedelta(minutes=5)  # between plans for a cause that can wait


class Solver(Protocol):
    """What solves: the worker process, or the same session in-process."""

    async def solve(self, problem: Problem, time_out_s: float) -> Plan: ...


class Planner:
    """One task. Publishes every plan with what triggered it."""

    def __init__(
        self,
        site: Site,
        *,
        clock: Clock,
        gatherer: Gatherer,
        solver: Solver,
        rules: Rules,
        dispatch: Dispatch,
        ladder: Ladder,
        triggers: Hub[Trigger],
        plans: Hub[Plan],
        optimise: bool = True,
    ) -> None:
        self._site, self._clock, self._gatherer, self._solver = site, clock, gatherer, solver
        self._rules, self._dispatch, self._ladder = rules, dispatch, ladder
        self._triggers, self._plans, self._optimise = triggers, plans, optimise
        self._names = Names(site)
        self._failures = 0
        self._number = 0
        self._asked: dict[Source, frozenset[str]] = {}
        self.last: tuple[Problem, Plan] | None = None
        self.next_at: datetime | None = None
        self.issued: Mapping[Cause, datetime] = {}  # the forecasts behind the last plan

    async def run(self) -> None:
        """Plan until cancelled."""
        with self._triggers.subscribe(size=200) as buffer:
            await self.plan(Trigger(cause=Cause.START, text="control begins", time=self._clock.now()))
            while True:
                trigger = await self._next(buffer)
                await self.plan(trigger)

    async def _next(self, buffer: Buffer[Trigger]) -> Trigger:
        """The trigger that makes us plan; patient ones wait until the last plan is a few minutes old."""
        begun = self._clock.now()
        every = self._site.control.plan_every
        self.next_at = due = next_tick(begun, every)
        waiting: list[Trigger] = []
        while True:
            until = min(due, begun + SHORTEST_GAP) if waiting else due
            try:
                async with asyncio.timeout(max(0.0, (until - self._clock.now()).total_seconds())):
                    waiting += [trigger for trigger in await buffer.batch() if not self._knows(trigger)]
            except TimeoutError:
                break
            self._follow_presence(waiting)
            if any(trigger.cause not in PATIENT for trigger in waiting):
                await asyncio.sleep(TOGETHER_S)
                waiting += buffer.take()
                break
            if waiting and self._clock.now() - begun >= SHORTEST_GAP:
                break
        now = self._clock.now()
        if not waiting:
            return Trigger(cause=Cause.SCHEDULE, text=f"every {every.total_seconds() / 60:.0f} minutes", time=now)
        urgent = next((t for t in waiting if t.cause not in PATIENT), waiting[0])
        others = len(waiting) - 1
        return urgent if not others else replace(urgent, text=f"{urgent.text} (and {others} more)")

    def _knows(self, trigger: Trigger) -> bool:
        """It tells of a forecast that the last plan, made at the same moment, rests on already."""
        known = self.issued.get(trigger.cause)
        return known is not None and known == self._gatherer.outlook.issued().get(trigger.cause)

    def _follow_presence(self, triggers: list[Trigger]) -> None:
        """Lights and ventilation do not wait for a plan."""
        if any(trigger.cause is Cause.OCCUPANCY for trigger in triggers):
            now = self._clock.now()
            planned = self._asked.get(Source.OPTIMISER, frozenset())
            rules = self._rules.wishes(self._look(now))
            self._ask(Source.RULES, [wish for wish in rules if wish.point not in planned], now)

    @property
    def _leads(self) -> bool:
        """The plan leads, not the rules."""
        return self._optimise and self.last is not None and self._ladder.level is not Level.RULES

    def _look(self, now: datetime) -> Now:
        prices, outlook = self._gatherer.prices, self._gatherer.outlook
        return Now(
            time=now,
            electricity_price=float(prices.electricity(now, STEP, 1)[0]),
            gas_price=float(prices.gas(now, STEP, 1)[0]),
            intensity_g_per_kwh=float(outlook.intensity_g_per_kwh(now, STEP, 1).values[0]),
            gas_kg_per_kwh=self._gatherer.gas_kg_per_kwh,
        )

    async def plan(self, trigger: Trigger) -> Plan | None:
        """Make one plan, publish it and ask for its first step; None when only the rules could be followed."""
        now = self._clock.now()
        rules = self._rules.wishes(self._look(now))
        gathered, plan = None, None
        scheduled = trigger.cause is Cause.SCHEDULE
        trigger = self._news(trigger)
        if self._optimise:
            gathered = self._gatherer.gather(now, trigger, self._dispatch.held())
            stale = ", ".join(gathered.stale)
            self._ladder.report(Trouble.FORECAST, present=bool(stale), text=f"forecasts are old: {stale}")
            plan = await self._solve(gathered.problem, now)
        self._number += 1
        decision = f"plan-{now:%Y%m%dT%H%M%S}-{self._number}"
        wanted: Mapping[str, Wish] = {}
        if gathered is not None and plan is not None:
            self._plans.publish(plan)
            if self._leads:  # back from the rules only after several good plans
                wanted = self._wishes(gathered, plan, now)
        others = [wish for wish in merged(rules, wanted) if wish.point not in wanted]
        self._ask(Source.RULES, others, now, decision, scheduled=scheduled)
        self._ask(Source.OPTIMISER, list(wanted.values()), now, decision, scheduled=scheduled)
        return plan

    def _news(self, trigger: Trigger) -> Trigger:
        """The trigger, or the new forecast that came with a regular plan."""
        issued = self._gatherer.outlook.issued()
        new = [cause for cause, when in issued.items() if self.issued.get(cause) != when]
        self.issued = issued
        if trigger.cause is not Cause.SCHEDULE or not new:
            return trigger
        return replace(trigger, cause=new[0], text=f"new forecast of {' and '.join(new)}")

    def _wishes(self, gathered: Gathered, plan: Plan, now: datetime) -> Mapping[str, Wish]:
        first = next(iter(plan.series.values())).start
        step = max(0, int((now - first) / STEP))
        found = by_point(wishes(self._site, gathered.problem, plan, self._gatherer.learned, step))
        blind = {f"{self._site.buildings[0].id}.{zone}." for zone in gathered.missing}
        return {point: wish for point, wish in found.items() if not any(point.startswith(b) for b in blind)}

    async def _solve(self, problem: Problem, now: datetime) -> Plan | None:
        """A plan by the solver, else the last one moved on, else None: the rules lead."""
        try:
            plan = await self._solver.solve(problem, SOLVER_TIME_OUT_S)
        except SolverFailed as error:
            self._failures += 1
            last = self.last
            fresh = last is not None and now - last[1].made_at < LAST_PLAN_FOR
            usable = fresh and self._failures < 2 and self._ladder.level is not Level.RULES
            if self._failures <= 2:
                log.warning("no new plan (%s): %s", error, "the last plan goes on" if usable else "the rules lead")
            if last is None or not usable:
                text = f"solver failed {self._failures} times: {error}"
                # In this order, or we should seem well for a moment.
                self._ladder.report(Trouble.SOLVER, present=True, text=text)
                self._ladder.report(Trouble.PLAN_SHIFTED, present=False, text="")
                self.last = None
                return None
            self._ladder.report(Trouble.PLAN_SHIFTED, present=True, text=f"solver: {error}")
            return shifted(last[1], problem.start)
        self._failures = 0
        self._ladder.report(Trouble.PLAN_SHIFTED, present=False, text="")
        self._ladder.report(Trouble.SOLVER, present=False, text="")
        plan = replace(plan, reasons=explain(problem, plan, names=self._names.parts, tz=self._names.tz))
        self.last = (problem, plan)
        return plan

    def _ask(
        self, source: Source, wanted: list[Wish], now: datetime, decision: str = "presence", *, scheduled: bool = False
    ) -> None:
        """Put these wishes in place of what this source asked for before."""
        expires = now + self._site.control.lease
        points = frozenset(wish.point for wish in wanted)
        gone = self._asked.get(source, frozenset()) - points
        self._asked[source] = points
        if gone:
            self._dispatch.withdraw(source, *sorted(gone))
        self._dispatch.submit(
            *(
                Request(
                    source=source,
                    point=w.point,
                    value=w.value,
                    expires=expires,
                    reason=w.reason,
                    decision=decision,
                    scheduled=scheduled,
                )
                for w in wanted
            )
        )
