"""The last word before a value may leave: limits that hold whatever a plan or a person asks for. Pure.

Defaults and their sources: workplace code of practice 16 degC, fabric 12 degC, CO2 1000 and 1500 ppm (HSE).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from config.roles import Role
from config.site import Point, Zone
from config.units import Unit

T = TypeVar("T")

OCCUPIED_LOW_DEGC, OCCUPIED_HIGH_DEGC = 18.0, 23.0  # a site's own comfort band may widen them
WORKPLACE_DEGC = 16.0  # whenever somebody is there
FABRIC_DEGC = 12.0  # when nobody is
FROST_ZONE_DEGC = 5.0
FROST_OUTDOOR_DEGC = 3.0
CO2_HOLD_PPM, CO2_RELEASE_PPM = 1000.0, 1500.0
RATE_WINDOW = timedelta(minutes=14)  # a step is 15 minutes, but not to the millisecond
SWITCH_WINDOW = timedelta(minutes=10)  # least time a machine stays enabled or disabled
STARTS_WINDOW, MOST_STARTS = timedelta(hours=1), 4

DISCRETE = frozenset({Unit.BINARY, Unit.INDEX, Unit.COUNT})
HEATING = frozenset({Role.ENABLE, Role.CAPACITY_LIMIT, Role.HEATING_SETPOINT, Role.FLOW_SETPOINT, Role.TANK_SETPOINT})


class Presence(StrEnum):
    """Whether somebody is in a zone."""

    EMPTY = "empty"
    SENSED = "sensed"  # seen by a sensor, not expected
    SCHEDULED = "scheduled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the envelope may know about one point at one instant. None = not known, or too old to trust."""

    automatic: bool = True  # asked by optimiser or rules; only these are bound in how fast they may change
    zone: Zone | None = None  # the zone of a heating setpoint
    presence: Presence = Presence.EMPTY  # in that zone, or in any zone the machine serves
    heat_source: bool = False  # a heat pump or boiler: what it feeds may freeze
    other_heat: bool = False  # another source without a fault stays enabled
    coldest_degc: float | None = None  # of the zones this point serves
    outdoor_degc: float | None = None
    has_co2: bool = False  # the zones it serves have CO2 sensors
    co2_ppm: float | None = None  # the worst of them
    building_value: float | None = None  # the larger of what is seen now and what the building would do by itself
    recent: tuple[float, ...] = ()  # values in force during the window, oldest first, the present one last
    starts: int = 0  # of a machine during the last hour, by whomever


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The value that may be written."""

    value: float
    notes: tuple[str, ...] = ()  # what moved it, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing may be written."""

    reason: str
    release: bool = False  # and what we hold must be handed back


def check(point: Point, value: object, facts: Facts) -> Allowed | Refused:
    """Bring a value inside every limit that holds for the point now, or say why none may be written.

    Whatever comes back as Allowed is finite, of the point's type and within low..high; checking it again under the
    same facts changes nothing.
    """
    number = _number(point, value)
    if isinstance(number, Refused):
        return number
    low, high = _hard_limits(point, facts)
    if low > high:
        return Refused(reason=f"{point.id}: no value lies within its limits")
    notes = []
    paced = number
    if facts.automatic:
        slow, fast = _pace(point, facts)
        paced = min(max(number, slow), fast)
        if paced != number:
            notes.append(_why_paced(point, number, facts))
    final = min(max(paced, low), high)
    if final != paced:
        notes.append(f"held at {final:g}, {'lowest' if final > paced else 'highest'} allowed now")
    return _frost(point, final, facts) or _air(point, final, facts) or Allowed(value=final + 0.0, notes=tuple(notes))


def within_share(changes: Sequence[T], total: int, share: float) -> tuple[Sequence[T], Sequence[T]]:
    """Split changes into those for this cycle, at most that share of all points, and those that wait for the next.

    At least one is always let through, else a small site would never move.
    """
    room = max(1, math.floor(total * share + 1e-9))
    return changes[:room], changes[room:]


