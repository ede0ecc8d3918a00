"""The parts of a site file, each validated by itself, so that one mistake does not hide another."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from config.base import Duration
from config.site import Building, Device, Meter, Plant, Point, Tariff, Zone
from config.source import Place, Source

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """One element of a list in the file."""

    path: Place
    id: str | None  # None = it has none that is text
    model: T | None  # None = it is not well formed

    def at(self, *keys: str | int) -> Place:
        return (*self.path, *keys)


NAME = r"^[a-z][a-z0-9_]*$"
POINT_ID = r"^[a-z0-9_]+(\.[a-z0-9_]+){2,}$"
_POLL: TypeAdapter[timedelta] = TypeAdapter(Duration)
_PLANT: TypeAdapter[Plant] = TypeAdapter(Plant)


class Parts:
    """Lists of the parts of a source, in file order."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.buildings = self._each(("buildings",), Building)
        self.zones = [zone for b in self.buildings for zone in self._each(b.at("zones"), Zone)]
        self.plant = [part for b in self.buildings for part in self._each(b.at("plant"), _PLANT)]
        self.devices = self._each(("devices",), Device)
        self.points = [point for d in self.devices for point in self._each(d.at("points"), Point)]
        self.meters = self._each(("meters",), Meter)
        self.tariffs = self._each(("tariffs",), Tariff)

    def _each(self, path: Place, kind: type[T] | TypeAdapter[T]) -> list[Part[T]]:
        return [self._part(place, raw, kind) for place, raw in self.source.items(path)]

    @staticmethod
    def _part(place: Place, raw: Any, kind: type[T] | TypeAdapter[T]) -> Part[T]:
        name = raw.get("id") if isinstance(raw, dict) else None
        adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
        try:
            model = adapter.validate_python(raw)
        except ValidationError:
            model = None
        return Part(place, name if isinstance(name, str) else None, model)

    def poll(self, device: Place) -> timedelta | None:
        """How often a device is polled; None if that is not well formed."""
        try:
            return _POLL.validate_python(self.source.get((*device, "poll")) or Device.model_fields["poll"].default)
        except ValidationError:
            return None

    @staticmethod
    def named(parts: Sequence[Part[Any]], pattern: str = NAME) -> bool:
        """Whether every one has a proper id, so that a name not among them is surely wrong."""
        return all(part.id is not None and re.match(pattern, part.id) for part in parts)

    def ids(self, parts: list[Part[T]]) -> dict[str, Part[T]]:
        """Parts by id; the first of equal ids."""
        found: dict[str, Part[T]] = {}
        for part in parts:
            if part.id is not None:
                found.setdefault(part.id, part)
        return found


def building_of(part: Part[Any]) -> Place:
    """Path of the building that a zone or plant stands in."""
    return part.path[:2]
