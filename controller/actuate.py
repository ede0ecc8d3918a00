"""A plan's first step as setpoints of the building's own controls (pure).

We move what the building's loops follow: zone setpoints, flow and tank setpoints, which source may run. Where the plan
does not heat, a zone is left at the floor it must not fall below, so that the local loop still protects comfort if
the plan is wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from config.roles import Role
from config.site import Circuit, Site, Tank
from controller.learned import Learned
from optimiser.problem import Plan, Problem, TankState

EMITTER_EXPONENT = 1.3  # radiators, EN 442
RATED_EXCESS_K = 50.0
HEATS_FROM_SHARE = 0.03  # of an emitter's power; below that the plan does not mean to heat
HOLD_GAIN = 1.0  # helps a slow local loop towards the planned temperature, either way
BELOW_K = 0.08  # as far below the floor as a setpoint may go to stop an overshoot
AHEAD_STEPS, OVER_K = 4, 0.7  # not far above what the next hour is to bring
FULL_SHARE, BAND_K = 0.85, 1.7  # of an emitter's power; the proportional band of usual room controllers
FLOW_MARGIN_K = 2.0
BOILER_MARGIN_K = 16.0  # a boiler alone cycles about its setpoint, and its hotter water costs little
MOST_NAMED = 3
FLOW_SERVES = 0.97  # of the planned heat: the last of it would heat all water for one room
SHORT_K, WIDE_OPEN, BACKED_UP = 0.1, 0.6, 1.15  # when the boiler joins in for a room that the tank leaves cold
FULL_DROP_K = 8.0  # more drop of the water at an emitter's full power than where its scale was learned
RUNS_FROM_KW = 1.0
FROST_DEGC = 4.0  # a little above where the envelope insists
TANK_LEAD_K = 6.0
WATER_KWH_PER_LITRE_K = 4.186 / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A value for a point and why, before any safety rule."""

    point: str
    value: float
    reason: str


def wishes(site: Site, problem: Problem, plan: Plan, learned: Learned, step: int = 0) -> list[Wish]:
    """What the points of the site should be set to during one step of the plan; raises IndexError beyond its end."""
    found = [*_zones(site, problem, plan, step), *_sources(site, problem, plan, step)]
    flow = _flow(site, problem, plan, learned, step)
    return [*found, *([] if flow is None else [flow])]


def _point(site: Site, role: Role, part: str) -> str | None:
    return next((p.id for p in site.by_role(role, part) if p.writable), None)


def _zones(site: Site, problem: Problem, plan: Plan, step: int) -> Iterator[Wish]:
    words = {reason.part: reason.text for reason in reversed(plan.reasons)}
    for zone in problem.zones:
        point = _point(site, Role.HEATING_SETPOINT, zone.id)
        if point is None or zone.held_degc is not None:
            continue
        heat_kw = plan.series[f"heat:{zone.id}"].values[step]
        predicted = plan.series[f"temperature:{zone.id}"].values
        aim = predicted[step]
        degc = predicted[step - 1] if step else zone.temperature_degc  # what the room will be when the step begins
        floor = zone.low_degc[min(step, len(zone.low_degc) - 1)]
        if heat_kw > HEATS_FROM_SHARE * zone.max_heat_kw:
            share = heat_kw / max(zone.max_heat_kw, 1e-6)  # a solver's nought may be a little more
            if share > FULL_SHARE:  # the valve wide open, and the loop's integral at rest
                peak = max(plan.series[f"temperature:{zone.id}"].values[step : step + AHEAD_STEPS])
                value = max(min(degc + BAND_K, peak + OVER_K), aim, floor)
            else:
                value = max(aim + HOLD_GAIN * (aim - degc), floor - BELOW_K)
            reason = words.get(zone.id, f"heat with {heat_kw:.1f} kW towards {aim:.1f} degC")
        else:
            value = floor
            reason = words.get(zone.id, f"no heat needed; not below {floor:.1f} degC")
        yield Wish(point=point, value=round(value, 1), reason=reason)


