"""What contradicts itself in a site file although every part of it is well formed."""

from collections.abc import Iterator
from itertools import combinations
from urllib.parse import urlsplit

from config.calendar import check_holidays
from config.cures import SECRET, nearest, split
from config.factors import official_factors
from config.hours import Hours, Season
from config.parts import Part, Parts, building_of
from config.references import reference_findings
from config.roles import COMMANDS, UNITS, Role
from config.site import Building, Fuel, Meter, MeterKind, Period, Plant, Point, Zone
from config.source import Finding, Source
from config.tariff import seconds_of, week_spans
from config.units import Unit

DEAD_BAND_K = 2.0  # between heating and cooling setpoints of a zone

_METER_ROLES = {
    Fuel.ELECTRICITY: (Role.ELECTRICITY_METER, Role.ELECTRICITY_POWER, Role.LIGHTING_POWER, Role.OTHER),
    Fuel.GAS: (Role.GAS_METER, Role.OTHER),
    Fuel.HEAT: (Role.HEAT_METER, Role.HEAT_OUTPUT, Role.OTHER),
    Fuel.PV: (Role.PV_METER, Role.PV_POWER, Role.OTHER),
}


def contradictions(source: Source) -> Iterator[Finding]:
    """Every contradiction, in no particular order."""
    parts = Parts(source)
    yield from reference_findings(parts)
    yield from _timezone_and_days(source)
    yield from _secrets(source)
    for point in parts.points:
        yield from _point(source, point)
        yield from _age(parts, point)
    for zone in parts.zones:
        yield from _zone(parts, zone)
    for building in parts.buildings:
        yield from _area(parts, building)
    for plant in parts.plant:
        yield from _temperatures(source, plant)
    for meter in parts.meters:
        yield from _meter(parts, meter)
    yield from _tariffs(parts)
    yield from _fuels(parts)
    yield from _targets(source)


def _timezone_and_days(source: Source) -> Iterator[Finding]:
    code = source.get(("calendar", "holidays"))
    if isinstance(code, str):
        try:
            check_holidays(code)
        except ValueError as err:
            yield source.finding(("calendar", "holidays"), *split(str(err)))
    year = source.get(("carbon", "factor_year"))
    years = official_factors().years
    if isinstance(year, int) and 2020 <= year <= 2100 and year not in years:
        text = f"there are no emission factors of {year}"
        cure = f"write a year from {years[0]} to {years[-1]}, or null to take each kWh at its own year"
        yield source.finding(("carbon", "factor_year"), text, cure)


def _secrets(source: Source) -> Iterator[Finding]:
    """Secrets stand in files or in the environment, so that a site file can be shown to anybody."""
    for path, value in source.walk():
        if not {"options", "influx"} & set(path) or not isinstance(value, (str, int, float)) or isinstance(value, bool):
            continue
        key = str(next((part for part in reversed(path) if isinstance(part, str)), ""))
        if SECRET.search(key) and not key.endswith(("_file", "_env")):
            cure = f"write '{key}_file:' with the path of a file that holds it, and change the secret"
            yield source.finding(path, "a secret stands in the site file", cure)
        elif isinstance(value, str) and "://" in value and _password(value):
            cure = "take user and password out of the address and write 'password_file:'"
            yield source.finding(path, "a password stands in an address", cure)


def _password(address: str) -> bool:
    try:
        return urlsplit(address).password is not None
    except ValueError:
        return False


def _point(source: Source, part: Part[Point]) -> Iterator[Finding]:
    point = part.model
    if point is None:
        return
    units = UNITS.get(point.role, tuple(Unit))
    if point.unit not in units:
        words = " or ".join(units)
        text = f"a point of role {point.role} cannot be in {point.unit}"
        yield source.finding(part.at("unit"), text, f"write 'unit: {words}', or another role")
    if point.writable and point.role not in COMMANDS:
        text = f"a point of role {point.role} is measured, it cannot be written"
        meant = nearest(str(point.role).replace("temperature", "setpoint"), [str(role) for role in COMMANDS])
        cure = "remove 'writable'" + (f", or write 'role: {meant}'" if meant else "")
        yield source.finding(part.at("writable"), text, cure)


def _age(parts: Parts, part: Part[Point]) -> Iterator[Finding]:
    poll = parts.poll(part.path[:2])
    if part.model is not None and poll is not None and part.model.max_age < poll:
        seconds = poll.total_seconds()
        text = f"max_age is shorter than the {seconds:g} s between two polls, so the value is always too old"
        yield parts.source.finding(part.at("max_age"), text, f"write 'max_age: {3 * seconds:g} s', or poll more often")


