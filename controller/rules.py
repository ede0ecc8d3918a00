"""The rule schedule (level 2): what good rules do on the same points, without any plan (pure).

Optimal start from a learned warm-up rate, setback, flow temperature by weather and by the worst zone, the cheaper heat
source, ventilation by CO2 and presence, lights where people are. The rules after ASHRAE Guideline 36 in spirit: reset
from demand, not from the clock.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from config.roles import Role
from config.site import AirBox, AirHandler, Boiler, Circuit, Site, Tank, Zone
from controller.actuate import Wish
from controller.learned import boiler_of, heat_pump_of
from controller.occupancy import Occupancy
from controller.state import State
from optimiser.plant import heat_pump_curve

COMFORT_GUARD_K = 0.2
SETBACK_DEGC = 15.0
WARM_UP_K_PER_H = 0.6  # at 0 degC outdoors, before anything was learned
LONGEST_START = timedelta(hours=8)
HEATING_LIMIT_DEGC = 16.0  # warmer than that outdoors, a boiler alone rests
OPEN_PERCENT = 5.0
CO2_LOW_PPM, CO2_HIGH_PPM = 600.0, 1000.0
LIGHTS_OUT_AFTER = timedelta(minutes=10)
LUMEN_PER_W = 110.0  # luminous efficacy of daylight
WANTED_LUX = 500.0  # EN 12464-1, offices
DAYLIGHT_TRUSTED = 0.8  # of the mean: desks far from a window have less
FULL_LIGHT_PERCENT, LEAST_LIGHT_PERCENT = 100.0, 20.0
LIGHT_STEP_PERCENT = 10.0


@dataclass(slots=True, kw_only=True)
class WarmUp:
    """Warm-up rate of each zone in K/h, corrected after every start by what was seen."""

    rates: dict[str, float] = field(default_factory=dict)
    _begun: dict[str, tuple[datetime, float]] = field(default_factory=dict)

    def rate(self, zone: str, outdoor_degc: float) -> float:
        return self.rates.get(zone, WARM_UP_K_PER_H) * max(0.4, 1.0 + 0.04 * outdoor_degc)

    def saw(self, zone: str, degc: float, now: datetime, *, heating: bool, outdoor_degc: float) -> None:
        """Learn from one reading; a start shorter than half an hour teaches nothing."""
        if heating and zone not in self._begun:
            self._begun[zone] = (now, degc)
        elif not heating and zone in self._begun:
            begun, from_degc = self._begun.pop(zone)
            hours = (now - begun) / timedelta(hours=1)
            if hours > 0.5 and degc > from_degc + 0.3:
                seen = (degc - from_degc) / hours / max(0.4, 1.0 + 0.04 * outdoor_degc)
                old = self.rates.get(zone, WARM_UP_K_PER_H)
                self.rates[zone] = min(3.0, max(0.15, old + 0.3 * (seen - old)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What the rules look at."""

    time: datetime
    electricity_price: float
    gas_price: float
    intensity_g_per_kwh: float
    gas_kg_per_kwh: float


