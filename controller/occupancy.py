"""Who is expected where: the calendar of the site file, remembered between its changes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from config.calendar import next_occupied, next_vacant, occupied_series
from config.site import Site

FOREVER = datetime.max.replace(tzinfo=UTC)


class Occupancy:
    """The timetable of each zone. All times are aware; answers for one instant are cached until the next change."""

    def __init__(self, site: Site) -> None:
        self._zones = {zone.id: zone for building in site.buildings for zone in building.zones}
        self._timezone, self._calendar = site.timezone, site.calendar
        self._zone_info = ZoneInfo(site.timezone)
        self._spans: dict[str, tuple[datetime, datetime, bool]] = {}  # begin, end, whether people are expected
        self._starts: dict[str, tuple[datetime, datetime | None]] = {}  # asked at, next start

    def occupied(self, zone: str, when: datetime) -> bool:
        """Whether people are expected in the zone at an instant."""
        known = self._spans.get(zone)
        if known is not None and known[0] <= when < known[1]:
            return known[2]
        spec = self._zones[zone]
        start = next_occupied(spec, when, self._timezone, self._calendar)
        if start is not None and start <= when:
            known = (when, next_vacant(spec, when, self._timezone, self._calendar), True)
        else:
            known = (when, FOREVER if start is None else start, False)
        self._spans[zone] = known
        return known[2]

    def next_start(self, zone: str, when: datetime) -> datetime | None:
        """When people are expected next; `when` itself if they are there, None if never."""
        known = self._starts.get(zone)
        if known is not None and known[0] <= when and (known[1] is None or when < known[1]):
            return known[1]
        found = next_occupied(self._zones[zone], when, self._timezone, self._calendar)
        if found is None or found > when:
            self._starts[zone] = (when, found)
        return found

    def scheduled(self, zone: str, start: datetime, step: timedelta, steps: int) -> NDArray[np.bool_]:
        """For each step whether anybody is expected during it."""
        return self._series(zone, start, step, steps)[0]

    def people(self, zone: str, start: datetime, step: timedelta, steps: int) -> NDArray[np.float64]:
        """Mean number expected in each step."""
        return self._series(zone, start, step, steps)[1]

    def _series(
        self, zone: str, start: datetime, step: timedelta, steps: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        spec = self._zones[zone]
        return occupied_series(spec, start, step, steps, tz=self._timezone, calendar=self._calendar)

    def local(self, when: datetime) -> datetime:
        """The same instant on the site's clock."""
        return when.astimezone(self._zone_info)

    def local_steps(self, start: datetime, step: timedelta, steps: int) -> NDArray[np.int64]:
        """Number of each step within its local day; across a clock change the local clock counts."""
        offset = self.local(start).utcoffset() or timedelta(0)
        later = self.local(start + step * steps).utcoffset() or timedelta(0)
        index = np.arange(steps)
        if offset != later:
            shifts = [(self.local(start + step * n).utcoffset() or timedelta(0)) / step for n in range(steps)]
        else:
            shifts = [offset / step] * steps
        first = start.timestamp() / step.total_seconds()
        whole: NDArray[np.int64] = np.floor(first + index + np.array(shifts)).astype(np.int64)
        return whole % round(timedelta(days=1) / step)
