"""Gathers a Problem: state, models, forecasts, prices and comfort on the planner's grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from config.roles import Role
from config.site import Circuit, Pv, Site, Tank, Zone
from controller.actuate import EMITTER_EXPONENT, RATED_EXCESS_K, WATER_KWH_PER_LITRE_K, emitter_share
from controller.estimate import Estimator
from controller.events import Trigger, Watch
from controller.history import STEP
from controller.learned import Learned, boiler_of, heat_pump_of
from controller.occupancy import Occupancy
from controller.outlook import Outlook, Prices
from controller.state import State
from optimiser.plant import heat_pump_curve
from optimiser.problem import BoilerState, HeatPumpState, Problem, TankState, ZoneState

Values = NDArray[np.float64]

COMFORT_GUARD_K = 0.2  # half a sensor's step and the model's error at a quarter of an hour
EARLY_STEPS = 3  # quarter hours by which a room should be ready before people come: a start cannot be made good
WEATHER_MEMORY_STEPS = 16  # how long the error of the forecast against our own sensor is expected to last
FLOW_HEADROOM_K = 14.0
BOILER_HEADROOM_K = 22.0  # where no heat pump suffers from hot water
ROOM_DEGC = 20.0
DRAW_DROP_K = 2.0  # from the tank to the flow's sensor; the emitters' own drop is in their learned scale
OPENS_STEPS, LEAST_OPEN_SHARE = 40, 0.3  # how long before people come a zone may be heated for them
RETURN_DROP_K = 8.0  # flow less return when the emitters work as usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A Problem and what it rests on."""

    problem: Problem
    stale: tuple[str, ...]  # forecasts older than they should be, in words
    missing: tuple[str, ...]  # zones whose temperature is not known


