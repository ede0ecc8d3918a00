"""When people are expected: weekly patterns, school terms, holidays and closed days -> intervals in UTC.

What begins in the hour that the spring change skips begins at the change; what begins in the hour that the autumn
change repeats begins at its first pass. So nothing runs twice and nothing is lost.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

import holidays
import numpy as np
from numpy.typing import NDArray

from config.hours import Calendar, Hours, Season, Weekday
from config.localtime import epoch_s, instant_s, local_date, utc
from config.site import Zone

_DAYS = list(Weekday)
HORIZON_DAYS = 400  # farther ahead nobody is expected


@dataclass(frozen=True, slots=True)
class Span:
    """People are there in [start_s, end_s), seconds since 1970."""

    start_s: int
    end_s: int
    people: float


def check_holidays(code: str) -> None:
    """Raise ValueError, with the cure in the text, for a code such as GB-ENG that the `holidays` package lacks."""
    country, _, part = code.partition("-")
    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        raise ValueError(
            f"no holidays are known for country {country!r}; write a code such as GB-ENG, or null for none"
        )
    if part and part not in known[country]:
        parts = ", ".join(f"{country}-{name}" for name in known[country])
        raise ValueError(f"{country} has no part {part!r} with holidays; write {country} or one of {parts or country}")


@lru_cache(maxsize=32)
def _holidays(code: str) -> holidays.HolidayBase:
    country, _, part = code.partition("-")
    return holidays.country_holidays(country, subdiv=part or None)


def is_closed(day: date, calendar: Calendar) -> bool:
    """True on a public holiday of the calendar's region and on the closed days it names."""
    return day in calendar.closed or (calendar.holidays is not None and day in _holidays(calendar.holidays))


def in_term(day: date, calendar: Calendar) -> bool:
    """True unless the day lies between two terms: before and after all of them a forgotten list leaves nobody cold."""
    terms = calendar.terms
    if not terms or not terms[0].first <= day <= terms[-1].last:
        return True
    return any(term.first <= day <= term.last for term in terms)


@lru_cache(maxsize=65536)
def spans_of_day(occupancy: tuple[Hours, ...], day: date, tz: str, calendar: Calendar) -> tuple[Span, ...]:
    """The intervals of one local day, in time order; none on a closed day."""
    weekday = _DAYS[day.weekday()]
    unlike = Season.BREAK if in_term(day, calendar) else Season.TERM
    wanted = [hours for hours in occupancy if weekday in hours.days and hours.during is not unlike]
    if not wanted or is_closed(day, calendar):
        return ()
    found = (Span(instant_s(day, h.start, tz), instant_s(day, h.end, tz), h.people) for h in wanted)
    return tuple(sorted((span for span in found if span.end_s > span.start_s), key=lambda span: span.start_s))


def _spans(zone: Zone, first: int, last: int, tz: str, calendar: Calendar) -> Iterator[Span]:
    """Intervals of the zone that touch [first, last) seconds, in time order."""
    day, end = local_date(first, tz), local_date(last - 1, tz)
    while day <= end:
        for span in spans_of_day(zone.occupancy, day, tz, calendar):
            if span.start_s < last and span.end_s > first:
                yield span
        day += timedelta(days=1)


def occupied(zone: Zone, when: datetime, tz: str, calendar: Calendar) -> bool:
    """Whether people are expected in the zone at an instant."""
    now = epoch_s(when)
    return any(span.start_s <= now < span.end_s for span in _spans(zone, now, now + 1, tz, calendar))


def occupied_series(
    zone: Zone, start: datetime, step: timedelta, n: int, *, tz: str, calendar: Calendar
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """For `n` steps from `start`: is anybody expected at some time of the step, and how many on average."""
    step_s = int(step.total_seconds())
    if n <= 0 or step_s <= 0:
        raise ValueError(f"an occupancy series needs a positive step and length, not {step_s} s and {n}")
    first = epoch_s(start)
    present = np.zeros(n, dtype=np.bool_)
    people = np.zeros(n)
    for span in _spans(zone, first, first + n * step_s, tz, calendar):
        begin, end = max(span.start_s - first, 0), min(span.end_s - first, n * step_s)
        one, past = begin // step_s, -(-end // step_s)
        present[one:past] = True
        people[one:past] += span.people
        people[one] -= span.people * (begin - one * step_s) / step_s
        people[past - 1] -= span.people * (past * step_s - end) / step_s
    return present, people


def next_occupied(zone: Zone, after: datetime, tz: str, calendar: Calendar) -> datetime | None:
    """When people are next expected: `after` itself if they are there; None if never within 400 days."""
    now = epoch_s(after)
    day = local_date(now, tz)
    for n in range(HORIZON_DAYS):
        for span in spans_of_day(zone.occupancy, day + timedelta(days=n), tz, calendar):
            if span.end_s > now:
                return max(after, utc(span.start_s))
    return None


def next_vacant(zone: Zone, after: datetime, tz: str, calendar: Calendar) -> datetime:
    """When the zone is next empty by the calendar: `after` itself if nobody is expected then."""
    until = epoch_s(after)
    for span in _spans(zone, until, until + 2 * 86_400, tz, calendar):
        if span.start_s > until:
            break
        until = max(until, span.end_s)
    return max(after, utc(until))
