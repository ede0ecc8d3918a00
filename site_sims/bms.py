"""The building's own control: what an expert would have programmed, writing at priority 15.

Zone schedules with self-adapting optimal start, setback, weather compensation, cheapest-source changeover, a tank
schedule, fan and lights by the timetable; and the watchdog that takes the building back from a silent supervisor.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

from config.roles import Role
from config.site import Fuel, Site
from site_sims.field import Field, FieldObject
from site_sims.machines import performance
from site_sims.occupants import Timetable
from site_sims.rates import Rates, TariffBand
from site_sims.truth import BmsTruth

SLOT = 15
SUPERVISORS = range(9, 15)  # slots the watchdog clears
SILENT_MIN = 5
CYCLE_MIN = 5  # the program runs each five minutes, its watchdog every minute
GAS_EFFICIENCY = 0.88  # on the boiler's plate
FIRST_RATE, LEAST_RATE, MOST_RATE = 40.0, 8.0, 300.0  # minutes a kelvin of warm-up
LEARNING = 0.3
BACKUP_STAYS_MIN = 30
LOOK_AHEAD_MIN = 14 * 60
DEMAND_PERCENT = 5.0
FROST_DEGC, FROST_SETPOINT = 8.0, 12.0


@dataclass(slots=True)
class ZoneProgram:
    """Where one zone's program stands."""

    rate: float = FIRST_RATE  # learnt, minutes a kelvin at 7 degC outdoors
    began: int | None = None  # minute the warm-up began
    began_degc: float = 0.0
    lead: float = 0.0  # minutes before occupancy to begin


@dataclass(slots=True)
class BmsState:
    """What a checkpoint has to hold."""

    zones: list[ZoneProgram]
    outdoor: float | None = None  # slow mean, degC
    short_of_heat_min: float = 0.0
    backup_until: int = 0
    beat: float = 0.0
    beat_minute: int = 0
    moving: bool = False  # a supervisor's heartbeat is alive
    fallen_back: int = 0  # times the watchdog took the building back
    boost: float = 0.0


@dataclass(slots=True, kw_only=True)
class ZonePoints:
    temperature: FieldObject
    valve: FieldObject
    setpoint: FieldObject
    light: FieldObject | None
    people: int  # index in the building


@dataclass(slots=True)
class _Day:
    """Spans of one local day by zone, and of the ventilated zone."""

    day: date | None = None
    until: int = 0
    spans: list[list[tuple[int, int]]] = field(default_factory=list)


