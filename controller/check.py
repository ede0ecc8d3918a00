"""`plenum check`: the site file, its driver options and the files it names, every mistake at once."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from config.cures import choice, findings_of, split
from config.influx import Influx
from config.load import Draft, draft_of, read_draft
from config.roles import Role
from config.site import Carbon, Location, Point, Site
from config.source import Finding, Place, Source
from controller.carbon.intensity import site_intensity
from drivers.base import Can, Driver, Here
from drivers.clock import Clock
from drivers.registry import MakesDriver, Shared, driver_class, driver_names

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def check_site(path: Path) -> tuple[Site | None, list[Finding]]:
    """The site, None if there are findings; and the findings in the order of the file."""
    return _checked(read_draft(path), path.parent)


def check_text(text: str, file: str = "site.yaml", *, base: Path = Path()) -> tuple[Site | None, list[Finding]]:
    """Like `check_site` for a text; paths in it count from `base`."""
    return _checked(draft_of(text, file), base)


def format_findings(findings: Sequence[Finding]) -> str:
    """For people: two lines a finding and a count."""
    if not findings:
        return "No mistakes found."
    lines = []
    for found in findings:
        where = f" {found.path}:" if found.path else ""
        lines += [f"{found.file}:{found.line}:{found.column}:{where} {found.text}", f"    -> {found.cure}"]
    lines.append(f"{len(findings)} mistake{'s' if len(findings) > 1 else ''}.")
    return "\n".join(lines)


def _checked(draft: Draft, base: Path) -> tuple[Site | None, list[Finding]]:
    found = set(draft.findings)
    here = Here(location=_location(draft.source), base=base)
    for device, _ in draft.source.items(("devices",)):
        found.update(_device(draft.source, device, here))
    found.update(_files(draft.source, base))
    found.update(_database_files(draft.source, base))
    findings = sorted(found, key=lambda item: (item.line, item.column, item.path, item.text))
    return (None if findings else draft.site), findings


def _location(source: Source) -> Location | None:
    """Where the site is; None if that is not well formed, which is among the findings already."""
    try:
        return Location.model_validate(source.get(("location",)))
    except ValidationError:
        return None


def _device(source: Source, at: Place, here: Here) -> Iterator[Finding]:
    name = source.get((*at, "driver"))
    if not isinstance(name, str):
        return
    if name not in driver_names():
        yield source.finding((*at, "driver"), f"there is no driver {name!r}", choice(name, driver_names()))
        return
    try:
        kind = driver_class(name)
    except (ImportError, AttributeError) as err:
        cure = "install what is missing, or the whole program again"
        yield source.finding((*at, "driver"), f"the driver {name!r} cannot be loaded: {err}", cure)
        return
    options = None
    try:
        options = kind.Options.model_validate(_mapping(source, (*at, "options")))
    except ValidationError as err:
        yield from findings_of(err, source, kind.Options, at=(*at, "options"))
    else:
        try:
            kind.check_options(options, here)
        except ValueError as err:
            yield source.finding((*at, "options"), *split(str(err)))
    for place, raw in source.items((*at, "points")):
        yield from _point(source, place, raw, kind, options)


def _mapping(source: Source, path: Place) -> dict[str, Any]:
    value = source.get(path)
    return value if isinstance(value, dict) else {}


def _point(source: Source, at: Place, raw: Any, kind: type[Driver], options: Any) -> Iterator[Finding]:
    address = source.get((*at, "address"))
    sound = options is not None
    if isinstance(address, str) and address:
        try:
            kind.check_address(address)
        except ValueError as err:
            sound = False
            yield source.finding((*at, "address"), *split(str(err)))
    try:
        kind.PointOptions.model_validate(_mapping(source, (*at, "options")))
    except ValidationError as err:
        sound = False
        yield from findings_of(err, source, kind.PointOptions, at=(*at, "options"))
    try:
        point = Point.model_validate(raw)
    except ValidationError:
        return  # already among the findings of the site itself
    if sound:
        try:
            kind.check_role(point)
        except ValueError as err:
            yield source.finding((*at, "role") if source.get((*at, "role")) else at, *split(str(err)))
    if sound and point.writable:
        yield from _command(source, at, point, kind, options)


def _command(source: Source, at: Place, point: Point, kind: type[Driver], options: Any) -> Iterator[Finding]:
    """Whether the driver can do to this point what the site file wants; a driver is made and never opened."""
    try:
        can = cast("MakesDriver", kind)([point], options=options, clock=Clock(_EPOCH), shared=Shared()).can
    except ValueError as err:
        yield source.finding(at, *split(str(err)))
        return
    if Can.WRITE not in can:
        cure = "remove 'writable', or add the options that commands need (MQTT: command_topic)"
        yield source.finding((*at, "writable"), f"{point.id} cannot be written by this driver as it stands", cure)
    elif Can.RELINQUISH not in can and point.safe_value is None:
        cure = "add 'safe_value:', which is written instead, or what hands it back (MQTT: relinquish)"
        yield source.finding(at, f"{point.id} cannot be handed back to the building", cure)
    elif Can.RELINQUISH not in can and point.role is Role.HEARTBEAT:
        cure = "add what hands it back (MQTT: relinquish), or remove the point"
        yield source.finding(at, f"{point.id}: a beat each minute would wear out what cannot be handed back", cure)


def _files(source: Source, base: Path) -> Iterator[Finding]:
    path = ("carbon", "intensity_file")
    name = source.get(path)
    if not isinstance(name, str):
        return
    try:
        site_intensity(Carbon(intensity_file=Path(name)), base)
    except OSError as err:
        cure = "write its path as seen from the site file, or remove 'intensity_file'"
        yield source.finding(path, f"{name} cannot be read: {err.strerror}", cure)
    except ValueError as err:
        yield source.finding(path, *split(str(err)))


def _database_files(source: Source, base: Path) -> Iterator[Finding]:
    try:
        options = Influx.model_validate(source.get(("store", "influx")))
    except ValidationError:
        return  # there is none, or it is already among the findings of the site itself
    for key, name in options.files.items():
        if not (base / name).is_file():
            cure = "write its path as seen from the site file, and let only the service's user read it"
            yield source.finding(("store", "influx", key), f"{name} is not there", cure)
