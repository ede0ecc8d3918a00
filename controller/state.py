"""What the building is like now: the newest reading of each point and its age."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from config.site import Point, Site
from drivers.base import Quality, Reading

USABLE = frozenset({Quality.GOOD, Quality.SUSPECT})


class State:
    """Newest reading per point. A value is given out only while it is usable and younger than the point's max_age."""

    def __init__(self, site: Site) -> None:
        self.points: Mapping[str, Point] = site.points
        self._newest: dict[str, Reading] = {}

    def update(self, readings: Iterable[Reading]) -> None:
        """Take readings in; an older one than we have is ignored."""
        newest = self._newest
        for reading in readings:
            known = newest.get(reading.point)
            if known is None or reading.time >= known.time or reading.received > known.received:
                newest[reading.point] = reading

    def reading(self, point: str) -> Reading | None:
        return self._newest.get(point)

    def age_s(self, point: str, now: datetime) -> float | None:
        """Seconds since the value was true at the device; None if never heard."""
        reading = self._newest.get(point)
        return None if reading is None else max(0.0, (now - reading.time).total_seconds())

    def value(self, point: str, now: datetime) -> float | None:
        """The value if it is usable and fresh, else None."""
        reading = self._newest.get(point)
        if reading is None or reading.quality not in USABLE:
            return None
        spec = self.points.get(point)
        if spec is not None and now - reading.time > spec.max_age:
            return None
        return reading.value

    def last_value(self, point: str) -> float | None:
        """The newest value however old; None if there is none or it was bad."""
        reading = self._newest.get(point)
        return None if reading is None else reading.value
