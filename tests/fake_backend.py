"""A town hall on a February day for the pages' tests and pictures: real shapes, made-up figures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from fake_figures import (
    LEDGERS,
    LONDON,
    STEP,
    ZONES,
    actions,
    air_at,
    decisions,
    devices,
    energy,
    hour_at,
    intensity,
    plant,
    price,
    pump_at,
    reason_of,
    setpoint_at,
    tank_at,
)
from fake_history import made_up

from controller.hub import Hub
from controller.web.samples import HistoryView
from controller.web.view import (
    Alarm,
    BadRequest,
    CarbonView,
    Check,
    Control,
    Energy,
    Event,
    Grid,
    HealthView,
    Hold,
    Holder,
    NotFound,
    NowView,
    PlanView,
    PointView,
    ReadingsView,
    Slot,
    Tone,
    ZonePlan,
    ZoneView,
)
from drivers.base import Quality
from drivers.clock import Clock
from optimiser.problem import Series


class FakeBackend:
    """Answers like the controller would; keeps what it was asked in `calls`."""

    def __init__(self, clock: Clock, *, demo: bool = True) -> None:
        self._clock, self._demo = clock, demo
        self._hub: Hub[Event] = Hub()
        self.calls: list[tuple[object, ...]] = []
        self.overrides: dict[str, tuple[float, datetime, str]] = {}
        self.stopped = self.planless = self.sick = False
        self.temperatures: dict[str, float | None] = {}
        self.broken: set[str] = set()
        self._plan: PlanView | None = None

    @property
    def events(self) -> Hub[Event]:
        return self._hub

    def now(self) -> NowView:
        now = self._clock.now()
        hour = hour_at(now)
        carbon = intensity(hour)
        return NowView(
            site="Town hall",
            timezone="Europe/London",
            time=now,
            control=self._control(now),
            power_kw=41.7,
            planned_kw=40.2,
            limit_kw=80.0,
            grid=Grid(
                price=price(hour),
                intensity_g_per_kwh=carbon,
                word="low" if carbon < 150 else "medium" if carbon < 200 else "high",
                source="NESO",
                text="low again from 22:30",
            ),
            outdoor_degc=4.2,
            today=Energy(
                start=now.replace(hour=0, minute=0),
                end=now,
                electricity_kwh=268.4,
                gas_kwh=91.0,
                cost=62.48,
                grid_kg=58.1,
                annual_kg=72.2,
                pv_kwh=14.2,
                estimated_share=0.03,
            ),
            currency="GBP",
            zones=tuple(self._zone(zone, now) for zone in ZONES),
            plant=plant(self.broken),
            devices=devices(now, self.broken),
            alarms=tuple(self.alarms()),
            decisions=() if self.planless else decisions(now)[:4],
            actions=actions(self.broken) if self._demo else (),
            ledgers=LEDGERS,
            banner="Simulated building, 60 times as fast as real time." if self._demo else "",
        )

    def _control(self, now: datetime) -> Control:
        if self.stopped:
            return Control(
                level="4",
                word="Released",
                text="Stopped by a person: the building runs itself.",
                tone=Tone.WARN,
                since=now,
                stopped=True,
            )
        action = now.replace(hour=14, minute=30, second=0)
        return Control(
            level="0",
            word="Optimising",
            text="Next action 14:30: rooms warm up ahead of the 16:00 price peak",
            tone=Tone.GOOD,
            next_action=action,
        )

    def _hold(self, zone: str, now: datetime) -> Hold:
        point = f"townhall.{zone}.heating_setpoint"
        if point in self.overrides:
            _, until, reason = self.overrides[point]
            text = f"by a person here, until {until.astimezone(LONDON):%H:%M}"
            return Hold(holder=Holder.OVERRIDE, text=text, slot=13, until=until, reason=reason)
        if zone == "registry":
            return Hold(holder=Holder.OPERATOR, text="at the building's own panel (slot 8)", slot=8)
        if self.stopped:
            return Hold(holder=Holder.BMS, text="the building's own schedule (slot 15)", slot=15)
        return Hold(holder=Holder.PLAN, text="renewed until 13:42 (slot 13)", slot=13, until=now + 2 * STEP)

    def _zone(self, zone: str, now: datetime) -> ZoneView:
        name, begin, end, people, _ = ZONES[zone]
        hour = hour_at(now)
        there = begin <= hour < end
        point = f"townhall.{zone}.heating_setpoint"
        air = self.temperatures.get(zone, round(air_at(zone, hour), 1))
        if zone == "reception" and there and zone not in self.temperatures:
            air = 19.6
        return ZoneView(
            id=zone,
            name=name,
            temperature_degc=air,
            low_degc=20.0 if there else 12.0,
            high_degc=23.5 if there else 26.0,
            occupied=there,
            setpoint_degc=self._wanted(zone, point, hour),
            setpoint_point=point,
            predicted_degc=round(air_at(zone, hour + 1), 1),
            predicted_at=now.replace(minute=0) + timedelta(hours=1),
            co2_ppm=612.0 if zone == "council" else None,
            light_percent=60.0 if there else 0.0,
            people=max(0, people - 3) if there else 0.0,
            hold=self._hold(zone, now),
            reason="" if zone == "registry" else reason_of(zone, there=there),
            age=timedelta(seconds=24),
            quality=Quality.BAD if air is None else Quality.GOOD,
            temperature_point=f"townhall.{zone}.temperature",
        )

    def _wanted(self, zone: str, point: str, hour: float) -> float:
        if zone == "registry":
            return 22.0
        return self.overrides[point][0] if point in self.overrides else setpoint_at(zone, hour)

    def plan(self) -> PlanView | None:
        if self.planless:
            return None
        now = self._clock.now().replace(second=0, microsecond=0)
        if self._plan is None or self._plan.now != now:
            self._plan = self._make_plan(now)
        return self._plan

    def _make_plan(self, now: datetime) -> PlanView:
        begin = now - (now - now.replace(minute=0, second=0, microsecond=0)) % STEP

        def series(unit: str, count: int, start: datetime, value: Callable[[float], float]) -> Series:
            return Series(start=start, step=STEP, unit=unit,
                          values=tuple(value(hour_at(start + i * STEP)) for i in range(count)))  # fmt: skip

        def ahead(unit: str, value: Callable[[float], float]) -> Series:
            return series(unit, 96, begin, value)

        def behind(unit: str, value: Callable[[float], float]) -> Series:
            return series(unit, 48, begin - 48 * STEP, value)

        def all_day(unit: str, value: Callable[[float], float]) -> Series:
            return series(unit, 48 + 96, begin - 48 * STEP, value)

        return PlanView(
            now=now, timezone="Europe/London", currency="GBP", made_at=begin, trigger="new carbon forecast",
            status="optimal", solve_s=0.011, cost=113.2, carbon_kg=121.4,
            energy_kwh={"electricity": 478.0, "gas": 64.0}, discomfort_kh=0.4,
            zones=tuple(self._zone_plan(zone, ahead, behind, all_day) for zone in ZONES),
            price=all_day("GBP/kWh", price), intensity=all_day("g/kWh", intensity),
            heat_pump=all_day("kW", pump_at), boiler=all_day("kW", lambda h: 34.0 if 6 <= h < 8.25 else 0.0),
            imported=ahead("kW", lambda h: 12 + pump_at(h) / 3 + (22 if 8 <= h < 18 else 0)),
            tank=all_day("kWh", tank_at), tank_capacity_kwh=87.0,
            past_import=behind("kW", lambda h: 13.5 + pump_at(h) / 2.9 + (24 if 8 <= h < 18 else 0) + 2 * math.sin(h)),
            past_planned_import=behind("kW", lambda h: 12 + pump_at(h) / 3 + (22 if 8 <= h < 18 else 0)),
            limit_kw=80.0, decisions=decisions(now), names={"heat_pump": "Heat pump", "tank": "Buffer tank"},
        )  # fmt: skip

    def _zone_plan(
        self,
        zone: str,
        ahead: Callable[[str, Callable[[float], float]], Series],
        behind: Callable[[str, Callable[[float], float]], Series],
        all_day: Callable[[str, Callable[[float], float]], Series],
    ) -> ZonePlan:
        name, begin, end, people, _ = ZONES[zone]
        return ZonePlan(
            id=zone,
            name=name,
            temperature=ahead("degC", lambda h: air_at(zone, h)),
            setpoint=ahead("degC", lambda h: setpoint_at(zone, h)),
            low=all_day("degC", lambda h: 20.0 if begin <= h < end else 12.0),
            high=all_day("degC", lambda h: 23.5 if begin <= h < end else 26.0),
            people=all_day("people", lambda h: people if begin <= h < end else 0.0),
            actual=behind("degC", lambda h: math.nan if 3 <= h < 3.5 else round(air_at(zone, h), 1)),
            past_setpoint=behind("degC", lambda h: setpoint_at(zone, h)),
            past_planned=behind("degC", lambda h: air_at(zone, h) + 0.25 * math.sin(h)),
        )

    def points(self) -> Sequence[PointView]:
        return [self._point(zone, kind) for zone in ZONES for kind in ("temperature", "heating_setpoint")]

    def _point(self, zone: str, kind: str) -> PointView:
        now = self._clock.now()
        view = self._zone(zone, now)
        name, writable = ZONES[zone][0], kind == "heating_setpoint"
        plain = PointView(
            id=f"townhall.{zone}.{kind}",
            name=f"{name}, {kind.replace('_', ' ')}",
            role=kind,
            unit="degC",
            device="zones_a",
            value=view.setpoint_degc if writable else view.temperature_degc,
            quality=view.quality,
            age=view.age,
            writable=writable,
        )
        if not writable:
            return plain
        hold = self._hold(zone, now)
        slots = [Slot(number=13, value=view.setpoint_degc or 0.0, text="Plenum"),
                 Slot(number=15, value=20.0, text="The building's own schedule")]  # fmt: skip
        if hold.holder is Holder.OPERATOR:
            slots.insert(0, Slot(number=8, value=22.0, text="Operator at the panel"))
        return replace(
            plain,
            low=12.0,
            high=23.5,
            hold=hold,
            slots=tuple(slots),
            default=18.0,
            lease_value=view.setpoint_degc,
            lease_expires=now + 2 * STEP,
            read_back="applied at 13:02",
        )

    def point(self, point: str) -> PointView:
        for view in self.points():
            if view.id == point:
                return view
        raise NotFound(f"There is no point {point!r}; the list is at /devices.")

    def alarms(self) -> Sequence[Alarm]:
        now = self._clock.now()
        found = []
        if "boiler" in self.broken:
            found.append(
                Alarm(
                    id="boiler",
                    tone=Tone.BAD,
                    since=now,
                    part="boiler",
                    text="Gas boiler reports a fault",
                    next_step="look at its panel; the plan does without it",
                )
            )
        found.append(
            Alarm(
                id="reception",
                tone=Tone.WARN,
                since=now - timedelta(hours=1),
                part="reception",
                text="Reception stays 0.4 K below its band",
                next_step="see whether the door is propped open",
                count=2,
            )
        )
        return found

    def health(self) -> HealthView:
        return HealthView(
            version="0.1.0",
            started=self._clock.now() - timedelta(days=3),
            checks=(
                Check(name="Store", ok=not self.sick, text="disk full" if self.sick else "1.6 M readings, 41 GB free"),
                Check(name="Solver", ok=True, text="last answer in 11 ms"),
                Check(name="Carbon forecast", ok=True, text="12 min old"),
            ),
        )

    async def carbon(self) -> CarbonView:
        now = self._clock.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        half = timedelta(minutes=30)
        slots = int((now - midnight) / half)
        energies = tuple(energy(midnight + i * half, midnight + (i + 1) * half, 8.4) for i in range(slots))
        days: list[tuple[date, Energy]] = []
        for back in range(7, -1, -1):
            start = midnight - timedelta(days=back)
            days.append((start.date(), energy(start, start + timedelta(days=1), 380 + 70 * math.sin(back * 2.1))))
        return CarbonView(currency="GBP", timezone="Europe/London", half_hours=energies, days=tuple(days),
                          ledgers=LEDGERS, sources=("Intensity: Carbon Intensity API, NESO.",
                                                    "Factors: UK Government conversion factors 2023."))  # fmt: skip

    async def readings(self, point: str, start: datetime, end: datetime, step: timedelta | None) -> ReadingsView:
        self.point(point)
        self.calls.append(("readings", point, start, end, step))
        rows = ((start, 20.5, Quality.GOOD), (start + (step or timedelta(minutes=1)), None, Quality.BAD))
        return ReadingsView(point=point, unit="degC", step=step, rows=rows)

    async def history(self, point: str, start: datetime, end: datetime) -> HistoryView:
        view, now = self.point(point), self._clock.now()
        zone = point.split(".")[1]
        other = "temperature" if view.writable else "heating_setpoint"
        beside = made_up(self.point(f"townhall.{zone}.{other}"), start, end, now, beside=None)
        return made_up(view, start, end, now, beside=beside)

    async def override(self, point: str, value: float, until: datetime, reason: str) -> None:
        view = self.point(point)
        if not view.writable or view.low is None or view.high is None:
            raise BadRequest(f"{view.name} is measured, it cannot be set. Choose its setpoint instead.")
        if not view.low <= value <= view.high:
            raise BadRequest(f"{value:g} lies outside {view.low:g} to {view.high:g} °C; choose a value within.")
        self.calls.append(("override", point, value, until, reason))
        self.overrides[point] = (value, until, reason)
        self._hub.publish(Event(kind="override", payload={"point": point}))

    async def cancel_override(self, point: str) -> None:
        self.point(point)
        if self.overrides.pop(point, None) is None:
            raise NotFound(f"No override of ours holds {point}; nothing was changed.")
        self.calls.append(("cancel", point))

    async def stop(self, reason: str) -> None:
        self.calls.append(("stop", reason))
        self.stopped = True
        self._hub.publish(Event(kind="control", payload={"level": "4"}))

    async def resume(self) -> None:
        self.calls.append(("resume",))
        self.stopped = False

    async def act(self, name: str) -> None:
        if name not in {action.name for action in actions(self.broken)}:
            raise NotFound(f"There is no button {name!r}.")
        self.calls.append(("act", name))
        self.broken ^= {name}
