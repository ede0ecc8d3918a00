"""What a site is: the frozen models behind one YAML file.

The text of every ValueError here reads "what is wrong; what to write instead"; `load.py` splits it at the semicolon.
"""

import math
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from config.base import Duration, Frozen, LocalTime, Name, PointId
from config.hours import Calendar, Hours, Weekday
from config.influx import Influx
from config.roles import Role
from config.units import Unit


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        known = get_close_matches(name, sorted(available_timezones()), n=1) or ["Europe/London"]
        raise ValueError(f"{name!r} is not a time zone; write '{known[0]}'") from None
    return name


class Location(Frozen):
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    postcode: str | None = None  # outward code, for the regional carbon intensity; None = national


class Band(Frozen):
    """A temperature band in degC."""

    low: Annotated[float, Field(ge=5, le=30)]
    high: Annotated[float, Field(ge=10, le=40)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}; write the smaller number as low")
        return self


class Comfort(Frozen):
    occupied: Band
    unoccupied: Band


class Zone(Frozen):
    id: Name
    name: str | None = None  # None = the id
    area_m2: Annotated[float, Field(gt=0)]
    comfort: Comfort
    occupancy: tuple[Hours, ...] = ()
    neighbours: tuple[Name, ...] = ()
    emitter_kw: Annotated[float, Field(gt=0)] | None = None  # rated at 50 K over the room; None = no heating
    lighting_kw: Annotated[float, Field(ge=0)] = 0.0
    daylight_factor: Annotated[float, Field(gt=0, le=0.2)] | None = None  # mean, indoors over outdoors; None = unknown


class HeatPump(Frozen):
    id: Name
    kind: Literal["heat_pump"]
    serves: tuple[Name, ...] = ()  # zones or plant; empty = the whole building
    heat_kw: Annotated[float, Field(gt=0)]  # rated output at 7 degC outdoors, 35 degC flow
    cop: Annotated[float, Field(gt=1, le=8)] = 4.0  # at the same rating point
    auxiliary_kw: Annotated[float, Field(ge=0)] = 0.0  # drawn whenever it runs


class Boiler(Frozen):
    id: Name
    kind: Literal["boiler"]
    serves: tuple[Name, ...] = ()
    heat_kw: Annotated[float, Field(gt=0)]
    efficiency: Annotated[float, Field(gt=0.3, le=1.1)] = 0.9  # gross calorific value


class Tank(Frozen):
    id: Name
    kind: Literal["tank"]
    serves: tuple[Name, ...] = ()
    volume_litres: Annotated[float, Field(gt=0)]
    low: float = 25.0  # degC, useful from here
    high: float = 55.0  # degC, never charged above
    loss_w_per_k: Annotated[float, Field(ge=0)] = 5.0


class Pv(Frozen):
    id: Name
    kind: Literal["pv"]
    serves: tuple[Name, ...] = ()
    peak_kw: Annotated[float, Field(gt=0)]
    tilt_deg: Annotated[float, Field(ge=0, le=90)] = 30.0
    azimuth_deg: Annotated[float, Field(ge=0, lt=360)] = 180.0


class Circuit(Frozen):
    """A heating circuit with a flow temperature that can be set."""

    id: Name
    kind: Literal["circuit"]
    serves: tuple[Name, ...] = ()
    flow_low: float = 25.0
    flow_high: float = 70.0


class AirHandler(Frozen):
    id: Name
    kind: Literal["air_handler"]
    serves: tuple[Name, ...] = ()
    airflow_m3_per_s: Annotated[float, Field(gt=0)]  # at 100 % fan speed
    fan_kw: Annotated[float, Field(gt=0)]  # at 100 % fan speed
    heat_recovery: Annotated[float, Field(ge=0, le=0.95)] = 0.0


class Chiller(Frozen):
    """Makes the cold water of an air handler's cooling coil and gives its heat to the outdoor air."""

    id: Name
    kind: Literal["chiller"]
    serves: tuple[Name, ...] = ()
    cool_kw: Annotated[float, Field(gt=0)]  # rated at 35 degC outdoors
    cop: Annotated[float, Field(gt=1, le=8)] = 3.0  # at the same rating point
    auxiliary_kw: Annotated[float, Field(ge=0)] = 0.0  # drawn whenever it runs