class Rules:
    """The rule schedule of one site."""

    def __init__(self, site: Site, state: State, occupancy: Occupancy) -> None:
        self._site, self._state, self._occupancy = site, state, occupancy
        self._zones = [zone for building in site.buildings for zone in building.zones]
        self._presence: dict[str, datetime] = {}
        self._light: dict[str, float] = {}
        boxed = {name for b in site.buildings for p in b.plant if isinstance(p, AirBox) for name in p.serves}
        handlers = [p for b in site.buildings for p in b.plant if isinstance(p, AirHandler)]
        self._all_air = {h.id for h in handlers if boxed & set(h.serves)}  # they heat and cool too: the building's own
        self.warm_up = WarmUp()

    def wishes(self, now: Now) -> list[Wish]:
        """All of them: heating, source, ventilation and lights."""
        return [*self._heating(now), *self._source(now), *self.comfort_services(now.time)]

    def comfort_services(self, now: datetime) -> list[Wish]:
        """Ventilation and lights: these follow presence at every level, plan or not."""
        return [*self._ventilation(now), *self._lights(now)]

    def _value(self, role: Role, part: str | None, now: datetime) -> float | None:
        point = next(iter(self._site.by_role(role, part)), None)
        return None if point is None else self._state.value(point.id, now)

    def _writable(self, role: Role, part: str) -> str | None:
        return next((p.id for p in self._site.by_role(role, part) if p.writable), None)

    def _outdoor(self, now: datetime) -> float:
        value = self._value(Role.OUTDOOR_TEMPERATURE, None, now)
        return 5.0 if value is None else value

    def _target(self, zone: Zone, now: datetime, outdoor: float) -> tuple[float, str, bool]:
        """Setpoint, reason, and whether the zone is being warmed up for a start."""
        low = zone.comfort.occupied.low + COMFORT_GUARD_K
        if self._occupancy.occupied(zone.id, now):
            return low, "occupied by timetable", False
        start = self._occupancy.next_start(zone.id, now)
        degc = self._value(Role.ZONE_TEMPERATURE, zone.id, now)
        if start is not None and degc is not None:
            lead = timedelta(hours=max(0.0, low - degc) / self.warm_up.rate(zone.id, outdoor))
            if start - now <= min(lead, LONGEST_START):
                return low, f"optimal start for {self._occupancy.local(start):%H:%M}", True
        return max(zone.comfort.unoccupied.low, SETBACK_DEGC), "setback, nobody due", False

    def _heating(self, now: Now) -> Iterator[Wish]:
        outdoor = self._outdoor(now.time)
        worst = 0.0
        for zone in self._zones:
            point = self._writable(Role.HEATING_SETPOINT, zone.id)
            if point is None:
                continue
            value, reason, starting = self._target(zone, now.time, outdoor)
            degc = self._value(Role.ZONE_TEMPERATURE, zone.id, now.time)
            if degc is not None:
                self.warm_up.saw(zone.id, degc, now.time, heating=starting and degc < value, outdoor_degc=outdoor)
                worst = max(worst, value - degc)
            yield Wish(point=point, value=round(value, 1), reason=reason)
        for circuit in (p for b in self._site.buildings for p in b.plant if isinstance(p, Circuit)):
            if (point := self._writable(Role.FLOW_SETPOINT, circuit.id)) is not None:
                flow = 32.0 + 0.9 * max(0.0, 16.0 - outdoor) + min(12.0, 5.0 * worst)
                value = round(min(max(flow, circuit.flow_low), circuit.flow_high), 1)
                yield Wish(
                    point=point, value=value, reason=f"outdoor {outdoor:.0f} degC, worst zone {worst:.1f} K short"
                )

    def _source(self, now: Now) -> Iterator[Wish]:
        heat_pump, boiler = heat_pump_of(self._site), boiler_of(self._site)
        if heat_pump is None:
            if boiler is not None:
                yield from self._boiler_alone(boiler, now.time)
            return
        carbon_price = self._site.carbon.price_per_kg
        _, cop = heat_pump_curve(heat_pump.heat_kw, heat_pump.cop, self._outdoor(now.time), 42.0)
        pump_cost = (now.electricity_price + carbon_price * now.intensity_g_per_kwh / 1000) / float(cop)
        gas_cost = math.inf
        if boiler is not None and not self._value(Role.FAULT, boiler.id, now.time):
            gas_cost = (now.gas_price + carbon_price * now.gas_kg_per_kwh) / boiler.efficiency
        broken = bool(self._value(Role.FAULT, heat_pump.id, now.time)) and gas_cost < math.inf
        cheap = pump_cost <= gas_cost and not broken
        by_gas = "none to be had" if math.isinf(gas_cost) else f"{gas_cost:.3f}"
        reason = "it reports a fault" if broken else f"heat costs {pump_cost:.3f} by heat pump, by gas {by_gas}"
        if (point := self._writable(Role.ENABLE, heat_pump.id)) is not None:
            yield Wish(point=point, value=float(cheap), reason=reason)
        if boiler is not None and (point := self._writable(Role.ENABLE, boiler.id)) is not None:
            yield Wish(point=point, value=1.0, reason="tops up when the flow is too cool")
        for tank in (p for b in self._site.buildings for p in b.plant if isinstance(p, Tank)):
            if (point := self._writable(Role.TANK_SETPOINT, tank.id)) is not None:
                full = cheap and pump_cost < 0.7 * gas_cost
                yield Wish(
                    point=point, value=tank.high - 3.0 if full else 45.0, reason="cheap heat" if full else "ready"
                )

    def _boiler_alone(self, boiler: Boiler, now: datetime) -> Iterator[Wish]:
        """It waits for an open valve, and rests on warm days; where no valve reports, only the weather counts."""
        point = self._writable(Role.ENABLE, boiler.id)
        if point is None:
            return
        valves = [v for z in self._zones if (v := self._value(Role.VALVE_POSITION, z.id, now)) is not None]
        if self._outdoor(now) > HEATING_LIMIT_DEGC:
            yield Wish(point=point, value=0.0, reason=f"over {HEATING_LIMIT_DEGC:.0f} degC outdoors")
        elif valves and max(valves) < OPEN_PERCENT:
            yield Wish(point=point, value=0.0, reason="all valves are shut")
        else:
            yield Wish(point=point, value=1.0, reason="a valve is open" if valves else "it is cold outdoors")

    def _present(self, zone: str, now: datetime) -> bool | None:
        """People are there or were a moment ago; None = no usable sensor."""
        people = self._value(Role.OCCUPANCY, zone, now)
        if people is None:
            return None
        if people > 0:
            self._presence[zone] = now
        return now - self._presence.get(zone, datetime.min.replace(tzinfo=now.tzinfo)) < LIGHTS_OUT_AFTER

    def _ventilation(self, now: datetime) -> Iterator[Wish]:
        for handler in (p for b in self._site.buildings for p in b.plant if isinstance(p, AirHandler)):
            point = self._writable(Role.FAN_SPEED, handler.id)
            levels = [v for z in handler.serves if (v := self._value(Role.CO2, z, now)) is not None]
            if point is None or not levels or handler.id in self._all_air:
                continue
            people = any(self._present(zone, now) for zone in handler.serves)
            ppm = max(levels)
            share = min(1.0, max(0.0, (ppm - CO2_LOW_PPM) / (CO2_HIGH_PPM - CO2_LOW_PPM)))
            speed = max(100.0 * share, 20.0 if people else 0.0)
            yield Wish(point=point, value=float(round(speed / 5) * 5), reason=f"CO2 {ppm:.0f} ppm")

    def _lights(self, now: datetime) -> Iterator[Wish]:
        solar = self._value(Role.SOLAR_IRRADIANCE, None, now)
        for zone in self._zones:
            point = self._writable(Role.LIGHT_LEVEL, zone.id)
            present = self._present(zone.id, now)
            if point is None or present is None:
                continue
            if not present:
                yield Wish(point=point, value=0.0, reason="nobody there")
            elif solar is not None and zone.daylight_factor is not None:
                lux = LUMEN_PER_W * solar * zone.daylight_factor
                level = self._dimmed(zone.id, lux)
                if level < FULL_LIGHT_PERCENT:
                    yield Wish(point=point, value=level, reason=f"about {lux:.0f} lux of daylight")

    def _dimmed(self, zone: str, daylight_lux: float) -> float:
        """The electric light still needed, per cent in whole steps; brighter at once, dimmer with hysteresis."""
        needed = FULL_LIGHT_PERCENT * (1.0 - DAYLIGHT_TRUSTED * daylight_lux / WANTED_LUX)
        step = LIGHT_STEP_PERCENT
        level = min(FULL_LIGHT_PERCENT, max(LEAST_LIGHT_PERCENT, math.ceil(needed / step) * step))
        before = self._light.get(zone, FULL_LIGHT_PERCENT)
        if before - 2 * step < level < before:
            return before
        self._light[zone] = level
        return level


def merged(rules: list[Wish], plan: Mapping[str, Wish]) -> list[Wish]:
    """The plan's wishes where it has one, the rules' for the rest."""
    return [*plan.values(), *(wish for wish in rules if wish.point not in plan)]