def _sources(site: Site, problem: Problem, plan: Plan, step: int) -> Iterator[Wish]:
    heat_pump, boiler, tank = problem.heat_pump, problem.boiler, problem.tank
    pump_runs, boiler_runs = _runs(problem, plan, step)
    # One source stays enabled in frost; with its tank's setpoint low the heat pump then rests, but is ready.
    guards = problem.outdoor_degc[step] < FROST_DEGC and not pump_runs and not boiler_runs
    pump_guards = guards and heat_pump is not None and heat_pump.available
    if heat_pump is not None:
        kw = plan.series["heat_pump"].values[step]
        share = kw / max(heat_pump.max_heat_kw[step], 1e-6)
        price = problem.import_price[step] / heat_pump.cop[step]
        reason = f"heat costs {price:.3f} per kWh now" if pump_runs else "waits for a better hour"
        reason = "ready against frost" if pump_guards else reason
        if (point := _point(site, Role.ENABLE, heat_pump.id)) is not None:
            yield Wish(point=point, value=float(pump_runs or pump_guards), reason=reason)
        if (point := _point(site, Role.CAPACITY_LIMIT, heat_pump.id)) is not None and pump_runs:
            yield Wish(point=point, value=float(min(100, max(30, round(100 * share)))), reason=reason)
    if boiler is not None and (point := _point(site, Role.ENABLE, boiler.id)) is not None:
        kw = plan.series["boiler"].values[step]
        beside = "" if heat_pump is None else " beside the heat pump"
        reason = f"{kw:.0f} kW{beside}" if boiler_runs else "not needed"
        kept = guards and not pump_guards
        yield Wish(point=point, value=float(boiler_runs or kept), reason="ready against frost" if kept else reason)
    if tank is not None and (point := _point(site, Role.TANK_SETPOINT, tank.id)) is not None:
        wish = _tank(site, tank, plan.series["tank"].values[step], point, charges=pump_runs)
        low = next(p.low for p in site.points.values() if p.id == point)
        yield replace(wish, value=low or wish.value, reason="rests") if pump_guards else wish


def _runs(problem: Problem, plan: Plan, step: int) -> tuple[bool, bool]:
    """Whether the plan means the heat pump and the boiler to run; a little heat is the relaxation's, not a wish."""
    heat_pump, boiler = problem.heat_pump, problem.boiler
    pump_runs = boiler_runs = False
    if heat_pump is not None:
        least = 0.3 * heat_pump.min_share * heat_pump.max_heat_kw[step]
        pump_runs = plan.series["heat_pump"].values[step] > max(RUNS_FROM_KW, least)
    if boiler is not None:
        boiler_runs = plan.series["boiler"].values[step] > RUNS_FROM_KW or _left_cold(problem, plan, step)
    return pump_runs, boiler_runs


def _left_cold(problem: Problem, plan: Plan, step: int) -> bool:
    """Whether a room in use is too cool although wide open, for want of hotter water than the tank holds.

    The plan knows what the tank gives to all emitters together; a single room needs the heat at its own emitter.
    """
    tank, boiler = problem.tank, problem.boiler
    if tank is None or tank.draw_kw is None or boiler is None or not boiler.available:
        return False
    held_kwh = plan.series["tank"].values[step - 1] if step else tank.energy_kwh
    most_kw = sum(zone.max_heat_kw for zone in problem.zones)
    from_tank = (tank.draw_kw + tank.draw_kw_per_kwh * held_kwh) / max(most_kw, 1e-6)  # of an emitter's largest heat
    return any(
        zone.temperature_degc < zone.low_degc[step] - SHORT_K
        and plan.series[f"heat:{zone.id}"].values[step] > max(WIDE_OPEN, BACKED_UP * from_tank) * zone.max_heat_kw > 0
        for zone in problem.zones
    )