def _zone(parts: Parts, part: Part[Zone]) -> Iterator[Finding]:
    zone, source = part.model, parts.source
    if zone is None:
        return
    inner, outer = zone.comfort.occupied, zone.comfort.unoccupied
    if outer.low > inner.low:
        text = f"unoccupied low {outer.low:g} is above occupied low {inner.low:g}"
        yield source.finding(part.at("comfort", "unoccupied", "low"), text, f"write {inner.low:g} or less")
    if outer.high < inner.high:
        text = f"unoccupied high {outer.high:g} is below occupied high {inner.high:g}"
        yield source.finding(part.at("comfort", "unoccupied", "high"), text, f"write {inner.high:g} or more")
    mine = [p for p in parts.points if p.model and p.model.part == zone.id]
    sensed = any(p.model and p.model.role is Role.ZONE_TEMPERATURE for p in mine)
    for point in mine:
        if point.model is None or point.model.role is not Role.HEATING_SETPOINT or not point.model.writable:
            continue
        low, high = point.model.low, point.model.high
        if low is not None and high is not None and not (low <= inner.low and high >= inner.low):
            text = f"the comfort band of {zone.id} begins at {inner.low:g}, outside the setpoint's {low:g} to {high:g}"
            yield source.finding(point.at("low" if low > inner.low else "high"), text, f"let it reach {inner.low:g}")
        if not sensed and not _hidden(parts, zone.id):
            text = f"{zone.id} has a heating setpoint but no point of role zone_temperature"
            cure = "add its temperature sensor to a device, or remove 'writable'"
            yield source.finding(point.path, text, cure)
    yield from _dead_band(source, mine)
    yield from _hours(source, part, zone.occupancy)


def _dead_band(source: Source, mine: list[Part[Point]]) -> Iterator[Finding]:
    """However far both setpoints of a zone are moved, heating and cooling stay apart."""
    hottest = [p.model.high for p in mine if p.model and p.model.role is Role.HEATING_SETPOINT and p.model.writable]
    for point in mine:
        if point.model is None or point.model.role is not Role.COOLING_SETPOINT or not point.model.writable:
            continue
        low = point.model.low
        for high in hottest:
            if low is not None and high is not None and low < high + DEAD_BAND_K:
                text = f"cooling may begin at {low:g}, less than {DEAD_BAND_K:g} K above heating's {high:g}"
                yield source.finding(point.at("low"), text, f"write {high + DEAD_BAND_K:g} or more")


def _hidden(parts: Parts, zone: str) -> bool:
    """Whether a malformed point may be the one that is missed."""
    return any(point.model is None and point.id and f".{zone}." in point.id for point in parts.points)


def _hours(source: Source, part: Part[Zone], occupancy: tuple[Hours, ...]) -> Iterator[Finding]:
    terms = source.get(("calendar", "terms"))
    for n, hours in enumerate(occupancy):
        if hours.during is not Season.ALWAYS and not terms:
            text = f"there are no terms, so nobody can tell when {hours.during} is"
            cure = "add 'terms: [{first: 2023-01-04, last: 2023-02-10}]' with your own days to calendar"
            yield source.finding(part.at("occupancy", n, "during"), text, cure)
    for (_, one), (n, two) in combinations(enumerate(occupancy), 2):
        shared = [day for day in one.days if day in two.days]
        apart = {one.during, two.during} == {Season.TERM, Season.BREAK}
        if shared and not apart and one.start < two.end and two.start < one.end:
            text = f"overlaps with {one.start:%H:%M} to {one.end:%H:%M} on {', '.join(shared)}"
            cure = "let one end where the other begins, with the number of people in each"
            yield source.finding(part.at("occupancy", n), text, cure)


def _area(parts: Parts, part: Part[Building]) -> Iterator[Finding]:
    area = parts.source.get(part.at("floor_area_m2"))
    zones = [zone.model.area_m2 for zone in parts.zones if zone.model and building_of(zone) == part.path]
    if isinstance(area, (int, float)) and area > 0 and sum(zones) > area * 1.001:
        text = f"the zones add up to {sum(zones):g} m2, more than the building's {area:g}"
        yield parts.source.finding(part.at("floor_area_m2"), text, f"write {sum(zones):g} or more, or mend the zones")


def _temperatures(source: Source, part: Part[Plant]) -> Iterator[Finding]:
    for low, high in (("low", "high"), ("flow_low", "flow_high")):
        colder, hotter = getattr(part.model, low, None), getattr(part.model, high, None)
        if colder is not None and hotter is not None and colder >= hotter:
            text = f"{low} {colder:g} is not below {high} {hotter:g}"
            yield source.finding(part.at(low), text, f"write the smaller number as {low}")


