"""What the building is like now: the newest reading of each point and its age."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from config.site import Point, Site
from drivers.base import Quality, Reading

POLLS_MISSED = 3  # a point that is polled seldom is stale only after so many


def max_ages(site: Site) -> dict[str, timedelta]:
    """How old a value of each point may be."""
    return {
        point.id: max(point.max_age, POLLS_MISSED * device.poll) for device in site.devices for point in device.points
    }


class State:
    """Newest reading per point. A value is given out only while it is good and younger than the point's max_age.

    While the newest is suspect, the last good one stands for it until it is too old. Of a writable point a suspect
    value is given out too: it tells whose hand the point is in.
    """

    def __init__(self, site: Site) -> None:
        self.points: Mapping[str, Point] = site.points
        self._max_age = max_ages(site)
        self._newest: dict[str, Reading] = {}
        self._good: dict[str, Reading] = {}  # the last good one, of points whose newest is suspect

    def update(self, readings: Iterable[Reading]) -> None:
        """Take readings in; an older one than we have is ignored."""
        newest, good = self._newest, Quality.GOOD
        for reading in readings:
            known = newest.get(reading.point)
            if known is None or reading.time >= known.time or reading.received > known.received:
                if reading.quality is not good and known is not None and known.quality is good:
                    self._good[reading.point] = known
                newest[reading.point] = reading

    def max_age(self, point: str) -> timedelta:
        """How long a value of the point stands for it."""
        return self._max_age[point]

    def set_back(self, now: datetime) -> None:
        """Follow a clock that was set back to `now`: what was heard since has just been heard."""
        for known in (self._newest, self._good):
            for point, reading in known.items():
                if reading.time > now or reading.received > now:
                    known[point] = replace(reading, time=min(reading.time, now), received=min(reading.received, now))

    def reading(self, point: str) -> Reading | None:
        """The newest, however good."""
        return self._newest.get(point)

    def age_s(self, point: str, now: datetime) -> float | None:
        """Seconds since the value was true at the device; None if never heard."""
        reading = self._newest.get(point)
        return None if reading is None else max(0.0, (now - reading.time).total_seconds())

    def quality(self, point: str, now: datetime) -> Quality:
        """How good the newest reading is now: STALE once it is older than it may be, BAD if there is none."""
        reading = self._newest.get(point)
        if reading is None:
            return Quality.BAD
        late = reading.quality is not Quality.BAD and self._is_old(reading, now)
        return Quality.STALE if late else reading.quality

    def value(self, point: str, now: datetime) -> float | None:
        """The value if it is good and fresh, else None."""
        reading = self._newest.get(point)
        if reading is not None and reading.quality is not Quality.GOOD:
            reading = self._instead(reading)
        return None if reading is None or self._is_old(reading, now) else reading.value

    def last_value(self, point: str) -> float | None:
        """The newest good value however old; None if there is none or the newest is bad."""
        reading = self._newest.get(point)
        if reading is not None and reading.quality is Quality.SUSPECT:
            reading = self._instead(reading)
        return None if reading is None else reading.value

    def _instead(self, reading: Reading) -> Reading | None:
        """What stands for a reading that is not good."""
        if reading.quality is not Quality.SUSPECT:
            return None
        spec = self.points.get(reading.point)
        return reading if spec is not None and spec.writable else self._good.get(reading.point)

    def _is_old(self, reading: Reading, now: datetime) -> bool:
        limit = self._max_age.get(reading.point)
        return limit is not None and now - reading.time > limit