class AirBox(Frozen):
    """A variable-air-volume box: an air handler's supply air to one zone, with a reheat coil."""

    id: Name
    kind: Literal["air_box"]
    serves: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1)]
    airflow_m3_per_s: Annotated[float, Field(gt=0)]  # fully open
    least_share: Annotated[float, Field(ge=0, le=1)] = 0.25  # of it, whenever the fan runs
    reheat_kw: Annotated[float, Field(ge=0)] = 0.0  # rated with water 50 K over the air


Plant = Annotated[HeatPump | Boiler | Tank | Pv | Circuit | AirHandler | Chiller | AirBox, Field(discriminator="kind")]


class Building(Frozen):
    id: Name
    name: str
    floor_area_m2: Annotated[float, Field(gt=0)]
    use: str = "office"
    zones: Annotated[tuple[Zone, ...], Field(min_length=1)]
    plant: tuple[Plant, ...] = ()


class Point(Frozen):
    """One value on one device: a sensor, a meter register or a setpoint."""

    id: PointId
    role: Role = Role.OTHER
    unit: Unit
    address: Annotated[str, Field(min_length=1)]  # what the driver needs to find it
    writable: bool = False
    low: float | None = None  # engineering limits, in `unit`; the envelope of a writable point
    high: float | None = None
    max_age: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(minutes=5)
    priority: Annotated[int, Field(ge=9, le=16)] = 13  # our one slot (BACnet); 1 to 8 belong to people
    safe_value: float | None = None  # written on hand-back where the device cannot relinquish
    endurance_writes: Annotated[int, Field(ge=1000)] = 100_000  # in its life, where the device cannot relinquish
    max_change_per_step: Annotated[float, Field(gt=0)] | None = None  # binds the optimiser only; per 15 min
    options: dict[str, Any] = Field(
        default_factory=dict
    )  # driver's own settings of this point, checked by the driver's model

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.writable and (self.low is None or self.high is None):
            raise ValueError(f"{self.id} is writable without low and high; add both, they bound what we ever write")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}; write the smaller number as low")
        low, high = (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)
        if self.safe_value is not None and not low <= self.safe_value <= high:
            raise ValueError(
                f"safe_value {self.safe_value:g} lies outside low {low:g} to high {high:g}; write one that lies inside"
            )
        return self

    @property
    def part(self) -> str:
        """The zone or plant this point belongs to: the middle of its id."""
        return self.id.split(".")[1]


class Device(Frozen):
    id: Name
    driver: Name
    options: dict[str, Any] = Field(default_factory=dict)  # checked by the driver's own model
    poll: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(minutes=1)
    points: Annotated[tuple[Point, ...], Field(min_length=1)]


class Fuel(StrEnum):
    ELECTRICITY = "electricity"
    GAS = "gas"
    HEAT = "heat"
    PV = "pv"


class MeterKind(StrEnum):
    REGISTER = "register"  # a counter that only rises
    POWER = "power"  # kW, integrated over time
    INTERVAL = "interval"  # kWh of the interval just ended


class Exchange(Frozen):
    """A meter was exchanged at `time`: the old one's closing and the new one's opening register."""

    time: AwareDatetime
    closing: float
    opening: float = 0.0


class Meter(Frozen):
    id: Name
    fuel: Fuel
    point: PointId
    kind: MeterKind = MeterKind.REGISTER
    main: bool = False  # counts in the building's totals; others are sub-meters
    export: bool = False  # counts what leaves the building; of a signed power point, the negative part
    digits: Annotated[int, Field(ge=3, le=12)] | None = None  # of a register that rolls over; None = never
    multiplier: Annotated[float, Field(gt=0)] = 1.0  # of current transformers or pulses; applied to differences
    capacity_kw: Annotated[float, Field(gt=0)] | None = None  # rises faster than 1.2 of it are refused; None = no check
    calorific_value: Annotated[float, Field(ge=30, le=50)] = 39.5  # MJ/m3, from the bill; for a point in m3
    volume_correction: Annotated[float, Field(gt=0)] = 1.02264  # 1.0 behind a pressure and temperature corrector
    exchanges: tuple[Exchange, ...] = ()


class Period(Frozen):
    """Local times of day at which a rate holds; `end` before `start` runs over midnight."""

    start: LocalTime
    end: LocalTime
    rate: float
    days: tuple[Weekday, ...] = tuple(Weekday)


class Tariff(Frozen):
    """Price of one fuel in the currency per kWh."""

    fuel: Fuel
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "GBP"
    rate: float
    periods: tuple[Period, ...] = ()
    export_rate: float = 0.0
    standing_charge_per_day: float = 0.0
    import_cap_kw: Annotated[float, Field(gt=0)] | None = None