def _number(point: Point, value: object) -> float | Refused:
    if not point.writable:
        return Refused(reason=f"{point.id} is not writable")
    if not isinstance(value, int | float):
        return Refused(reason=f"{point.id}: {type(value).__name__} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        return Refused(reason=f"{point.id}: {number} is not a finite number")
    if point.unit is Unit.BINARY and number not in (0.0, 1.0):
        return Refused(reason=f"{point.id}: {number:g} is neither 0 nor 1")
    if point.unit in DISCRETE and number != int(number):
        return Refused(reason=f"{point.id}: {number:g} is not a whole number")
    return number


def _frost(point: Point, value: float, facts: Facts) -> Refused | None:
    """Where it may freeze, nothing of ours may keep heat away."""
    if point.role not in HEATING or (point.role is Role.ENABLE and not facts.heat_source):
        return None
    asks_heat = (point.role is Role.ENABLE and value == 1.0) or (
        point.role is Role.HEATING_SETPOINT and value >= WORKPLACE_DEGC
    )
    if asks_heat:
        return None
    if facts.coldest_degc is not None and facts.coldest_degc < FROST_ZONE_DEGC:
        return Refused(reason=f"frost: a zone is at {facts.coldest_degc:.1f} degC", release=True)
    if point.role is Role.ENABLE and not facts.other_heat:
        if facts.outdoor_degc is None:
            return Refused(reason="frost: outdoor temperature not known, this heat source must stay free", release=True)
        if facts.outdoor_degc < FROST_OUTDOOR_DEGC:
            reason = f"frost: {facts.outdoor_degc:.1f} degC outdoors, this heat source must stay free"
            return Refused(reason=reason, release=True)
    return None


def _air(point: Point, value: float, facts: Facts) -> Refused | None:
    """In bad air the building decides, unless we ventilate with all there is."""
    if point.role is not Role.FAN_SPEED or not facts.has_co2 or (point.high is not None and value >= point.high):
        return None
    if facts.co2_ppm is not None and facts.co2_ppm > CO2_RELEASE_PPM:
        return Refused(reason=f"CO2 {facts.co2_ppm:.0f} ppm: ventilation is the building's", release=True)
    if _may_not_reduce(facts) and facts.building_value is None:
        return Refused(reason="CO2 is high or unknown, and so is the fan's speed", release=True)
    return None


def _may_not_reduce(facts: Facts) -> bool:
    if facts.co2_ppm is None:
        return facts.presence is not Presence.EMPTY
    return facts.co2_ppm > CO2_HOLD_PPM


def _hard_limits(point: Point, facts: Facts) -> tuple[float, float]:
    low = -math.inf if point.low is None else point.low
    high = math.inf if point.high is None else point.high
    if point.unit in DISCRETE:
        low = low if math.isinf(low) else math.ceil(low)
        high = high if math.isinf(high) else math.floor(high)
    floor, ceiling = -math.inf, math.inf
    if point.role is Role.HEATING_SETPOINT and facts.zone is not None:
        floor, ceiling = _comfort(facts.zone, facts.presence)
    elif point.role is Role.FAN_SPEED and facts.has_co2 and _may_not_reduce(facts) and facts.building_value is not None:
        floor = facts.building_value
    # Engineering limits are the device's; where a role's limit lies beyond them the nearest end is left.
    return max(low, min(floor, high)), min(high, max(ceiling, low))


def _comfort(zone: Zone, presence: Presence) -> tuple[float, float]:
    occupied = zone.comfort.occupied
    high = max(OCCUPIED_HIGH_DEGC, occupied.high)
    if presence is Presence.SCHEDULED:
        return min(OCCUPIED_LOW_DEGC, occupied.low), high
    if presence is Presence.SENSED:
        return min(WORKPLACE_DEGC, occupied.low), high
    return min(FABRIC_DEGC, zone.comfort.unoccupied.low), high


def _why_paced(point: Point, number: float, facts: Facts) -> str:
    if point.unit not in DISCRETE:
        return f"{number:g} approached slowly"
    if len(set(facts.recent)) > 1:
        return f"{number:g} must wait: a machine stays on, or off, for {SWITCH_WINDOW // timedelta(minutes=1)} minutes"
    return f"{number:g} must wait: a machine starts at most {MOST_STARTS} times an hour"


def _pace(point: Point, facts: Facts) -> tuple[float, float]:
    """Where the value may be after what it was lately; the present value where even that is too far."""
    if not facts.recent:
        return -math.inf, math.inf
    present = facts.recent[-1]
    if point.unit in DISCRETE:
        restless = len(set(facts.recent)) > 1 or (present < 1.0 and facts.starts >= MOST_STARTS)
        return (present, present) if restless and point.role is Role.ENABLE else (-math.inf, math.inf)
    if point.max_change_per_step is None:
        return -math.inf, math.inf
    low = max(facts.recent) - point.max_change_per_step
    high = min(facts.recent) + point.max_change_per_step
    return (low, high) if low <= high else (present, present)
