"""What is expected of each point: the values it may have, and how fast they may change."""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from sys import float_info

from config.roles import Role
from config.site import AirHandler, Boiler, Building, Chiller, HeatPump, Meter, MeterKind, Point, Pv, Site
from config.units import Unit
from controller.state import max_ages

FINITE = float_info.max
LARGEST_REGISTER = 1e15  # up to here doubles still count single units
RATING_MARGIN = 1.2
ZERO_SHARE = 0.01  # of the span: zero offsets of honest instruments
AIR = (-20.0, 60.0)
WATER = (-10.0, 130.0)
KWH_PER_M3 = 10.0  # of gas, a little less than any, so that a rise in m3 is rather allowed


class Kind(StrEnum):
    """How a point behaves, and so what can be wrong with it."""

    STEADY = "steady"  # changes slowly, in small steps
    POWER = "power"  # jumps when machines start
    REGISTER = "register"  # only rises
    PLAIN = "plain"  # anything else: only its range is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What values of a point are believed."""

    kind: Kind
    low: float = -FINITE
    high: float = FINITE
    step: float = FINITE  # largest change between two readings that needs no second one to be believed
    degf_from: float = FINITE  # a jump that looks like degF is taken for one from this temperature up
    max_age: timedelta = timedelta(minutes=5)
    meter: Meter | None = None
    rise_per_h: float | None = None  # of a register, in its own counts; None = to be learned


_RANGES: dict[Role, tuple[float, float]] = {
    Role.ZONE_TEMPERATURE: AIR,
    Role.OUTDOOR_TEMPERATURE: (-45.0, 60.0),  # the outdoors of some sites are colder than any room
    Role.CO2: (300.0, 5000.0),
    Role.SOLAR_IRRADIANCE: (0.0, 1500.0),
    Role.FLOW_TEMPERATURE: WATER,
    Role.TANK_TEMPERATURE: WATER,
    Role.OCCUPANCY: (0.0, 100_000.0),
}
_UNIT_RANGES: dict[Unit, tuple[float, float]] = {
    Unit.PERCENT: (0.0, 100.0),
    Unit.BINARY: (0.0, 1.0),
    Unit.PPM: (0.0, 10_000.0),
}
_STEPS: dict[Role, float] = {
    Role.ZONE_TEMPERATURE: 3.0,
    Role.OUTDOOR_TEMPERATURE: 3.0,
    Role.CO2: 500.0,
    Role.TANK_TEMPERATURE: 10.0,
    Role.FLOW_TEMPERATURE: FINITE,  # jumps when a boiler fires or a valve closes
}
_UNIT_STEPS: dict[Unit, float] = {Unit.DEGC: 10.0, Unit.PPM: 500.0}
_DEGF_FROM: dict[Role, float] = {  # water may well jump so far
    Role.ZONE_TEMPERATURE: 5.0,  # below it degF would look like a room's degC
    Role.OUTDOOR_TEMPERATURE: -45.0,
}


def expectations(site: Site) -> dict[str, Expected]:
    """What is expected of every point of a site."""
    meters = {meter.point: meter for meter in site.meters if meter.kind is MeterKind.REGISTER}
    ratings = {building.id: _ratings(building) for building in site.buildings}
    ages = max_ages(site)
    found = {}
    for point in site.points.values():
        meter = meters.get(point.id)
        if point.writable:  # what stands there was somebody's will, not a measurement
            expected = Expected(kind=Kind.PLAIN)
        elif meter is not None:
            expected = _register(point, meter)
        else:
            rating = ratings.get(point.id.split(".", 1)[0], {}).get((point.part, point.role))
            expected = _measured(point, rating)
        found[point.id] = replace(expected, max_age=ages[point.id])
    return found


def _measured(point: Point, rating: float | None) -> Expected:
    low, high = _RANGES.get(point.role) or _UNIT_RANGES.get(point.unit) or (-FINITE, FINITE)
    if rating is not None:
        low, high = 0.0, RATING_MARGIN * rating
    low = low if point.low is None else point.low  # who wrote the site file knows the instrument
    high = high if point.high is None else point.high
    step = _STEPS.get(point.role) or _UNIT_STEPS.get(point.unit)
    slack = 0.0 if step is not None or high - low > 1e9 or point.unit is Unit.BINARY else ZERO_SHARE * (high - low)
    kind = Kind.PLAIN
    if step is not None:
        kind = Kind.STEADY
    elif point.unit is Unit.KW:
        kind = Kind.POWER
    return Expected(
        kind=kind,
        low=low - slack,
        high=high + slack,
        step=step or FINITE,
        degf_from=_DEGF_FROM.get(point.role, FINITE),
    )


def _register(point: Point, meter: Meter) -> Expected:
    rise = None
    if meter.capacity_kw is not None:
        rise = RATING_MARGIN * meter.capacity_kw / meter.multiplier / (KWH_PER_M3 if point.unit is Unit.M3 else 1.0)
    return Expected(
        kind=Kind.REGISTER,
        low=0.0 if point.low is None else point.low,
        high=LARGEST_REGISTER if point.high is None else min(point.high, LARGEST_REGISTER),
        meter=meter,
        rise_per_h=rise,
    )


def _ratings(building: Building) -> dict[tuple[str, Role], float]:
    """Rated power of a building's parts in kW, by part and role."""
    found: dict[tuple[str, Role], float] = {}
    for plant in building.plant:
        match plant:
            case HeatPump():
                found[plant.id, Role.HEAT_OUTPUT] = 2 * plant.heat_kw  # gives more on a mild day than at its rating
                found[plant.id, Role.ELECTRICITY_POWER] = plant.heat_kw + plant.auxiliary_kw  # at a COP of 1
            case Boiler():
                found[plant.id, Role.HEAT_OUTPUT] = plant.heat_kw
            case Chiller():
                found[plant.id, Role.ELECTRICITY_POWER] = plant.cool_kw + plant.auxiliary_kw  # at a COP of 1
            case AirHandler():
                found[plant.id, Role.ELECTRICITY_POWER] = plant.fan_kw
            case Pv():
                found[plant.id, Role.PV_POWER] = plant.peak_kw
            case _:
                pass
    for zone in building.zones:
        if zone.lighting_kw > 0:
            found[zone.id, Role.LIGHTING_POWER] = zone.lighting_kw
    return found
