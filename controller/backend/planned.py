"""The plan as the pages show it: the day ahead, and the hours before it beside what the plans of the time foretold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from config.roles import Role
from config.site import Tank, Zone
from controller.actuate import wishes
from controller.carbon.intensity import IntensityFile
from controller.history import STEP
from controller.naming import Names
from controller.service import Service
from controller.web.view import PlanView, ZonePlan
from optimiser.problem import Plan, Problem, Reason, Series

PAST = timedelta(hours=12)
PAST_STEPS = int(PAST / STEP)
NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A published plan with what it answers, on the grid of quarter hours."""

    problem: Problem
    plan: Plan


class Planned:
    """Keeps the newest plan and the first steps of those before it."""

    def __init__(self, service: Service, names: Names, intensity: IntensityFile | None) -> None:
        self._service, self._names, self._measured_g = service, names, intensity
        self._ring: dict[datetime, dict[str, float]] = {}  # series name -> value, by step start
        self._kept: _Kept | None = None
        self._points = {(p.role, p.part): p.id for p in reversed(list(service.site.points.values()))}
        self._zones: dict[str, Zone] = {z.id: z for b in service.site.buildings for z in b.zones}
        self._last: tuple[datetime, PlanView] | None = None
        self._setpoints: dict[str, tuple[float, ...]] | None = None  # by zone; None = nobody has looked yet

    @property
    def plan(self) -> Plan | None:
        """The newest plan; None before the first."""
        return None if self._kept is None else self._kept.plan

    def take(self, plan: Plan) -> None:
        """Keep a plan that has just been published."""
        last = self._service.planner.last
        problem = self._kept.problem if last is None and self._kept is not None else last[0] if last else None
        if problem is None:
            return
        names = [f"temperature:{zone.id}" for zone in problem.zones]
        for name in [*names, "import", "export"]:
            series = plan.series[name]
            self._ring.setdefault(series.start, {}).setdefault(name, series.values[0])
        oldest = plan.series["import"].start - PAST
        for when in [when for when in self._ring if when < oldest]:
            del self._ring[when]
        self._kept, self._last, self._setpoints = _Kept(problem=problem, plan=plan), None, None

    def _settings(self, problem: Problem, plan: Plan) -> dict[str, tuple[float, ...]]:
        """What the zone set points will be in each step, if nothing comes between."""
        site, learned = self._service.site, self._service.gatherer.learned
        points = {self._points.get((Role.HEATING_SETPOINT, z.id)): z.id for z in problem.zones}
        found: dict[str, list[float]] = {zone: [] for zone in points.values()}
        for step in range(len(plan.series["import"].values)):
            asked = {wish.point: wish.value for wish in wishes(site, problem, plan, learned, step)}
            for point, zone in points.items():
                held = next(z.held_degc for z in problem.zones if z.id == zone)
                found[zone].append(asked.get(point or "", NAN if held is None else held))
        return {zone: tuple(values) for zone, values in found.items()}

    def planned_kw(self, now: datetime) -> float | None:
        """The import that the plan expects now; None without one that reaches so far."""
        plan = self.plan
        if plan is None:
            return None
        try:
            return plan.series["import"].at(now) - plan.series["export"].at(now)
        except IndexError:
            return None

    def reasons(self, now: datetime) -> tuple[Reason, ...]:
        """What the plan says about now and later, earliest first."""
        plan = self.plan
        if plan is None:
            return ()
        return tuple(replace(r, text=self._names.words(r.text)) for r in plan.reasons if r.time >= now - STEP)

    def view(self, now: datetime) -> PlanView | None:
        """The plan in force; None before the first. Worked out once for each plan and quarter hour."""
        kept = self._kept
        if kept is None:
            return None
        quarter = now - timedelta(seconds=now.timestamp() % STEP.total_seconds())
        if self._last is None or self._last[0] != quarter:
            self._last = quarter, self._view(kept, now, quarter)
        return self._last[1]

    def _view(self, kept: _Kept, now: datetime, quarter: datetime) -> PlanView:
        plan, problem = kept.plan, kept.problem
        if self._setpoints is None:
            self._setpoints = self._settings(problem, plan)
        leads = self._service.planner.last is not None
        tank = next((p for b in self._service.site.buildings for p in b.plant if isinstance(p, Tank)), None)
        future = {name: after(series, quarter) for name, series in plan.series.items()}
        imported, exported = np.array(future["import"].values), np.array(future["export"].values)
        return PlanView(
            now=now,
            timezone=self._service.site.timezone,
            currency=self._service.site.tariffs[0].currency if self._service.site.tariffs else "GBP",
            made_at=plan.made_at,
            trigger=plan.trigger.replace(": ", ", ", 1),
            status=str(plan.status) if leads else "the last one, no longer followed: the rules lead",
            solve_s=plan.solve_s,
            cost=plan.cost,
            carbon_kg=plan.carbon_kg,
            energy_kwh=plan.energy_kwh,
            discomfort_kh=plan.discomfort_kh,
            zones=tuple(self._zone(z.id, kept, future, quarter) for z in problem.zones),
            price=self._price(problem, quarter),
            intensity=self._intensity(problem, quarter),
            heat_pump=self._source("heat_pump", future, quarter),
            boiler=self._source("boiler", future, quarter),
            imported=_series(future["import"].start, "kW", (imported - exported).tolist()),
            tank=future.get("tank"),
            tank_capacity_kwh=problem.tank.capacity_kwh if tank is not None and problem.tank is not None else None,
            past_import=self._past(self._service.watch.import_point, quarter, "kW"),
            past_planned_import=self._foretold_import(quarter),
            limit_kw=self._service.watch.limit_kw,
            decisions=self.reasons(now),
            names=self._names.parts,
        )

    def _zone(self, zone: str, kept: _Kept, future: dict[str, Series], quarter: datetime) -> ZonePlan:
        begin = quarter - PAST
        n = PAST_STEPS + len(future["import"].values)
        occupancy, comfort = self._service.occupancy, self._zones[zone].comfort
        due = occupancy.scheduled(zone, begin, STEP, n)
        low = np.where(due, comfort.occupied.low, comfort.unoccupied.low)
        high = np.where(due, comfort.occupied.high, comfort.unoccupied.high)
        start = kept.plan.series["import"].start
        setpoint = after(_series(start, "degC", (self._setpoints or {})[zone]), quarter)
        return ZonePlan(
            id=zone,
            name=self._names.part(zone),
            temperature=future[f"temperature:{zone}"],
            setpoint=setpoint,
            low=_series(begin, "degC", low.tolist()),
            high=_series(begin, "degC", high.tolist()),
            people=_series(begin, "people", occupancy.people(zone, begin, STEP, n).tolist()),
            actual=self._past(self._points.get((Role.ZONE_TEMPERATURE, zone)), quarter, "degC"),
            past_setpoint=self._past(self._points.get((Role.HEATING_SETPOINT, zone)), quarter, "degC"),
            past_planned=self._foretold([f"temperature:{zone}"], quarter, "degC"),
        )

    def _source(self, kind: str, future: Mapping[str, Series], quarter: datetime) -> Series | None:
        """Heat of the plant that a plan's series stands for, as metered and as planned; None if there is no such."""
        plant = next((p.id for b in self._service.site.buildings for p in b.plant if p.kind == kind), None)
        if plant is None:
            return None
        past = self._past(self._points.get((Role.HEAT_OUTPUT, plant)), quarter, "kW")
        known = [NAN] * PAST_STEPS if past is None else past.values
        return _series(quarter - PAST, "kW", [*known, *future[kind].values])

    def _past(self, point: str | None, quarter: datetime, unit: str) -> Series | None:
        """Measured quarter hours up to `quarter`; None for a point there is none of."""
        history = self._service.history
        end = history.end
        if point is None or end is None:
            return None
        values = np.full(PAST_STEPS, NAN)
        known = history.column(point, PAST_STEPS)
        behind = max(round((quarter - end) / STEP), 0)  # the last quarter may not be complete yet
        last = PAST_STEPS - behind
        known = known[max(len(known) - max(last, 0), 0) :] if last > 0 else known[:0]
        values[max(last, 0) - len(known) : max(last, 0)] = known
        return _series(quarter - PAST, unit, values.tolist())

    def _foretold(self, names: Iterable[str], quarter: datetime, unit: str) -> Series:
        """What the plans of the time had foretold for the hours before `quarter`."""
        starts = [quarter - PAST + n * STEP for n in range(PAST_STEPS)]
        rows = [self._ring.get(start, {}) for start in starts]
        return _series(starts[0], unit, [sum(row.get(name, NAN) for name in names) for row in rows])

    def _foretold_import(self, quarter: datetime) -> Series:
        bought, sold = self._foretold(["import"], quarter, "kW"), self._foretold(["export"], quarter, "kW")
        net = [b - s for b, s in zip(bought.values, sold.values, strict=True)]
        return _series(bought.start, "kW", net)

    def _price(self, problem: Problem, quarter: datetime) -> Series:
        prices = self._service.gatherer.prices
        before = prices.electricity(quarter - PAST, STEP, PAST_STEPS).tolist()
        ahead = after(_series(problem.start, "", problem.import_price), quarter)
        return _series(quarter - PAST, "money/kWh", (*before, *ahead.values))

    def _intensity(self, problem: Problem, quarter: datetime) -> Series:
        ahead = after(_series(problem.start, "g/kWh", problem.intensity_g_per_kwh), quarter)
        if self._measured_g is None:
            return ahead
        try:
            before = self._measured_g.actual_g_per_kwh(ahead.start - PAST, STEP, PAST_STEPS)
        except LookupError:
            return ahead
        return _series(ahead.start - PAST, "g/kWh", (*before.tolist(), *ahead.values))


def after(series: Series, when: datetime) -> Series:
    """What is left of a series from the step that holds `when`; its last value alone if it has run out."""
    skipped = min(max((when - series.start) // series.step, 0), len(series.values) - 1)
    start = series.start + skipped * series.step
    return Series(start=start, step=series.step, unit=series.unit, values=series.values[skipped:])


def _series(start: datetime, unit: str, values: Iterable[float]) -> Series:
    return Series(start=start, step=STEP, unit=unit, values=tuple(values))
