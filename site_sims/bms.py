"""The building's own control: what an expert would have programmed, writing at priority 15.

Zone schedules with self-adapting optimal start and setback, fan and lights by the timetable, the heating plant's
programme; and the watchdog that takes the building back from a silent supervisor.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

from config.roles import Role
from config.site import AirHandler, Site
from site_sims.bms_air import air_program
from site_sims.bms_heat import CYCLE_MIN, HeatProgram, HeatState
from site_sims.bms_points import Points, put
from site_sims.field import Field, FieldObject
from site_sims.occupants import Timetable
from site_sims.plant import only
from site_sims.rates import Rates, TariffBand
from site_sims.truth import BmsTruth

SUPERVISORS = range(9, 15)  # slots the watchdog clears
SILENT_MIN = 5
FIRST_RATE, LEAST_RATE, MOST_RATE = 40.0, 8.0, 300.0  # minutes a kelvin of warm-up
LEARNING = 0.3
NEAR_K = 0.3  # this far below its setpoint a zone has arrived
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
    heat: HeatState = field(default_factory=HeatState)
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
    shift_k: float  # of its setpoints, from those of the zones that are to be warmest


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

        wires = Points(site, points)
        warmest = max(zone.comfort.occupied.low for zone in building.zones)
        self._zones = [
            ZonePoints(
                temperature=wires.find(Role.ZONE_TEMPERATURE, zone.id),
                valve=wires.find(Role.VALVE_POSITION, zone.id),
                setpoint=wires.find(Role.HEATING_SETPOINT, zone.id),
                light=wires.maybe(Role.LIGHT_LEVEL, zone.id),
                shift_k=zone.comfort.occupied.low - warmest,
            )
            for zone in building.zones
        ]
        ahu = only(building, AirHandler)
        self._fan = wires.maybe(Role.FAN_SPEED, ahu.id) if ahu is not None else None
        self._air = air_program(wires, building, ahu, settings)
        self._called = [False] * len(building.zones)  # in its hours or warming up for them
        self._aired = [zone.id for zone in building.zones].index(ahu.serves[0]) if ahu is not None else 0
        self._heat = HeatProgram(wires, settings=settings, rates=rates)
        self._outdoor, self._heartbeat = wires.find(Role.OUTDOOR_TEMPERATURE), wires.maybe(Role.HEARTBEAT)
        self.state = BmsState([ZoneProgram() for _ in building.zones])

    def step(self, minute: int) -> None:
        """One minute of the program; the first step after a start runs the whole of it."""
        self.state.heat.feel(self._outdoor.sensed, self.settings.heating_limit_degc)
        self._watch(minute)
        if minute % CYCLE_MIN and self._lead_day.day is not None:
            return
        self._plan_day(minute)
        band = self._rates.band(minute)
        self._warming = False
        for zone, points in enumerate(self._zones):
            self._run_zone(zone, points, minute, band)
        if self._air is not None:
            spans = self._lead_day.spans
            self._air.run(
                called=self._called,
                occupied=any(start <= minute < end for day in spans for start, end in day),
                warming=self._warming,
                outdoor=self._outdoor.sensed,
                summer=self.state.heat.summer,
            )
        elif self._fan is not None:
            before = self.settings.fan_before_min
            on = any(start - before <= minute < end for start, end in self._lead_day.spans[self._aired])
            put(self._fan, self.settings.fan_percent if on else 0.0)
        demand = any(points.valve.sensed > DEMAND_PERCENT for points in self._zones)
        if self._fan is not None and self._fan.value >= DEMAND_PERCENT:
            demand = True
        self._heat.run(
            minute,
            band,
            self.state.heat,
            demand=demand,
            warming=self._warming,
            occupied_soon=self._occupied_soon,
        )

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
        self._called[zone] = False
        if span is not None:
            target = s.occupied_degc + points.shift_k
            warm = self._warm(self.state.zones[zone], minute, span, measured, target)
            wanted = target if warm else wanted
            self._called[zone] = warm
            self._warming |= warm and measured < target - 1.0
            if band is TariffBand.NIGHT and 0 < span[0] - minute < LOOK_AHEAD_MIN:
                wanted = max(wanted, s.night_degc + points.shift_k)
        if measured < FROST_DEGC:
            wanted = max(wanted, FROST_SETPOINT)
        put(points.setpoint, wanted)
        if points.light is not None:
            margin = s.light_margin_min
            lit = any(start - margin <= minute < end + margin for start, end in spans)
            put(points.light, s.light_percent if lit else 0.0)

    def _warm(self, program: ZoneProgram, minute: int, span: tuple[int, int], measured: float, target: float) -> bool:
        """In occupied hours, or warming up for them. In summer nothing is warmed up, and nothing learnt from it."""
        start, end = span
        if self.state.heat.summer:
            program.began = None
            return start <= minute < end - self.settings.stop_early_min
        if minute >= start:
            self._learn(program, minute, measured, target, arrived=True)
            return minute < end - self.settings.stop_early_min
        program.lead = self._lead(program, target - measured)
        if start - minute > program.lead and program.began is None:
            return False
        if program.began is None:
            program.began, program.began_degc = minute, measured
        self._learn(program, minute, measured, target, arrived=measured >= target - NEAR_K)
        return True

    def _cold(self) -> float:
        return 1 + 0.025 * max(7.0 - (self.state.heat.outdoor or 0.0), 0.0)

    def _lead(self, program: ZoneProgram, missing: float) -> float:
        lead = self.settings.start_margin * program.rate * self._cold() * max(missing, 0.0)
        return min(lead, self.settings.longest_start_h * 60)

    def _learn(self, program: ZoneProgram, minute: int, measured: float, target: float, *, arrived: bool) -> None:
        """After a warm-up, move the learnt rate towards what was measured."""
        if program.began is None or not arrived:
            return
        gained = measured - program.began_degc
        if minute - program.began >= 20 and gained > 0.5:
            rate = (minute - program.began) / gained / self._cold()
            program.rate += LEARNING * (min(max(rate, LEAST_RATE), MOST_RATE) - program.rate)
        if measured >= target - NEAR_K or gained <= 0.5 or minute - program.began >= 20:
            program.began = None

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