class Bms:
    """Reads the field's sensors, writes at priority 15; call `step` once a minute."""

    def __init__(self, site: Site, points: Field, *, settings: BmsTruth, timetable: Timetable, rates: Rates) -> None:
        building = site.buildings[0]
        self.settings, self._timetable, self._rates, self._field = settings, timetable, rates, points
        self._lead_day = _Day()
        self._warming = False  # a zone is in its hours or warming up for them, and more than 1 K short

        def find(role: Role, part: str) -> FieldObject:
            return points[site.by_role(role, part)[0].id.split(".", 1)[1]]

        def maybe(role: Role, part: str) -> FieldObject | None:
            return find(role, part) if site.by_role(role, part) else None

        kinds = {item.kind: item.id for item in building.plant}
        self._zones = [
            ZonePoints(
                temperature=find(Role.ZONE_TEMPERATURE, zone.id),
                valve=find(Role.VALVE_POSITION, zone.id),
                setpoint=find(Role.HEATING_SETPOINT, zone.id),
                light=maybe(Role.LIGHT_LEVEL, zone.id),
                people=index,
            )
            for index, zone in enumerate(building.zones)
        ]
        ahu = next((item for item in building.plant if item.kind == "air_handler"), None)
        self._fan = maybe(Role.FAN_SPEED, ahu.id) if ahu is not None else None
        self._aired = [zone.id for zone in building.zones].index(ahu.serves[0]) if ahu is not None else 0
        pump, boiler, tank, circuit = (kinds[kind] for kind in ("heat_pump", "boiler", "tank", "circuit"))
        self._pump, self._limit = find(Role.ENABLE, pump), maybe(Role.CAPACITY_LIMIT, pump)
        self._pump_fault, self._boiler = find(Role.FAULT, pump), find(Role.ENABLE, boiler)
        self._tank = find(Role.TANK_SETPOINT, tank)
        self._flow, self._flow_degc = find(Role.FLOW_SETPOINT, circuit), find(Role.FLOW_TEMPERATURE, circuit)
        self._outdoor = points[site.by_role(Role.OUTDOOR_TEMPERATURE)[0].id.split(".", 1)[1]]
        beats = site.by_role(Role.HEARTBEAT)
        self._heartbeat = points[beats[0].id.split(".", 1)[1]] if beats else None
        self.state = BmsState([ZoneProgram() for _ in building.zones])

    def step(self, minute: int) -> None:
        """One minute of the program; the first step after a start runs the whole of it."""
        state, outdoor = self.state, self._outdoor.sensed
        state.outdoor = outdoor if state.outdoor is None else state.outdoor + (outdoor - state.outdoor) / 60
        self._watch(minute)
        if minute % CYCLE_MIN and self._lead_day.day is not None:
            return
        self._plan_day(minute)
        band = self._rates.band(minute)
        self._warming = False
        for zone, points in enumerate(self._zones):
            self._run_zone(zone, points, minute, band)
        if self._fan is not None:
            before = self.settings.fan_before_min
            on = any(start - before <= minute < end for start, end in self._lead_day.spans[self._aired])
            self._put(self._fan, self.settings.fan_percent if on else 0.0)
        self._run_plant(minute, band)

    def forget_day(self) -> None:
        """Read the timetable anew at the next cycle: the clock was set back or forward."""
        self._lead_day = _Day(day=date.min)

    def _plan_day(self, minute: int) -> None:
        """Today's and tomorrow's spans, renewed at local midnight."""
        if minute < self._lead_day.until:
            return
        table = self._timetable
        today = table.local_date(minute)
        tomorrow = today + timedelta(days=1)
        midnight = table.midnight(tomorrow)
        self._lead_day = _Day(
            today, midnight, [table.spans(z, today) + table.spans(z, tomorrow) for z in range(len(self._zones))]
        )

    def _run_zone(self, zone: int, points: ZonePoints, minute: int, band: TariffBand) -> None:
        s, spans, measured = self.settings, self._lead_day.spans[zone], points.temperature.sensed
        span = next((span for span in spans if minute < span[1]), None)
        wanted = s.setback_degc
        if span is not None:
            warm = self._warm(self.state.zones[zone], minute, span, measured)
            wanted = s.occupied_degc if warm else wanted
            self._warming |= warm and measured < s.occupied_degc - 1.0
            if band is TariffBand.NIGHT and 0 < span[0] - minute < LOOK_AHEAD_MIN:
                wanted = max(wanted, s.night_degc)
        if measured < FROST_DEGC:
            wanted = max(wanted, FROST_SETPOINT)
        self._put(points.setpoint, wanted)
        if points.light is not None:
            margin = s.light_margin_min
            lit = any(start - margin <= minute < end + margin for start, end in spans)
            self._put(points.light, s.light_percent if lit else 0.0)

    def _warm(self, program: ZoneProgram, minute: int, span: tuple[int, int], measured: float) -> bool:
        """In occupied hours, or warming up for them."""
        start, end = span
        if minute >= start:
            self._learn(program, minute, measured, arrived=True)
            return minute < end - self.settings.stop_early_min
        program.lead = self._lead(program, measured)
        if start - minute > program.lead and program.began is None:
            return False
        if program.began is None:
            program.began, program.began_degc = minute, measured
        self._learn(program, minute, measured, arrived=measured >= self.settings.occupied_degc - 0.3)
        return True

    def _cold(self) -> float:
        return 1 + 0.025 * max(7.0 - (self.state.outdoor or 0.0), 0.0)

    def _lead(self, program: ZoneProgram, measured: float) -> float:
        missing = max(self.settings.occupied_degc - measured, 0.0)
        lead = self.settings.start_margin * program.rate * self._cold() * missing
        return min(lead, self.settings.longest_start_h * 60)

    def _learn(self, program: ZoneProgram, minute: int, measured: float, *, arrived: bool) -> None:
        """After a warm-up, move the learnt rate towards what was measured."""
        if program.began is None or not arrived:
            return
        gained = measured - program.began_degc
        if minute - program.began >= 20 and gained > 0.5:
            rate = (minute - program.began) / gained / self._cold()
            program.rate += LEARNING * (min(max(rate, LEAST_RATE), MOST_RATE) - program.rate)
        if measured >= self.settings.occupied_degc - 0.3 or gained <= 0.5 or minute - program.began >= 20:
            program.began = None

    def _run_plant(self, minute: int, band: TariffBand) -> None:
        """Heating curve, cheapest source and tank. The heat pump carries the curve, the boiler what is above it."""
        s, state = self.settings, self.state
        demand = any(points.valve.sensed > DEMAND_PERCENT for points in self._zones)
        if self._fan is not None and self._fan.value >= DEMAND_PERCENT:
            demand = True
        curve = s.curve_offset + s.curve_slope * max(20.0 - (state.outdoor or 0.0), 0.0)
        flow = curve + (s.boost_k if self._warming else 0.0)
        flow = round(min(max(flow, self._flow.low or 25.0), self._flow.high or 65.0) * 2) / 2
        self._put(self._flow, flow)
        prefers_pump = self._prefers_pump(minute, band, curve)
        tank = curve + s.tank_margin_k if demand else 25.0
        pump = prefers_pump and demand
        if band is TariffBand.NIGHT and self._occupied_soon(minute):
            tank, pump = max(tank, s.tank_night_degc), True
        elif band is TariffBand.PEAK:
            tank = min(tank, s.tank_peak_degc)
        boiler = demand and (self._short_of_heat(minute, demand=demand, flow=flow) or not prefers_pump)
        self._put(self._tank, round(tank * 2) / 2)
        self._put(self._pump, 1.0 if pump else 0.0)
        self._put(self._boiler, 1.0 if boiler else 0.0)
        if self._limit is not None:
            self._put(self._limit, 100.0)

    def _prefers_pump(self, minute: int, band: TariffBand, curve: float) -> bool:
        """Heat from the heat pump, at its rated performance now, costs less than from the boiler."""
        if self._pump_fault.sensed > 0.5:
            return False
        s, water = self.settings, min(curve + self.settings.tank_margin_k, self._tank.high or 55.0)
        bias = {TariffBand.NIGHT: s.bias_night, TariffBand.DAY: s.bias_day, TariffBand.PEAK: s.bias_peak}[band]
        electric = self._rates.at(Fuel.ELECTRICITY, minute) / performance(self.state.outdoor or 0.0, water, 0.8)
        return electric * bias < self._rates.at(Fuel.GAS, minute) / GAS_EFFICIENCY

    def _short_of_heat(self, minute: int, *, demand: bool, flow: float) -> bool:
        """The flow has been below its setpoint for a while: the boiler joins in, and stays for half an hour."""
        s, state = self.settings, self.state
        idle = self._rates.band(minute) is TariffBand.NIGHT and not self._warming  # cheap hours are the heat pump's
        short = demand and not idle and self._flow_degc.sensed < flow - s.backup_k
        state.short_of_heat_min = state.short_of_heat_min + CYCLE_MIN if short else 0.0
        if short and state.short_of_heat_min >= s.backup_min:
            state.backup_until = minute + BACKUP_STAYS_MIN
        return minute < state.backup_until

    def _occupied_soon(self, minute: int) -> bool:
        return any(
            minute < end and start - minute < LOOK_AHEAD_MIN for spans in self._lead_day.spans for start, end in spans
        )

    def _watch(self, minute: int) -> None:
        """Five minutes without a beat: clear the supervisors' slots, so that this program decides again."""
        state = self.state
        if self._heartbeat is None:
            return
        beat = self._heartbeat.value
        if beat != state.beat:
            state.beat, state.beat_minute, state.moving = beat, minute, True
        elif state.moving and minute - state.beat_minute >= SILENT_MIN:
            for obj in self._field:
                if obj.commandable:
                    for slot in SUPERVISORS:
                        if obj.array[slot - 1] is not None:
                            obj.write(None, slot)
            state.beat, state.moving = self._heartbeat.value, False
            state.fallen_back += 1

    @staticmethod
    def _put(obj: FieldObject, value: float) -> None:
        if obj.array[SLOT - 1] != value:
            low, high = obj.low, obj.high
            value = value if low is None else max(value, low)
            value = value if high is None else min(value, high)
            if obj.array[SLOT - 1] != value:
                obj.write(value, SLOT)