class Carbon(Frozen):
    """Which factors and which intensity; and what a kilogram is worth to the optimiser."""

    price_per_kg: Annotated[float, Field(ge=0)] = 0.0  # currency per kgCO2e, added to the cost
    factor_year: Annotated[int, Field(ge=2020, le=2100)] | None = None  # None = each kWh at its own year
    intensity_file: Path | None = None  # half-hourly CSV; None = no half-hourly ledger
    intensity_source: str = "Carbon Intensity API, National Energy System Operator (NESO)"


class Measure(StrEnum):
    ENERGY_KWH = "energy_kwh"
    COST = "cost"
    CARBON_KG = "carbon_kg"


class Target(Frozen):
    measure: Measure
    year: Annotated[int, Field(ge=2000, le=2100)]
    value: Annotated[float, Field(gt=0)]


class StoreOptions(Frozen):
    """Where data is kept, for how long, and how much of it: what goes first is the oldest readings."""

    path: Path = Path("data")  # a directory, relative to the site file
    keep_days: Annotated[int, Field(ge=7)] = 800  # readings as they came
    keep_half_hours_days: Annotated[int, Field(ge=7)] | None = None  # their aggregates; None = ten years, or keep_days
    budget_mb: Annotated[int, Field(ge=50)] = (
        20_000  # of the directory without the outbox; readings make room, commands never
    )
    influx: Influx | None = None  # None = readings are kept here only

    @model_validator(mode="after")
    def _half_hours_last_longer(self) -> Self:
        if self.keep_half_hours_days is not None and self.keep_half_hours_days < self.keep_days:
            raise ValueError(
                f"keep_half_hours_days {self.keep_half_hours_days} is shorter than keep_days {self.keep_days}; "
                "write at least as many days, or fewer keep_days"
            )
        return self

    @property
    def half_hours_days(self) -> int:
        """Days for which half-hourly aggregates are kept."""
        return self.keep_half_hours_days or max(3660, self.keep_days)


class Mode(StrEnum):
    ADVISORY = "advisory"
    CONTROL = "control"


class Control(Frozen):
    """How boldly to act."""

    mode: Mode = Mode.ADVISORY
    plan_every: Annotated[Duration, Field(ge=timedelta(minutes=1))] = timedelta(minutes=15)
    horizon: Annotated[Duration, Field(ge=timedelta(hours=6), le=timedelta(hours=48))] = timedelta(hours=24)
    lease: Annotated[Duration, Field(ge=timedelta(minutes=1), le=timedelta(hours=2))] = timedelta(minutes=30)
    change_share: Annotated[float, Field(gt=0, le=1)] = 0.5  # most points changed unscheduled in one cycle


class Web(Frozen):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080


class Site(Frozen):
    """One owner's set of buildings under one configuration."""

    id: Name
    name: str
    timezone: Annotated[str, AfterValidator(_known_zone)]
    location: Location
    store: StoreOptions = StoreOptions()
    control: Control = Control()
    web: Web = Web()
    buildings: Annotated[tuple[Building, ...], Field(min_length=1)]
    devices: Annotated[tuple[Device, ...], Field(min_length=1)]
    meters: tuple[Meter, ...] = ()
    tariffs: tuple[Tariff, ...] = ()
    carbon: Carbon = Carbon()
    targets: tuple[Target, ...] = ()
    calendar: Calendar = Calendar()

    @cached_property
    def points(self) -> Mapping[str, Point]:
        """Every point by id, in file order."""
        return {point.id: point for device in self.devices for point in device.points}

    @cached_property
    def _by_role(self) -> Mapping[tuple[Role, str | None], list[Point]]:
        found: dict[tuple[Role, str | None], list[Point]] = {}
        for point in self.points.values():
            for part in (None, point.part):
                found.setdefault((point.role, part), []).append(point)
        return found

    def by_role(self, role: Role, part: str | None = None) -> list[Point]:
        """Points of a role, of one zone or plant if `part` is given, in file order."""
        return [*self._by_role.get((role, part), ())]

    def __copy__(self) -> Self:
        """Copy without what is looked up once: `model_copy` may give the copy other devices."""
        copied = super().__copy__()
        for name in ("points", "_by_role"):
            copied.__dict__.pop(name, None)
        return copied