class Gatherer:
    """Builds Problems from what the other parts know; `learned` may be replaced at any time."""

    def __init__(
        self,
        site: Site,
        *,
        state: State,
        estimator: Estimator,
        occupancy: Occupancy,
        outlook: Outlook,
        prices: Prices,
        watch: Watch,
        learned: Learned,
        gas_kg_per_kwh: float,
    ) -> None:
        self._site, self._state, self._estimator = site, state, estimator
        self._occupancy, self._watch = occupancy, watch
        self.outlook, self.prices, self.learned, self.gas_kg_per_kwh = outlook, prices, learned, gas_kg_per_kwh
        self._steps = int(site.control.horizon / STEP)
        self._plant = [plant for building in site.buildings for plant in building.plant]

    def _point(self, role: Role, part: str | None) -> str | None:
        return next((p.id for p in self._site.by_role(role, part)), None)

    def _value(self, role: Role, part: str | None, now: datetime) -> float | None:
        values = (self._state.value(point.id, now) for point in self._site.by_role(role, part))
        return next((value for value in values if value is not None), None)  # the first sensor that can be believed

    def gather(self, now: datetime, trigger: Trigger, held: Mapping[str, float]) -> Gathered:
        """The Problem of `now`; `held` gives the values of points that a stronger hand holds."""
        start = now - timedelta(seconds=now.timestamp() % STEP.total_seconds())
        n = self._steps
        self._estimator.renew(self.learned)
        outdoor = self.outlook.outdoor_degc(start, STEP, n)
        solar = self.outlook.solar_kw_m2(start, STEP, n)
        intensity = self.outlook.intensity_g_per_kwh(start, STEP, n)
        price = self.prices.expected(start, STEP, n)
        degc = self._corrected(outdoor.values, self._value(Role.OUTDOOR_TEMPERATURE, None, now))
        zones, missing = self._zones(now, start, degc, held)
        problem = Problem(
            start=start,
            step=STEP,
            made_at=now,
            trigger=str(trigger),
            zones=zones,
            heat_pump=self._heat_pump(now, degc, held),
            boiler=self._boiler(now, held),
            tank=self._tank(now, degc, self._open_share(start, zones)),
            outdoor_degc=_tuple(degc),
            solar_kw_m2=_tuple(solar.values),
            base_load_kw=_tuple(self._estimator.base_load_kw(start, n)),
            pv_kw=_tuple(self._pv_kw(solar.values)),
            import_price=_tuple(price.values),
            export_price=_tuple(self.prices.export(start, STEP, n)),
            gas_price=_tuple(self.prices.gas(start, STEP, n)),
            intensity_g_per_kwh=_tuple(intensity.values),
            gas_kg_per_kwh=self.gas_kg_per_kwh,
            carbon_price_per_kg=self._site.carbon.price_per_kg,
            import_cap_kw=self._watch.limit_kw,
        )
        named = (("weather", outdoor), ("solar", solar), ("carbon", intensity), ("price", price))
        stale = tuple(f"{name} from {item.source}" for name, item in named if item.is_stale(now))
        return Gathered(problem=problem, stale=stale, missing=missing)

    def _corrected(self, forecast: Values, measured: float | None) -> Values:
        """The weather forecast shifted towards our own sensor, less and less over four hours."""
        if measured is None:
            return forecast
        fade = np.exp(-np.arange(len(forecast)) / WEATHER_MEMORY_STEPS)
        corrected: Values = forecast + (measured - forecast[0]) * fade
        return corrected

    def _zones(
        self, now: datetime, start: datetime, outdoor: Values, held: Mapping[str, float]
    ) -> tuple[tuple[ZoneState, ...], tuple[str, ...]]:
        local = self._occupancy.local_steps(start, STEP, self._steps)
        states, missing = [], []
        share = self._emitter_share(outdoor)
        for zone in self._estimator.zones:
            degc = self._value(Role.ZONE_TEMPERATURE, zone.id, now)
            if degc is None:
                degc = self._substitute(zone)
                missing.append(zone.id)
            model = self.learned.zones[zone.id]
            low, high = self._band(zone, start)
            offset = np.array(model.offset_k)[local % len(model.offset_k)] if model.offset_k else np.zeros(self._steps)
            setpoint = self._point(Role.HEATING_SETPOINT, zone.id)
            scale = self.learned.emitter_scale.get(zone.id, 1.0)
            states.append(
                ZoneState(
                    id=zone.id,
                    model=model,
                    temperature_degc=degc,
                    mass_degc=self._estimator.mass(zone.id, degc),
                    neighbours=self._estimator.neighbours[zone.id],
                    low_degc=_tuple(low),
                    high_degc=_tuple(high),
                    people=_tuple(self._occupancy.people(zone.id, start, STEP, self._steps)),
                    gain_k=_tuple(offset + self._estimator.disturbance_k(zone.id)),
                    max_heat_kw=scale * (zone.emitter_kw or 0.0) * share,
                    held_degc=None if setpoint is None else held.get(setpoint),
                )
            )
        return tuple(states), tuple(missing)

    def _emitter_share(self, outdoor: Values) -> float:
        """Share of an emitter's rating that a plan may use (EN 442).

        Not the hottest flow that is possible: a few kelvin above what the day needs, for hot water costs a heat pump
        its efficiency, which the plan's equations do not see. A boiler alone loses a little of its condensing: less
        than rooms lose that must be warmed up earlier.
        """
        headroom = BOILER_HEADROOM_K if heat_pump_of(self._site) is None else FLOW_HEADROOM_K
        hottest = max((p.flow_high for p in self._plant if isinstance(p, Circuit)), default=65.0)
        coldest = np.array([outdoor.min()])
        flow = min(hottest, float(self._estimator.usual_flow(coldest)[0]) + headroom)
        return emitter_share(flow, ROOM_DEGC)

    def _substitute(self, zone: Zone) -> float:
        """A silent zone is taken to be as its neighbours are, or at its lower bound."""
        points = [self._point(Role.ZONE_TEMPERATURE, near) for near in zone.neighbours]
        values = [value for p in points if p is not None and (value := self._state.last_value(p)) is not None]
        return sum(values) / len(values) if values else zone.comfort.occupied.low

    def _band(self, zone: Zone, start: datetime) -> tuple[Values, Values]:
        """The band at the end of each step: occupied if people are due in the step or soon after it."""
        due = self._occupancy.scheduled(zone.id, start, STEP, self._steps + EARLY_STEPS)
        occupied, comfort = due[: self._steps].copy(), zone.comfort
        for ahead in range(1, EARLY_STEPS + 1):
            occupied |= due[ahead : ahead + self._steps]
        guard = min(COMFORT_GUARD_K, (comfort.occupied.high - comfort.occupied.low) / 4)
        low = np.where(occupied, comfort.occupied.low + guard, comfort.unoccupied.low)
        high = np.where(occupied, comfort.occupied.high - guard, comfort.unoccupied.high)
        return low, high

    def _usable(self, part: str, now: datetime, held: Mapping[str, float]) -> bool:
        """No fault is reported and no stronger hand keeps it off."""
        fault = self._value(Role.FAULT, part, now)
        enable = self._point(Role.ENABLE, part)
        kept_off = enable is not None and held.get(enable) == 0.0
        return not kept_off and not fault

    def _heat_pump(self, now: datetime, outdoor: Values, held: Mapping[str, float]) -> HeatPumpState | None:
        spec = heat_pump_of(self._site)
        if spec is None:
            return None
        flow = self._estimator.usual_flow(outdoor)
        kw, cop = heat_pump_curve(spec.heat_kw, spec.cop, outdoor, flow)
        return HeatPumpState(
            id=spec.id,
            max_heat_kw=_tuple(np.asarray(kw) * self.learned.heat_pump_capacity),
            cop=_tuple(np.maximum(np.asarray(cop) * self.learned.heat_pump_cop, 1.0)),
            auxiliary_kw=spec.auxiliary_kw,
            min_share=0.3,
            available=self._usable(spec.id, now, held),
        )

    def _boiler(self, now: datetime, held: Mapping[str, float]) -> BoilerState | None:
        spec = boiler_of(self._site)
        if spec is None:
            return None
        return BoilerState(
            id=spec.id,
            max_heat_kw=spec.heat_kw,
            efficiency=spec.efficiency * self.learned.boiler_efficiency,
            available=self._usable(spec.id, now, held),
        )

    def _open_share(self, start: datetime, zones: Sequence[ZoneState]) -> Values:
        """Share of all emitters that may take water, by step: of zones that people are in or due in within hours."""
        rated = np.array([zone.max_heat_kw for zone in zones])
        wanted = np.array([self._occupancy.scheduled(z.id, start, STEP, self._steps + OPENS_STEPS) for z in zones])
        wide = np.lib.stride_tricks.sliding_window_view(wanted, OPENS_STEPS + 1, axis=1).any(axis=2)
        share: Values = np.clip(rated @ wide / max(rated.sum(), 1e-6), LEAST_OPEN_SHARE, 1.0)
        return share

    def _tank(self, now: datetime, outdoor: Values, open_share: Values) -> TankState | None:
        """The tank's useful content: what is hotter than the water that comes back from the emitters."""
        spec = next((plant for plant in self._plant if isinstance(plant, Tank)), None)
        if spec is None:
            return None
        kwh_per_k = spec.volume_litres * WATER_KWH_PER_LITRE_K
        degc = self._value(Role.TANK_TEMPERATURE, spec.id, now)
        back = float(self._estimator.usual_flow(outdoor[:1])[0]) - RETURN_DROP_K
        low = min(max(spec.low, back), spec.high - 5.0)
        span = spec.high - low
        held_kwh = 0.0 if degc is None else kwh_per_k * min(max(degc - low, 0.0), span)
        step_h = STEP / timedelta(hours=1)
        return TankState(
            id=spec.id,
            capacity_kwh=kwh_per_k * span,
            energy_kwh=held_kwh,
            loss_per_step=spec.loss_w_per_k / 1000 * step_h / kwh_per_k,
            standing_loss_kw=spec.loss_w_per_k / 1000 * max(low - 18.0, 0.0),
            draw_kw=self._draw_kw(low),
            draw_kw_per_kwh=(self._draw_kw(spec.high) - self._draw_kw(low)) / (kwh_per_k * span),
            open_share=_tuple(open_share),
            cop_loss_per_kwh=0.02 / kwh_per_k,  # about 2 % more electricity for each K
        )

    def _draw_kw(self, flow_degc: float) -> float:
        """Heat all emitters take together from water of that temperature (EN 442), cooled by as much as is usual."""
        scale = self.learned.emitter_scale
        rated = sum(scale.get(zone.id, 1.0) * (zone.emitter_kw or 0.0) for zone in self._estimator.zones)
        excess = max(flow_degc - DRAW_DROP_K - ROOM_DEGC, 0.0)
        return float(rated * (excess / RATED_EXCESS_K) ** EMITTER_EXPONENT)

    def _pv_kw(self, solar_kw_m2: Values) -> Values:
        peak = sum(plant.peak_kw for plant in self._plant if isinstance(plant, Pv))
        kw: Values = 0.85 * peak * solar_kw_m2
        return kw


def _tuple(values: Values) -> tuple[float, ...]:
    return tuple(np.asarray(values, dtype=float).tolist())
