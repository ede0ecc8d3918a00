"""What makes us plan again: each trigger says its cause in words."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from config.roles import Role
from config.site import Point, Site, Zone
from controller.occupancy import Occupancy
from drivers.base import Reading

NEAR_LIMIT_SHARE = 0.9
COMFORT_MARGIN_K = 0.15
COMFORT_CLEAR_K = 0.4
COMFORT_AHEAD = timedelta(minutes=30)


class Cause(StrEnum):
    START = "start"
    SCHEDULE = "schedule"
    PRICE = "price"
    CARBON = "carbon"
    WEATHER = "weather"
    OCCUPANCY = "occupancy"
    COMFORT = "comfort"
    METER = "meter"
    DEMAND = "demand"
    DEVICE = "device"
    OVERRIDE = "override"
    MODEL = "model"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A reason to plan again."""

    cause: Cause
    text: str
    time: datetime

    def __str__(self) -> str:
        return f"{self.cause}: {self.text}"


Eye = Callable[[float, datetime], list[Trigger]]


class Watch:
    """Turns readings into triggers: people who come and go, comfort in danger, faults, limits."""

    def __init__(self, site: Site, occupancy: Occupancy) -> None:
        self._occupancy = occupancy
        self._zones = {zone.id: zone for building in site.buildings for zone in building.zones}
        self._people: dict[str, bool] = {}
        self._cold: dict[str, bool] = {}
        self._broken: dict[str, bool] = {}
        self._near_limit = False
        self._limit_kw: float | None = None
        caps = [tariff.import_cap_kw for tariff in site.tariffs if tariff.import_cap_kw is not None]
        self._cap_kw = min(caps, default=None)
        mains = [m.point.rsplit(".", 1)[0] for m in site.meters if m.main]
        self.import_point = next(
            (p.id for p in site.by_role(Role.ELECTRICITY_POWER) if p.id.rsplit(".", 1)[0] in mains), None
        )
        self._eyes = {point.id: eye for point in site.points.values() if (eye := self._eye(point)) is not None}

    def _eye(self, point: Point) -> Eye | None:
        """What looks at the readings of a point; None = nobody need look."""
        match point.role:
            case Role.OCCUPANCY:
                return partial(self._occupancy_changed, point.part)
            case Role.ZONE_TEMPERATURE if point.part in self._zones:
                return partial(self._comfort, self._zones[point.part])
            case Role.DEMAND_LIMIT:
                return self._demand
            case Role.FAULT:
                return partial(self._fault, point.part)
        return self._meter if point.id == self.import_point else None

    @property
    def demand_limit_kw(self) -> float | None:
        """The demand limit last heard; None = never heard."""
        return self._limit_kw

    @property
    def limit_kw(self) -> float | None:
        """The import limit in force: the lower of the contract's cap and a demand limit; None = no limit."""
        return min((kw for kw in (self._cap_kw, self._limit_kw) if kw is not None), default=None)

    def look(self, readings: Iterable[Reading]) -> list[Trigger]:
        """The triggers in a batch of readings, in their order."""
        found: list[Trigger] = []
        eyes = self._eyes
        for reading in readings:
            eye = eyes.get(reading.point)
            if eye is not None and reading.value is not None and reading.is_current:
                found += eye(reading.value, reading.time)
        return found

    def _occupancy_changed(self, zone: str, people: float, now: datetime) -> list[Trigger]:
        before, present = self._people.get(zone), people > 0
        self._people[zone] = present
        if before is None or before == present:
            return []
        word = "people came in" if present else "empty now"
        return [Trigger(cause=Cause.OCCUPANCY, text=f"{zone}: {word}", time=now)]

    def _comfort(self, zone: Zone, degc: float, now: datetime) -> list[Trigger]:
        wanted = self._occupancy.occupied(zone.id, now) or self._occupancy.occupied(zone.id, now + COMFORT_AHEAD)
        low = zone.comfort.occupied.low if wanted else zone.comfort.unoccupied.low
        was_cold = self._cold.get(zone.id, False)
        self._cold[zone.id] = degc < low + (COMFORT_CLEAR_K if was_cold else COMFORT_MARGIN_K)
        if was_cold or not self._cold[zone.id]:
            return []
        return [Trigger(cause=Cause.COMFORT, text=f"{zone.id}: {degc:.1f} degC, wanted {low:.1f}", time=now)]

    def _fault(self, part: str, value: float, now: datetime) -> list[Trigger]:
        before, broken = self._broken.get(part, False), value > 0
        self._broken[part] = broken
        if before == broken:
            return []
        return [Trigger(cause=Cause.DEVICE, text=f"{part}: {'reports a fault' if broken else 'works again'}", time=now)]

    def _demand(self, limit_kw: float, now: datetime) -> list[Trigger]:
        before, self._limit_kw = self._limit_kw, limit_kw
        if before == limit_kw or (before is None and (self._cap_kw is not None and limit_kw >= self._cap_kw)):
            return []
        return [Trigger(cause=Cause.DEMAND, text=f"import limited to {limit_kw:.0f} kW", time=now)]

    def _meter(self, import_kw: float, now: datetime) -> list[Trigger]:
        limit = self.limit_kw
        was_near, self._near_limit = self._near_limit, limit is not None and import_kw > NEAR_LIMIT_SHARE * limit
        if was_near or not self._near_limit:
            return []
        return [Trigger(cause=Cause.METER, text=f"import {import_kw:.0f} kW of {limit:.0f} kW", time=now)]
