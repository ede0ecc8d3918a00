"""When people should be there, by the site file, and when they really come, by seed."""

from collections import OrderedDict
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from config.calendar import Span, spans_of_day
from config.hours import Calendar
from config.localtime import day_bounds_s, local_date
from config.site import Building
from site_sims.weather import MINUTES_A_DAY

KEPT_DAYS = 64
EVENING_HOUR = 20  # what ends at or after this is a meeting that may overrun

Flags = NDArray[np.bool_]
Counts = NDArray[np.float64]


class Timetable:
    """The hours of the site file in UTC minutes."""

    def __init__(self, building: Building, *, timezone: str, calendar: Calendar) -> None:
        self.zones, self.timezone, self._calendar = building.zones, timezone, calendar

    def local_date(self, minute: int) -> date:
        """Local date of a minute."""
        return local_date(minute * 60, self.timezone)

    def midnight(self, day: date) -> int:
        """First minute of a local day."""
        return day_bounds_s(day, self.timezone)[0] // 60

    def blocks(self, zone: int, day: date) -> tuple[Span, ...]:
        """Spans of one local day in time order, with the usual number of people; none on closed days."""
        return spans_of_day(self.zones[zone].occupancy, day, self.timezone, self._calendar)

    def spans(self, zone: int, day: date) -> list[tuple[int, int]]:
        """Start and end minutes of a zone's blocks on a local day, in time order."""
        return [(span.start_s // 60, span.end_s // 60) for span in self.blocks(zone, day)]


class Occupants:
    """Scheduled hours and real attendance of every zone, for any minute."""

    def __init__(self, timetable: Timetable, *, seed: int) -> None:
        self.timetable = timetable
        self._seed = seed
        self._days: OrderedDict[int, tuple[Flags, Counts]] = OrderedDict()

    def scheduled(self, minute: int) -> Flags:
        """By zone: the site file says occupied."""
        row: Flags = self.day(minute // MINUTES_A_DAY)[0][minute % MINUTES_A_DAY]
        return row

    def people(self, minute: int) -> Counts:
        """By zone: people really there."""
        row: Counts = self.day(minute // MINUTES_A_DAY)[1][minute % MINUTES_A_DAY]
        return row

    def day(self, day: int) -> tuple[Flags, Counts]:
        """(1440, zones) of one UTC day since 1970: scheduled, and people."""
        blocks = self._days.get(day)
        if blocks is None:
            blocks = self._days[day] = self._make(day)
            if len(self._days) > KEPT_DAYS:
                self._days.popitem(last=False)
        return blocks

    def _make(self, day: int) -> tuple[Flags, Counts]:
        zones, table = len(self.timetable.zones), self.timetable
        scheduled = np.zeros((MINUTES_A_DAY, zones), dtype=np.bool_)
        people = np.zeros((MINUTES_A_DAY, zones))
        first = day * MINUTES_A_DAY
        noon = table.local_date(first + MINUTES_A_DAY // 2)
        for local in (noon - timedelta(days=1), noon, noon + timedelta(days=1)):
            for zone in range(zones):
                for number, span in enumerate(table.blocks(zone, local)):
                    start, end = span.start_s // 60 - first, span.end_s // 60 - first
                    scheduled[max(start, 0) : max(end, 0), zone] = True
                    begin, counts = self._attend(span, [self._seed, 3, local.toordinal(), zone, number])
                    begin -= first
                    low, high = max(begin, 0), min(begin + counts.size, MINUTES_A_DAY)
                    if low < high:
                        people[low:high, zone] += counts[low - begin : high - begin]
        return scheduled, people

    def _attend(self, span: Span, seed: list[int]) -> tuple[int, Counts]:
        """Who really comes: the first minute and whole people by minute. Late, early, fewer, sometimes nobody."""
        rng = np.random.default_rng(seed)
        share, absent = rng.normal(0.88, 0.14), rng.random() < 0.04
        late, leave, overrun = rng.normal(3.0, 9.0), rng.normal(4.0, 14.0), rng.exponential(18.0)
        ends_at = datetime.fromtimestamp(span.end_s, ZoneInfo(self.timetable.timezone))
        begin = span.start_s // 60 + round(late)
        finish = span.end_s // 60 + round(leave + (overrun if ends_at.hour >= EVENING_HOUR else 0.0))
        length = max(finish - begin, 30)
        if absent and length < 360:
            return begin, np.zeros(length)
        quarters = rng.normal(0.0, 0.08, size=length // 15 + 2)
        at = np.arange(length)
        wander = np.interp(at, np.arange(quarters.size) * 15, np.cumsum(quarters) * 0.4 + quarters)
        arriving = np.minimum(1.0, (at + 1) / 25)  # people trickle in and out over some minutes
        leaving = np.minimum(1.0, (length - at) / 20)
        lunch = 1 - 0.25 * np.exp(-(((at - 270) / 30.0) ** 2)) * (length > 360)
        level = span.people * max(share, 0.3) * (1 + wander) * arriving * leaving * lunch
        return begin, np.clip(np.round(level), 0, round(span.people * 1.5))
