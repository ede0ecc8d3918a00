"""Gathers what the envelope must know about a point from the newest readings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from config.roles import Role
from config.site import AirHandler, Boiler, Building, HeatPump, Point, Site, Zone
from controller.envelope import CO2_RELEASE_PPM, FROST_OUTDOOR_DEGC, FROST_ZONE_DEGC, Facts, Presence
from controller.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """Which other points matter for one writable point."""

    zone: Zone | None
    heat_source: bool
    zones: tuple[str, ...]  # those it serves
    temperatures: tuple[str, ...]
    co2: tuple[str, ...]
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A heat pump or boiler, with the points that tell whether it can give heat."""

    part: str
    enable: str | None
    fault: str | None


class Surroundings:
    """Facts about the writable points of a site. `occupied` tells whether people are expected in a zone."""

    def __init__(self, site: Site, state: State, occupied: Callable[[str, datetime], bool]) -> None:
        self._state, self._occupied = state, occupied
        self._outdoor = tuple(point.id for point in site.by_role(Role.OUTDOOR_TEMPERATURE))
        self._sources: dict[str, list[_Source]] = {}  # by building
        self._sights: dict[str, _Sight] = {}
        self._zones = [
            (zone.id, _all(site, Role.ZONE_TEMPERATURE, (zone.id,)), _all(site, Role.OCCUPANCY, (zone.id,)))
            for building in site.buildings
            for zone in building.zones
        ]
        self._least_of: dict[tuple[str, ...], float | None] = {}  # at `_least_at`: many points ask for the same
        self._least_at: datetime | None = None
        for building in site.buildings:
            self._sources[building.id] = [
                _Source(part=p.id, enable=_first(site, Role.ENABLE, p.id), fault=_first(site, Role.FAULT, p.id))
                for p in building.plant
                if isinstance(p, HeatPump | Boiler)
            ]
        for point in site.points.values():
            if point.writable:
                self._sights[point.id] = _sight(site, point)

    def mood(self, now: datetime) -> tuple[object, ...]:
        """Return what the limits of heating depend on; while it stays equal, what was allowed stays allowed."""
        value, frost = self._state.value, FROST_ZONE_DEGC
        found: list[object] = []
        for zone, temperatures, people in self._zones:
            degc = self._least(temperatures, now)
            seen = any((value(name, now) or 0.0) > 0 for name in people)
            found.append((self._occupied(zone, now), seen, degc is not None and degc < frost))
        outdoor = self._least(self._outdoor, now)
        found.append(None if outdoor is None else outdoor < FROST_OUTDOOR_DEGC)
        for sources in self._sources.values():
            found += [value(name, now) for s in sources for name in (s.enable, s.fault) if name is not None]
        return tuple(found)

    def facts(
        self,
        point: Point,
        now: datetime,
        *,
        automatic: bool,
        recent: tuple[float, ...],
        starts: int = 0,
        building_value: float | None,
        asked: Mapping[str, float],
    ) -> Facts:
        """Gather the facts about a point.

        `building_value` is what the building would do by itself if that is known; `asked` holds the values that we
        are about to have, or have, on the enable points of heat sources.
        """
        sight = self._sights[point.id]
        fan = point.role is Role.FAN_SPEED
        return Facts(
            automatic=automatic,
            zone=sight.zone,
            presence=self._presence(sight, now) if fan or sight.zone is not None else Presence.EMPTY,
            heat_source=sight.heat_source,
            other_heat=sight.heat_source and self._other_heat(point, asked, now),
            coldest_degc=self._least(sight.temperatures, now),
            outdoor_degc=self._least(self._outdoor, now) if sight.heat_source else None,
            has_co2=fan and bool(sight.co2),
            co2_ppm=self._worst_air(sight, now) if fan else None,
            building_value=_most((self._state.value(point.id, now), building_value)) if fan else None,
            recent=recent,
            starts=starts,
        )

    def _least(self, names: tuple[str, ...], now: datetime) -> float | None:
        if now != self._least_at:
            self._least_at = now
            self._least_of.clear()
        if names not in self._least_of:
            known = (self._state.value(name, now) for name in names)
            self._least_of[names] = min((value for value in known if value is not None), default=None)
        return self._least_of[names]

    def _presence(self, sight: _Sight, now: datetime) -> Presence:
        if any(self._occupied(zone, now) for zone in sight.zones):
            return Presence.SCHEDULED
        if any((self._state.value(name, now) or 0.0) > 0 for name in sight.people):
            return Presence.SENSED
        return Presence.EMPTY

    def _worst_air(self, sight: _Sight, now: datetime) -> float | None:
        """Return the highest CO2; None as soon as one sensor is silent and no other shows foul air."""
        values = [self._state.value(name, now) for name in sight.co2]
        known = _most(values)
        return known if None not in values or (known is not None and known > CO2_RELEASE_PPM) else None

    def _other_heat(self, point: Point, asked: Mapping[str, float], now: datetime) -> bool:
        """Whether another source can give heat if this one is disabled.

        Where we ask all of them to be off, the last in the site file is the one that is handed back; so for those
        before it there is another source.
        """
        after = False
        for source in self._sources[point.id.split(".", 1)[0]]:
            if source.part == point.part:
                after = True
                continue
            if source.fault is not None and self._state.value(source.fault, now) != 0.0:
                continue
            if source.enable is None:
                return True
            wanted = asked.get(source.enable)
            if (after and wanted == 0.0) or (
                self._state.value(source.enable, now) if wanted is None else wanted
            ) == 1.0:
                return True
        return False


def _sight(site: Site, point: Point) -> _Sight:
    building = next((b for b in site.buildings if b.id == point.id.split(".", 1)[0]), None)
    zone = next((z for z in building.zones if z.id == point.part), None) if building else None
    served = _served(building, point.part) if building else ()
    return _Sight(
        zone=zone if point.role is Role.HEATING_SETPOINT else None,
        heat_source=building is not None
        and any(isinstance(p, HeatPump | Boiler) and p.id == point.part for p in building.plant),
        zones=served,
        temperatures=_all(site, Role.ZONE_TEMPERATURE, served),
        co2=_all(site, Role.CO2, (*served, point.part)),
        people=_all(site, Role.OCCUPANCY, served),
    )


def _served(building: Building, part: str) -> tuple[str, ...]:
    """Name the zones a part serves: itself if it is one, those of its air handler, all of them for other plant."""
    names = tuple(zone.id for zone in building.zones)
    if part in names:
        return (part,)
    plant = next((p for p in building.plant if p.id == part), None)
    if plant is None or not isinstance(plant, AirHandler):
        return names  # heat reaches every zone sooner or later
    return tuple(name for name in plant.serves if name in names) or names


def _first(site: Site, role: Role, part: str) -> str | None:
    return next((point.id for point in site.by_role(role, part)), None)


def _all(site: Site, role: Role, parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(point.id for point in site.by_role(role) if point.part in parts)


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
