"""What a report covers: whole local days, named by a month or by their first and last."""

import re
from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import date, datetime

from config.localtime import HALF_HOUR_S, day_bounds_s, epoch_s, utc

_MONTH = re.compile(r"(\d{4})-(\d{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Local days from `first` to `last`, both included, as the UTC instants [start, end)."""

    first: date
    last: date
    start: datetime
    end: datetime  # midnight after `last`, or earlier while it is not over

    @property
    def years(self) -> tuple[int, ...]:
        """Calendar years it touches, local time."""
        return tuple(range(self.first.year, self.last.year + 1))

    def until(self, now: datetime) -> "Period":
        """As much of it as has gone by in whole half-hours; raises ValueError if that is nothing."""
        past = utc(epoch_s(now) // HALF_HOUR_S * HALF_HOUR_S)
        if past <= self.start:
            raise ValueError(f"{self.first} has not begun; choose days that lie in the past")
        return replace(self, end=min(self.end, past))


def days(first: date, last: date, tz: str) -> Period:
    """The days from `first` to `last`, both included; raises ValueError if they are in the wrong order."""
    if last < first:
        raise ValueError(f"{first} to {last} is no period; write the earlier day as --from, the later as --to")
    start, end = day_bounds_s(first, tz)[0], day_bounds_s(last, tz)[1]
    return Period(first=first, last=last, start=utc(start), end=utc(end))


def month(text: str, tz: str) -> Period:
    """A calendar month such as 2023-02; raises ValueError."""
    found = _MONTH.fullmatch(text)
    year, number = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (1 <= number <= 12 and year >= 1):
        raise ValueError(f"--month {text!r} is not a month; write year and month, such as 2023-02")
    return days(date(year, number, 1), date(year, number, monthrange(year, number)[1]), tz)


def day(text: str, option: str) -> date:
    """A day such as 2023-02-06; raises ValueError naming the option it was written for."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{option} {text!r} is not a day; write year, month and day, such as 2023-02-06") from None
