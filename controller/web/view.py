"""What the pages show and what they may ask for: frozen views, and the `Backend` that supplies them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from controller.hub import Hub
from controller.web.samples import HistoryView
from drivers.base import Quality
from optimiser.problem import Reason, Series


class BadRequest(ValueError):  # noqa: N818  the words of HTTP
    """The request cannot be done as it stands; the text says why and what to send instead."""


class NotFound(LookupError):  # noqa: N818
    """There is no such point, action or page; the text says where to look."""


class Tone(StrEnum):
    """How a thing stands; each has its own icon and colour, and always comes with a word."""

    GOOD = "good"
    NOTE = "note"  # worth knowing, nothing to do
    WARN = "warn"  # a person may have to act
    BAD = "bad"  # a person has to act
    OFF = "off"  # at rest


class Holder(StrEnum):
    """Whose value a writable point follows."""

    PLAN = "plan"  # our plan or our rules
    OVERRIDE = "override"  # a person, through these pages; expires
    OPERATOR = "operator"  # a person at the building's own panel, priority 8 or stronger
    BMS = "bms"  # the building's own schedule
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The level of the fall-back ladder in words."""

    level: str  # 0, 0a, 1, 1b, 2, 3, 4, 5
    word: str  # "Optimising", "Advisory", "Released"
    text: str  # why, or what comes next
    tone: Tone
    since: datetime | None = None  # None = since the start
    next_action: datetime | None = None  # None = nothing is planned
    stopped: bool = False  # a person pressed stop; `resume` undoes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Who holds a point, and for how long."""

    holder: Holder
    text: str  # "Plenum, slot 13, until 14:45"
    slot: int | None = None  # None = nobody, or no priority array
    until: datetime | None = None  # None = no end is known
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneView:
    id: str
    name: str
    temperature_degc: float | None  # None = no usable reading
    low_degc: float  # the band wanted now
    high_degc: float
    occupied: bool  # by the calendar
    setpoint_degc: float | None
    setpoint_point: str | None  # None = nothing to override here
    limits_degc: tuple[float, float] = (12.0, 23.5)  # the envelope of the setpoint
    predicted_degc: float | None = None
    predicted_at: datetime | None = None
    co2_ppm: float | None = None
    light_percent: float | None = None
    people: float | None = None
    hold: Hold | None = None
    reason: str = ""  # why the setpoint is what it is
    age: timedelta | None = None  # of the temperature; None = never heard
    quality: Quality = Quality.GOOD
    temperature_point: str | None = None  # None = no sensor

    @property
    def discomfort_k(self) -> float:
        """Kelvin outside the wanted band while occupied; infinite when nobody knows, so that it sorts first."""
        if self.temperature_degc is None:
            return float("inf")
        if not self.occupied:
            return 0.0
        return max(self.low_degc - self.temperature_degc, self.temperature_degc - self.high_degc, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantView:
    """One machine. Figures that it does not have are None."""

    id: str
    name: str
    word: str  # "Running", "Off", "Fault", "Charging"
    tone: Tone
    output_kw: float | None = None
    output_of: str = "heat"  # what output_kw is
    temperature_degc: float | None = None
    share: float | None = None  # 0..1: charge of a tank, speed of a fan
    text: str = ""
    hold: Hold | None = None
    point: str | None = None  # whose history says most; None = it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    id: str
    driver: str
    address: str
    up: bool
    last_seen: datetime | None  # None = never
    points: int
    polls: int = 0
    failures: int = 0
    latency_s: float | None = None  # of the last poll
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An open problem with its next step; an event that needs nobody is not one."""

    id: str
    tone: Tone
    since: datetime
    part: str  # device, zone or plant
    text: str
    next_step: str
    count: int = 1  # times it came since then


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy, cost and carbon of one span of time, by both ledgers."""

    start: datetime
    end: datetime
    electricity_kwh: float  # net import of the main meters
    gas_kwh: float
    cost: float
    grid_kg: float  # half-hourly grid intensity, CO2
    annual_kg: float  # annual factor, CO2e
    pv_kwh: float = 0.0
    estimated_share: float = 0.0  # of the half-hours, 0..1
    intensity_g_per_kwh: float | None = None  # mean of the span; None = unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgers:
    """The two ways of counting carbon, named; a figure without its ledger means nothing."""

    grid: str = "half-hourly grid intensity, kgCO2"
    annual: str = "annual factor, kgCO2e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The electricity outside now."""

    price: float  # money per kWh
    intensity_g_per_kwh: float | None  # None = no feed
    word: str  # "low", "medium", "high" against the next day
    source: str
    text: str = ""  # "low until 15:30"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A button of the demonstration: it disturbs the simulated building, not us."""

    name: str
    label: str
    description: str
    active: bool = False  # the disturbance is on; pressing again ends it


@dataclass(frozen=True, slots=True, kw_only=True)
class NowView:
    site: str
    timezone: str  # IANA
    time: datetime
    control: Control
    power_kw: float | None  # import +, export -
    planned_kw: float | None
    limit_kw: float | None  # None = no cap
    grid: Grid
    outdoor_degc: float | None
    today: Energy
    currency: str
    zones: tuple[ZoneView, ...]
    plant: tuple[PlantView, ...]
    devices: tuple[DeviceView, ...]
    alarms: tuple[Alarm, ...]
    decisions: tuple[Reason, ...] = ()  # the next few
    actions: tuple[Action, ...] = ()
    ledgers: Ledgers = field(default_factory=Ledgers)
    banner: str = ""  # "Simulated building, 60 times real time"
    power_point: str | None = None
    outdoor_point: str | None = None

    @property
    def comfortable(self) -> int:
        """Number of zones inside their band, or empty of people."""
        return sum(zone.discomfort_k < 0.05 for zone in self.zones)  # half a sensor step


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonePlan:
    """One zone's past and future; low, high and people share one grid.

    NaN marks a gap. A past series ends where its future one begins and has the same step.
    """

    id: str
    name: str
    temperature: Series  # predicted
    setpoint: Series
    low: Series
    high: Series
    people: Series
    actual: Series | None = None  # measured, past
    past_setpoint: Series | None = None
    past_planned: Series | None = None  # what the plans of the time had foretold


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """The plan in force and the hours before it, for charts from 12 h back to 24 h ahead.

    Price, intensity, heat_pump, boiler and tank may reach back before `now`; heat_pump and boiler share one grid.
    """

    now: datetime
    timezone: str
    currency: str
    made_at: datetime
    trigger: str
    status: str
    solve_s: float
    cost: float
    carbon_kg: float
    energy_kwh: Mapping[str, float]
    discomfort_kh: float
    zones: tuple[ZonePlan, ...]
    price: Series
    intensity: Series
    heat_pump: Series | None  # None = the site has none; as for the boiler
    boiler: Series | None
    imported: Series
    tank: Series | None = None  # kWh above its useful low temperature
    tank_capacity_kwh: float | None = None
    past_import: Series | None = None
    past_planned_import: Series | None = None
    limit_kw: float | None = None
    decisions: tuple[Reason, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)  # part id -> name


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One occupied place of a priority array, in words."""

    number: int
    value: float
    text: str  # "Operator (manual)", "Plenum", "Building's schedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class PointView:
    id: str
    name: str
    role: str
    unit: str
    device: str
    value: float | None
    quality: Quality
    age: timedelta | None  # None = never heard
    writable: bool
    doubt: str = ""  # what it shows now and why that is not believed; empty if it is, or is not there
    low: float | None = None
    high: float | None = None
    hold: Hold | None = None
    slots: tuple[Slot, ...] = ()
    default: float | None = None  # relinquish default
    lease_value: float | None = None
    lease_expires: datetime | None = None
    read_back: str = ""  # last outcome in words


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingsView:
    point: str
    unit: str
    step: timedelta | None  # None = as stored
    rows: tuple[tuple[datetime, float | None, Quality], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonView:
    currency: str
    timezone: str
    half_hours: tuple[Energy, ...]  # today, local
    days: tuple[tuple[date, Energy], ...]  # oldest first
    ledgers: Ledgers = field(default_factory=Ledgers)
    sources: tuple[str, ...] = ()  # of intensity and factors


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that health depends on."""

    name: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthView:
    version: str
    started: datetime
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something changed; pages fetch what they show, so a payload is a hint and stays small."""

    kind: str  # readings, plan, control, alarms, override
    payload: Mapping[str, str | float | int | None] = field(default_factory=dict)


class Backend(Protocol):
    """The running controller as the pages see it. Plain methods answer from memory and never wait."""

    @property
    def events(self) -> Hub[Event]:
        """What changed, as it changes."""
        ...

    def now(self) -> NowView: ...

    def plan(self) -> PlanView | None:
        """The plan in force; None before the first."""
        ...

    def points(self) -> Sequence[PointView]: ...

    def point(self, point: str) -> PointView:
        """Raises NotFound."""
        ...

    def alarms(self) -> Sequence[Alarm]: ...

    def health(self) -> HealthView: ...

    async def carbon(self) -> CarbonView: ...

    async def readings(self, point: str, start: datetime, end: datetime, step: timedelta | None) -> ReadingsView:
        """Stored values in [start, end), by means of `step` or as they are; raises NotFound."""
        ...

    async def history(self, point: str, start: datetime, end: datetime) -> HistoryView:
        """Stored values in [start, end), to be drawn; of a long window in steps. Raises NotFound, StoreError."""
        ...

    async def override(self, point: str, value: float, until: datetime, reason: str) -> None:
        """Hold a point by hand. The value is finite and `until` within a day; raises NotFound, BadRequest."""
        ...

    async def cancel_override(self, point: str) -> None:
        """Give a point back to the plan; raises NotFound if no override of ours is there."""
        ...

    async def stop(self, reason: str) -> None:
        """Hand every point back to the building and write nothing until `resume`."""
        ...

    async def resume(self) -> None: ...

    async def act(self, name: str) -> None:
        """Press a button of the demonstration; raises NotFound."""
        ...
