"""Ids and what refers to them: every id once, every reference to something that is there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from config.cures import choice
from config.parts import POINT_ID, Part, Parts, building_of
from config.roles import Role
from config.site import MeterKind, Point
from config.source import Finding, Place

_OF_A_ZONE = (Role.ZONE_TEMPERATURE, Role.HEATING_SETPOINT, Role.COOLING_SETPOINT, Role.OCCUPANCY, Role.LIGHT_LEVEL)
_OF_PLANT = (
    Role.TANK_TEMPERATURE,
    Role.TANK_SETPOINT,
    Role.FLOW_TEMPERATURE,
    Role.FLOW_SETPOINT,
    Role.ENABLE,
    Role.CAPACITY_LIMIT,
    Role.OUTDOOR_DAMPER,
    Role.SUPPLY_TEMPERATURE,
    Role.SUPPLY_SETPOINT,
)


def reference_findings(parts: Parts) -> Iterator[Finding]:
    """Everything that is named twice, or named and not there."""
    yield from _named_twice(parts)
    yield from _addresses(parts)
    yield from _zones_and_plant(parts)
    yield from _points(parts)
    yield from _meters(parts)


def _named_twice(parts: Parts) -> Iterator[Finding]:
    # A point names its zone or plant by one word, so those words are unique in the whole site.
    groups: Sequence[tuple[str, Sequence[Part[Any]]]] = (
        ("building", parts.buildings),
        ("zone or plant", [*parts.zones, *parts.plant]),
        ("device", parts.devices),
        ("point", parts.points),
        ("meter", parts.meters),
    )
    for word, group in groups:
        seen: dict[str, Part[Any]] = {}
        for part in group:
            if part.id is None:
                continue
            if part.id in seen:
                line = parts.source.position(seen[part.id].at("id"))[0]
                text = f"{part.id!r} is already the {word} of line {line}"
                yield parts.source.finding(part.at("id"), text, "give this one another id")
            seen.setdefault(part.id, part)


def _addresses(parts: Parts) -> Iterator[Finding]:
    seen: dict[tuple[Place, str], Part[Point]] = {}
    for point in parts.points:
        address = parts.source.get(point.at("address"))
        if not isinstance(address, str):
            continue
        first = seen.setdefault((point.path[:2], address), point)
        if first is not point:
            text = f"address {address!r} is already that of {first.id}"
            yield parts.source.finding(point.at("address"), text, "write this point's own address, or remove it")


def _zones_and_plant(parts: Parts) -> Iterator[Finding]:
    named: list[tuple[Part[Any], str, list[Part[Any]]]] = [(zone, "neighbours", [*parts.zones]) for zone in parts.zones]
    named += [(plant, "serves", [*parts.zones, *parts.plant]) for plant in parts.plant]
    for part, key, others in named:
        known = [other.id for other in others if other.id and building_of(other) == building_of(part)]
        known = [name for name in known if name != part.id]
        if not parts.named(others):
            continue
        for place, name in parts.source.items(part.at(key)):
            if not isinstance(name, str):
                continue
            if name == part.id:
                yield parts.source.finding(place, f"{name} names itself", "remove it")
            elif name not in known:
                word = "zone" if key == "neighbours" else "zone or plant"
                text = f"there is no {word} {name!r} in this building"
                yield parts.source.finding(place, text, choice(name, known))


def _points(parts: Parts) -> Iterator[Finding]:
    buildings = [b.id for b in parts.buildings if b.id]
    zones = [zone.id for zone in parts.zones if zone.id]
    plant = [part.id for part in parts.plant if part.id]
    for point in parts.points:
        if point.model is None:
            continue
        building, part, *rest = point.model.id.split(".")
        if building not in buildings and parts.named(parts.buildings):
            cure = choice(building, buildings)
            yield parts.source.finding(
                point.at("id"), f"there is no building {building!r}", _whole(cure, [part, *rest])
            )
        of_a_zone = point.model.role in _OF_A_ZONE
        known, word = (zones, "zone") if of_a_zone else (plant, "plant")
        if not (of_a_zone or point.model.role in _OF_PLANT) or part in known:
            continue
        if parts.named(parts.zones if of_a_zone else parts.plant):
            text = f"a point of role {point.model.role} belongs to a {word}, and there is no {word} {part!r}"
            yield parts.source.finding(point.at("id"), text, _whole(choice(part, known), rest, before=building))


def _whole(cure: str, rest: Sequence[str], *, before: str = "") -> str:
    """A cure for one word of an id as the whole id."""
    if cure.startswith("write '"):
        return f"write '{'.'.join([word for word in (before, cure[7:-1], *rest) if word])}'"
    return cure


def _meters(parts: Parts) -> Iterator[Finding]:
    points: Mapping[str, Part[Point]] = parts.ids(parts.points)
    counted: dict[tuple[str, bool], str] = {}
    for meter in parts.meters:
        name = parts.source.get(meter.at("point"))
        if not isinstance(name, str):
            continue
        if name not in points and not parts.named(parts.points, POINT_ID):
            continue
        if name not in points:
            text = f"there is no point {name!r} on any device"
            yield parts.source.finding(meter.at("point"), text, choice(name, list(points)))
            continue
        if meter.model is None:
            continue
        key = (name, meter.model.export and meter.model.kind is MeterKind.POWER)
        first = counted.setdefault(key, meter.model.id)
        if first != meter.model.id:
            text = f"point {name!r} is already counted by the meter {first!r}"
            yield parts.source.finding(meter.at("point"), text, "name this meter's own point, or remove the meter")
