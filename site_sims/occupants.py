"""When people should be there, by the site file, and when they really come, by seed."""

from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import holidays
import numpy as np
from numpy.typing import NDArray

from config.site import Building, Calendar, Hours, Weekday
from site_sims.weather import MINUTES_A_DAY, minute_of

KEPT_DAYS = 64
WEEKDAYS = tuple(Weekday)
EVENING = time(20)  # a block that ends at or after this is a meeting that may overrun


class ClosedDays:
    """Public holidays and the site's own closed days."""

    def __init__(self, calendar: Calendar) -> None:
        self._closed = frozenset(calendar.closed)
        self._public: holidays.HolidayBase | None = None
        if calendar.holidays is not None:
            country, _, part = calendar.holidays.partition("-")
            self._public = holidays.country_holidays(country, subdiv=part or None)

    def __contains__(self, day: object) -> bool:
        return day in self._closed or (self._public is not None and day in self._public)


class Timetable:
    """The hours of the site file in UTC minutes."""

    def __init__(self, building: Building, *, timezone: str, calendar: Calendar) -> None:
        self.zones = building.zones
        self.timezone = ZoneInfo(timezone)
        self._closed = ClosedDays(calendar)

    def local(self, minute: int) -> datetime:
        return datetime.fromtimestamp(minute * 60, self.timezone)

    def blocks(self, zone: int, day: date) -> list[Hours]:
        """The blocks of a zone on a local day, in file order; none on closed days."""
        if day in self._closed:
            return []
        name = WEEKDAYS[day.weekday()]
        return [hours for hours in self.zones[zone].occupancy if name in hours.days]

    def minute(self, day: date, at: time) -> int:
        return minute_of(datetime.combine(day, at, self.timezone))

    def spans(self, zone: int, day: date) -> list[tuple[int, int]]:
        """Start and end minutes of a zone's blocks on a local day, in order of time."""
        blocks = self.blocks(zone, day)
        return sorted((self.minute(day, hours.start), self.minute(day, hours.end)) for hours in blocks)


def _local_days(utc_day: int) -> list[date]:
    middle = datetime.fromtimestamp(utc_day * 86400, UTC).date()
    return [middle + timedelta(days=shift) for shift in (-1, 0, 1)]


class Occupants:
    """Scheduled hours and real attendance of every zone, for any minute."""

    def __init__(self, timetable: Timetable, *, seed: int) -> None:
        self.timetable = timetable
        self._seed = seed
        self._days: OrderedDict[int, tuple[NDArray[np.bool_], NDArray[np.float64]]] = OrderedDict()

    def scheduled(self, minute: int) -> NDArray[np.bool_]:
        """By zone: the site file says occupied."""
        row: NDArray[np.bool_] = self.day(minute // MINUTES_A_DAY)[0][minute % MINUTES_A_DAY]
        return row

    def people(self, minute: int) -> NDArray[np.float64]:
        """By zone: people really there."""
        row: NDArray[np.float64] = self.day(minute // MINUTES_A_DAY)[1][minute % MINUTES_A_DAY]
        return row

    def day(self, day: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """(1440, zones) of one UTC day: scheduled, and people."""
        blocks = self._days.get(day)
        if blocks is None:
            blocks = self._days[day] = self._make(day)
            if len(self._days) > KEPT_DAYS:
                self._days.popitem(last=False)
        return blocks

    def _make(self, day: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        zones = len(self.timetable.zones)
        scheduled = np.zeros((MINUTES_A_DAY, zones), dtype=np.bool_)
        people = np.zeros((MINUTES_A_DAY, zones))
        first = day * MINUTES_A_DAY
        for local_day in _local_days(day):
            for zone in range(zones):
                for number, hours in enumerate(self.timetable.blocks(zone, local_day)):
                    start = self.timetable.minute(local_day, hours.start) - first
                    end = self.timetable.minute(local_day, hours.end) - first
                    scheduled[max(start, 0) : max(end, 0), zone] = True
                    seed = [self._seed, 3, local_day.toordinal(), zone, number]
                    begin, counts = _attendance(hours, start, end, np.random.default_rng(seed))
                    low, high = max(begin, 0), min(begin + counts.size, MINUTES_A_DAY)
                    if low < high:
                        people[low:high, zone] += counts[low - begin : high - begin]
        return scheduled, people


def _attendance(hours: Hours, start: int, end: int, rng: np.random.Generator) -> tuple[int, NDArray[np.float64]]:
    """Who really comes to one block: first minute and whole people by minute. Late, early, fewer, sometimes nobody."""
    share, absent = rng.normal(0.88, 0.14), rng.random() < 0.04
    late, leave, overrun = rng.normal(3.0, 9.0), rng.normal(4.0, 14.0), rng.exponential(18.0)
    begin = start + round(late)
    finish = end + round(leave + (overrun if hours.end >= EVENING else 0.0))
    length = max(finish - begin, 30)
    quarters = rng.normal(0.0, 0.08, size=length // 15 + 2)
    at = np.arange(length)
    wander = np.interp(at, np.arange(quarters.size) * 15, np.cumsum(quarters) * 0.4 + quarters)
    arriving = np.minimum(1.0, (at + 1) / 25)  # people trickle in and out over some minutes
    leaving = np.minimum(1.0, (length - at) / 20)
    lunch = 1 - 0.25 * np.exp(-((((at + begin - start) - 270) / 30.0) ** 2)) * (length > 360)
    level = hours.people * max(share, 0.3) * (1 + wander) * arriving * leaving * lunch
    counts = np.zeros(length) if absent and length < 360 else np.clip(np.round(level), 0, hours.people * 1.5)
    return begin, counts