def _meter(parts: Parts, part: Part[Meter]) -> Iterator[Finding]:
    meter, source = part.model, parts.source
    if meter is None:
        return
    point = next((p.model for p in parts.points if p.id == meter.point), None)
    if point is not None:
        power = meter.kind is MeterKind.POWER
        fits = point.unit is Unit.KW if power else point.unit in (Unit.KWH, Unit.M3)
        if not fits:
            kind = "register or interval" if point.unit is Unit.KWH else "power" if point.unit is Unit.KW else None
            cure = f"write 'kind: {kind}'" if kind else "name a point in kWh or kW"
            yield source.finding(part.at("kind"), f"a meter of kind {meter.kind} cannot read {point.unit}", cure)
        if point.role not in _METER_ROLES[meter.fuel]:
            text = f"{meter.point} is of role {point.role}, which does not measure {meter.fuel}"
            fuel = next((fuel for fuel, roles in _METER_ROLES.items() if point.role in roles), None)
            cure = f"write 'fuel: {fuel}', or name another point" if fuel else "name another point"
            yield source.finding(part.at("fuel"), text, cure)
    plant = {other.model.kind for other in parts.plant if other.model}
    if meter.fuel is Fuel.PV and "pv" not in plant and all(other.model for other in parts.plant):
        yield source.finding(part.at("fuel"), "there is no plant of kind pv", "add the panels to plant, or remove this")
    if meter.export and meter.fuel is not Fuel.ELECTRICITY:
        yield source.finding(part.at("export"), f"{meter.fuel} is never exported", "remove 'export'")


def _tariffs(parts: Parts) -> Iterator[Finding]:
    source = parts.source
    known = [part for part in parts.tariffs if part.model is not None]
    for n, part in enumerate(known):
        tariff = part.model
        if tariff is None:
            continue
        earlier = [other.model for other in known[:n] if other.model]
        if any(other.fuel is tariff.fuel for other in earlier):
            text = f"there is already a tariff for {tariff.fuel}"
            yield source.finding(part.at("fuel"), text, "keep one tariff for each fuel")
        if earlier and earlier[0].currency != tariff.currency:
            text = f"{tariff.currency} here, {earlier[0].currency} in the tariff before; costs could not be added up"
            yield source.finding(part.at("currency"), text, f"write 'currency: {earlier[0].currency}' in all of them")
        if tariff.fuel is Fuel.PV:
            cure = "remove it; what PV brings is the export_rate of electricity"
            yield source.finding(part.at("fuel"), "nobody sells pv", cure)
        for key, default in (("export_rate", 0.0), ("import_cap_kw", None)):
            if tariff.fuel is not Fuel.ELECTRICITY and getattr(tariff, key) != default:
                yield source.finding(part.at(key), f"{key} is of electricity only", "remove it")
        for place, text in _overlaps(tariff.periods):
            cure = "let one end where the other begins"
            yield source.finding(part.at("periods", place), text, cure)


def _overlaps(periods: tuple[Period, ...]) -> Iterator[tuple[int, str]]:
    for n, period in enumerate(periods):
        if seconds_of(period.start) == seconds_of(period.end):
            yield n, f"starts and ends at {period.start:%H:%M}; a rate for the whole day is the tariff's own rate"
    for (_, one), (n, two) in combinations(enumerate(periods), 2):
        if any(a < d and c < b for a, b in week_spans(one) for c, d in week_spans(two)):
            yield n, f"overlaps with {one.start:%H:%M} to {one.end:%H:%M}"


def _fuels(parts: Parts) -> Iterator[Finding]:
    """What is burnt must have a price, and what is counted must count somewhere."""
    source = parts.source
    if any(part.model is None for part in parts.tariffs):
        return
    priced = {part.model.fuel for part in parts.tariffs if part.model}
    needs = {
        "heat_pump": Fuel.ELECTRICITY,
        "air_handler": Fuel.ELECTRICITY,
        "chiller": Fuel.ELECTRICITY,
        "boiler": Fuel.GAS,
    }
    for plant in parts.plant:
        fuel = needs.get(plant.model.kind) if plant.model else None
        if fuel is not None and fuel not in priced:
            text = f"{plant.id} uses {fuel}, and there is no tariff for {fuel}"
            yield source.finding(plant.path, text, f"add {{fuel: {fuel}, rate: 0.25}} with your own price to tariffs")
            priced.add(fuel)
    for fuel in (Fuel.ELECTRICITY, Fuel.GAS):
        meters = [part for part in parts.meters if part.model and part.model.fuel is fuel]
        if meters and all(part.model for part in parts.meters) and not any(m.model and m.model.main for m in meters):
            text = f"no meter of {fuel} is the main one, so the building's totals would be empty"
            yield source.finding(meters[0].path, text, "write 'main: true' in the meter that counts all of it")


def _targets(source: Source) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for place, raw in source.items(("targets",)):
        if isinstance(raw, dict):
            key = (str(raw.get("measure")), str(raw.get("year")))
            if key in seen:
                text = f"there is already a target of {key[0]} for {key[1]}"
                yield source.finding(place, text, "keep one target for each measure and year")
            seen.add(key)