def _tank(site: Site, tank: TankState, energy_kwh: float, point: str, *, charges: bool) -> Wish:
    """While the heat pump is to run, so far above the planned charge that its own loop lets it; else at the charge."""
    spec = next(p for b in site.buildings for p in b.plant if isinstance(p, Tank) and p.id == tank.id)
    planned = spec.high - (tank.capacity_kwh - energy_kwh) / (spec.volume_litres * WATER_KWH_PER_LITRE_K)
    value = min(planned + (TANK_LEAD_K if charges else 0.0), spec.high)
    reason = f"charge towards {energy_kwh:.0f} kWh" if charges else f"keep {energy_kwh:.0f} kWh"
    return Wish(point=point, value=round(value, 1), reason=reason)


def flow_needed(heat_kw: float, rated_kw: float, room_degc: float) -> float:
    """Flow temperature (degC) at which an emitter of that rating (kW at 50 K) gives `heat_kw`; EN 442, exponent 1.3."""
    share = max(heat_kw, 0.0) / rated_kw
    degc: float = room_degc + RATED_EXCESS_K * share ** (1 / EMITTER_EXPONENT) + FULL_DROP_K * share
    return degc


def emitter_share(flow_degc: float, room_degc: float) -> float:
    """Share of its 50 K rating that an emitter gives from water of that temperature; the inverse of `flow_needed`."""
    share = 0.5
    for _ in range(5):  # the water cools the more, the more it gives
        share = (max(flow_degc - FULL_DROP_K * share - room_degc, 1.0) / RATED_EXCESS_K) ** EMITTER_EXPONENT
    return share


def _flow(site: Site, problem: Problem, plan: Plan, learned: Learned, step: int) -> Wish | None:
    circuit = next((p for b in site.buildings for p in b.plant if isinstance(p, Circuit)), None)
    point = None if circuit is None else _point(site, Role.FLOW_SETPOINT, circuit.id)
    if circuit is None or point is None:
        return None
    rated = {z.id: z.emitter_kw or 0.0 for b in site.buildings for z in b.zones}
    wanted, names = [], []
    for zone in problem.zones:
        kw = rated[zone.id] * learned.emitter_scale.get(zone.id, 1.0)
        heat_kw = plan.series[f"heat:{zone.id}"].values[step]
        if kw > 0 and heat_kw > HEATS_FROM_SHARE * zone.max_heat_kw:
            wanted.append((heat_kw, kw, zone.temperature_degc))
            names.append(zone.id)
    if not wanted:
        return Wish(point=point, value=round(circuit.flow_low, 1), reason="nothing to heat")
    margin = BOILER_MARGIN_K if problem.heat_pump is None else FLOW_MARGIN_K
    value = min(max(_shared_flow(wanted) + margin, circuit.flow_low), circuit.flow_high)
    return Wish(point=point, value=round(value, 1), reason=f"as hot as {_some(names)} together need")


def _some(names: Sequence[str]) -> str:
    return (
        ", ".join(names)
        if len(names) <= MOST_NAMED
        else f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"
    )


def _shared_flow(wanted: Sequence[tuple[float, float, float]]) -> float:
    """Coolest flow that gives nearly all of the heat; (kW wanted, kW rated, degC of the room) for each emitter.

    Not what the worst room asks for: the hotter all water is, the hotter it comes back, and the dearer is all heat.
    """
    total_kw = sum(heat_kw for heat_kw, _, _ in wanted)
    needs = [flow_needed(*one) for one in wanted]
    low, high = min(needs), max(needs)
    for _ in range(7):  # to a quarter of a kelvin
        middle = (low + high) / 2
        given_kw = sum(min(heat_kw, kw * emitter_share(middle, degc)) for heat_kw, kw, degc in wanted)
        low, high = (low, middle) if given_kw >= FLOW_SERVES * total_kw else (middle, high)
    return high


def by_point(found: list[Wish]) -> Mapping[str, Wish]:
    """Wishes by point; the last one of a point counts."""
    return {wish.point: wish for wish in found}
