"""What cannot be read off a sensor, from the last days: heat by zone, mass temperature, disturbance, base load."""

from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from config.roles import Role
from config.site import Fuel, MeterKind, Site
from controller.actuate import EMITTER_EXPONENT, RATED_EXCESS_K
from controller.history import STEP, History
from controller.learned import Learned
from controller.occupancy import Occupancy
from optimiser.forecast import base_load, better
from optimiser.identify import disturbance

Values = NDArray[np.float64]
DAY_STEPS = int(timedelta(days=1) / STEP)
MASS_STEPS = 14 * DAY_STEPS
LOAD_STEPS = 28 * DAY_STEPS
JUDGED_FOR = timedelta(hours=6)
FLAT_OUT_K = 4.0
DESIGN_K = 45.0  # indoors over outdoors at which emitters would give their 50 K rating


class Estimator:
    """Estimates of one site, made anew when a quarter hour ends and kept until the next one."""

    def __init__(self, site: Site, history: History, occupancy: Occupancy) -> None:
        self._site, self._history, self._occupancy = site, history, occupancy
        self.zones = [zone for building in site.buildings for zone in building.zones if zone.emitter_kw]
        self.ids = [zone.id for zone in self.zones]
        self.neighbours = {zone.id: self._beside(zone.id) for zone in self.zones}
        self._made_at: datetime | None = None
        self._made_for: Learned | None = None
        self._mass: Values = np.empty(0)
        self._disturbance: Values = np.empty(0)
        self._judged_at: datetime | None = None  # when the method of forecasting the base load was chosen
        self._method = 0

    def _beside(self, zone: str) -> tuple[str, ...]:
        """Zones that share a wall, whichever of the two names the other: heat passes both ways."""
        named = {other.id: other.neighbours for other in self.zones}
        return tuple(other for other in self.ids if other != zone and (other in named[zone] or zone in named[other]))

    def __len__(self) -> int:
        """Complete quarter hours that are known."""
        return len(self._history)

    def _columns(self, role: Role, steps: int | None) -> Values:
        """(steps, zones) of one role; NaN where a zone has no such point."""
        points = [next((p.id for p in self._site.by_role(role, zone)), "") for zone in self.ids]
        return self._history.table(points, steps)

    def _one(self, role: Role, steps: int | None, part: str | None = None) -> Values:
        point = next((p.id for p in self._site.by_role(role, part)), "")
        return self._history.column(point, steps)

    def temperatures(self, steps: int | None = None) -> Values:
        """(steps, zones) degC."""
        return self._columns(Role.ZONE_TEMPERATURE, steps)

    def outdoor(self, steps: int | None = None) -> Values:
        return self._one(Role.OUTDOOR_TEMPERATURE, steps)

    def solar_kw_m2(self, steps: int | None = None) -> Values:
        return self._one(Role.SOLAR_IRRADIANCE, steps) / 1000.0

    def people(self, steps: int | None = None) -> Values:
        """(steps, zones); expected numbers where no sensor spoke."""
        return np.nan_to_num(self._columns(Role.OCCUPANCY, steps))

    def rated_heat_kw(self, steps: int | None = None) -> Values:
        """(steps, zones) kW by valve and flow at the emitters' ratings, before any learned scale; EN 442."""
        valve = self._columns(Role.VALVE_POSITION, steps) / 100.0
        flow = self._one(Role.FLOW_TEMPERATURE, steps)[:, None]
        excess = np.maximum(flow - self.temperatures(steps), 0.0) / RATED_EXCESS_K
        rated = np.array([zone.emitter_kw or 0.0 for zone in self.zones])
        heat: Values = valve * excess**EMITTER_EXPONENT * rated
        return heat

    def metered_heat_kw(self, steps: int | None = None) -> Values:
        """Heat into the circuit by its meter; NaN without one."""
        circuits = [m.point.split(".")[1] for m in self._site.meters if m.fuel is Fuel.HEAT]
        return self._one(Role.HEAT_OUTPUT, steps, circuits[0] if circuits else "")

    def output(self, part: str, steps: int | None = None) -> Values:
        """Heat output of a machine, kW."""
        return self._one(Role.HEAT_OUTPUT, steps, part)

    def electricity(self, part: str, steps: int | None = None) -> Values:
        """Electricity of a machine, kW."""
        return self._one(Role.ELECTRICITY_POWER, steps, part)

    def flat_out(self, part: str, steps: int | None = None) -> NDArray[np.bool_]:
        """Where a heat pump was held back by nothing: no limit set, and its tank well below the setpoint."""
        limit = self._one(Role.CAPACITY_LIMIT, steps, part)
        short = self._one(Role.TANK_SETPOINT, steps) - self._one(Role.TANK_TEMPERATURE, steps)
        running = self._one(Role.RUNNING, steps, part)
        found: NDArray[np.bool_] = (short > FLAT_OUT_K) & ~(limit < 99.0) & ~(running < 1.0)
        return found

    def power_by_register(self, fuel: Fuel, steps: int | None = None) -> Values:
        """Mean power of a fuel's main meter from the means of its register, kW; NaN where either end is unknown."""
        meter = next((m for m in self._site.meters if m.main and m.fuel is fuel and m.kind is MeterKind.REGISTER), None)
        means = self._history.column(meter.point if meter else "", steps)
        hours = STEP / timedelta(hours=1)
        power: Values = (np.roll(means, -1) - np.roll(means, 1)) / (2 * hours)  # of means: centred on the step
        if len(power):
            power[[0, -1]] = np.nan
        return power

    def usual_flow(self, outdoor: Values) -> Values:
        """Flow temperature that the emitters need when the building loses heat steadily, by outdoor temperature."""
        rated = sum(zone.emitter_kw or 0.0 for zone in self.zones)
        share = np.clip((20.0 - np.nan_to_num(outdoor, nan=5.0)) / DESIGN_K, 0.0, 1.0)
        flow: Values = 20.0 + RATED_EXCESS_K * share ** (1 / EMITTER_EXPONENT) * (rated > 0)
        return flow

    def local_steps(self, steps: int) -> NDArray[np.int64]:
        """Number of each past step within its local day."""
        end = self._history.end
        if end is None:
            return np.empty(0, dtype=np.int64)
        return self._occupancy.local_steps(end - steps * STEP, STEP, steps)

    def renew(self, learned: Learned) -> None:
        """Estimate anew if a quarter hour has ended or the models changed."""
        if self._history.end == self._made_at and learned is self._made_for:
            return
        self._made_at, self._made_for = self._history.end, learned
        steps = min(len(self._history), MASS_STEPS)
        temperatures = self.temperatures(steps)
        self._mass = self._masses(temperatures, learned)
        self._disturbance = self._disturbances(min(steps, DAY_STEPS + 1), learned)

    def mass(self, zone: str, default: float) -> float:
        """The zone's slow state, degC; `default` before there is any history."""
        value = self._mass[self.ids.index(zone)] if len(self._mass) else np.nan
        return float(default if np.isnan(value) else value)

    def disturbance_k(self, zone: str) -> float:
        """Heat that no input explains, as K per step over the last day."""
        value = self._disturbance[self.ids.index(zone)] if len(self._disturbance) else 0.0
        return float(np.nan_to_num(value))

    def _masses(self, temperatures: Values, learned: Learned) -> Values:
        """The exponential filter of measured temperature, over what is known of two weeks."""
        rates = np.array([learned.zones[zone].mass_rate for zone in self.ids])
        if not len(temperatures):
            return np.full(len(rates), np.nan)
        age = np.arange(len(temperatures))[::-1, None]
        weight = rates * (1.0 - rates) ** age
        known = ~np.isnan(temperatures)
        total = (weight * known).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            masses: Values = (weight * np.where(known, temperatures, 0.0)).sum(axis=0) / total
        return masses

    def _disturbances(self, steps: int, learned: Learned) -> Values:
        if steps < 2:
            return np.zeros(len(self.ids))
        scale = np.array([learned.emitter_scale.get(zone, 1.0) for zone in self.ids])
        return disturbance(
            {zone: learned.zones[zone] for zone in self.ids},
            neighbours=self.neighbours,
            temperature_degc=self.temperatures(steps),
            outdoor_degc=self.outdoor(steps),
            solar_kw_m2=self.solar_kw_m2(steps),
            people=self.people(steps),
            heat_kw=self.rated_heat_kw(steps) * scale,
            local_step=self.local_steps(steps),
        )

    def base_load_kw(self, start: datetime, steps: int) -> Values:
        """Forecast of the electricity that is not ours to move: import + PV - heat pump."""
        history = self.past_base_load_kw(LOAD_STEPS)
        if self._judged_at is None or not timedelta(0) <= start - self._judged_at < JUDGED_FOR:
            self._judged_at, self._method = start, better(history, start=start, step=STEP, steps=steps)
        return base_load(history, start=start, step=STEP, steps=steps, method=self._method)

    def past_base_load_kw(self, steps: int | None) -> Values:
        """Import + PV - heat pump of past steps, kW; NaN where the import is unknown."""
        mains = {m.point.rsplit(".", 1)[0] for m in self._site.meters if m.main and m.kind is MeterKind.REGISTER}
        power = self._site.by_role(Role.ELECTRICITY_POWER)
        imported = next((p.id for p in power if p.id.rsplit(".", 1)[0] in mains), "")
        ours = [p.id for p in power if p.id != imported]
        total = self._history.column(imported, steps)
        used = np.nan_to_num(self._history.table(ours, steps)).sum(axis=1)
        load: Values = total - used + np.nan_to_num(self._one(Role.PV_POWER, steps))
        return load
