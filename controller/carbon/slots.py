"""Half-hours of energy: half-open UTC intervals, a quality code each, and how well they cover a period."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo

from config.localtime import HALF_HOUR_S, day_bounds_s, utc

HALF_HOUR = timedelta(seconds=HALF_HOUR_S)


class Code(StrEnum):
    """How the energy of an interval is known; not the quality of a reading."""

    ACTUAL = "A"
    ESTIMATED = "E"  # by the supplier
    INTERPOLATED = "I"
    PROFILE = "P"
    SPREAD = "R"  # from the difference of two registers farther apart
    SUBSTITUTED = "S"
    MISSING = "M"


FILLED = frozenset({Code.ESTIMATED, Code.INTERPOLATED, Code.PROFILE, Code.SPREAD, Code.SUBSTITUTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Energy of [start, end), UTC."""

    start: datetime
    end: datetime
    kwh: Decimal | None  # None exactly when the code is M
    code: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of a period is measured, filled and missing, by number of intervals."""

    expected: int
    actual: int
    filled: int
    missing: int

    @property
    def coverage(self) -> Decimal:
        """Measured share, 0 to 1; 1 for an empty period."""
        return self._share(self.actual) if self.expected else Decimal(1)

    @property
    def estimated_share(self) -> Decimal:
        return self._share(self.filled)

    @property
    def missing_share(self) -> Decimal:
        return self._share(self.missing)

    def _share(self, count: int) -> Decimal:
        return Decimal(count) / self.expected if self.expected else Decimal(0)

    def __add__(self, other: "Coverage") -> "Coverage":
        return Coverage(
            expected=self.expected + other.expected,
            actual=self.actual + other.actual,
            filled=self.filled + other.filled,
            missing=self.missing + other.missing,
        )


NOTHING = Coverage(expected=0, actual=0, filled=0, missing=0)


def coverage(codes: Iterable[Code]) -> Coverage:
    """Counts of the codes of a period's intervals, of which none may be left out."""
    count = Counter(codes)
    filled = sum(count[code] for code in FILLED)
    actual, missing = count[Code.ACTUAL], count[Code.MISSING]
    return Coverage(expected=actual + filled + missing, actual=actual, filled=filled, missing=missing)


def edges_s(start_s: int, end_s: int) -> list[int]:
    """Borders of the half-hours that [start, end) touches, cut to it; raises ValueError if it is empty."""
    if end_s <= start_s:
        raise ValueError(f"an empty period: {utc(start_s)} to {utc(end_s)}")
    inner = range((start_s // HALF_HOUR_S + 1) * HALF_HOUR_S, end_s, HALF_HOUR_S)
    return [start_s, *inner, end_s]


def slots_of_day(day: date, tz: str) -> list[datetime]:
    """Starts of the half-hours of a local day: 48, or 46 and 50 on the days of the clock change."""
    first, last = day_bounds_s(day, tz)
    return [utc(at) for at in range(first, last, HALF_HOUR_S)]


def labelled(
    label: datetime,
    *,
    by: Literal["start", "end"],
    tz: str | None = None,
    second_pass: bool = False,
    length: timedelta = HALF_HOUR,
) -> tuple[datetime, datetime]:
    """The interval [start, end), UTC, that a meter file's label means.

    A label without zone is local time of `tz`. In the hour that the autumn change repeats it means the first pass
    unless `second_pass`. Raises ValueError for a local label that the spring change skips, or without `tz`.
    """
    if label.tzinfo is None:
        if tz is None:
            raise ValueError(f"{label}: say in which time zone the file's labels are")
        # By its start a label names the half-hour; an end at the very change belongs to the half-hour before.
        back = length if by == "end" else timedelta(0)
        begin = (label - back).replace(tzinfo=ZoneInfo(tz), fold=int(second_pass))
        start = begin.astimezone(UTC)
        if start.astimezone(ZoneInfo(tz)).replace(tzinfo=None, fold=0) != begin.replace(tzinfo=None, fold=0):
            raise ValueError(f"{label}: the clock of {tz} skips this half-hour")
        return start, start + length
    point = label.astimezone(UTC)
    return (point, point + length) if by == "start" else (point - length, point)


def local_day(kwh: Sequence[Decimal | None], day: date, tz: str) -> list[Interval]:
    """Intervals of one row of a meter file that has a column for each local half-hour of the day.

    As many columns as the day has half-hours are taken as they stand. With 48 columns on a day of the clock change:
    in spring the columns of the hour that is skipped must be blank or zero (ValueError if not); in autumn the
    second pass of the repeated hour is missing (M), never invented. A blank is missing too.
    """
    starts = slots_of_day(day, tz)
    values = list(kwh)
    if len(values) == 48 and len(starts) == 46:
        skipped = _change_slot(starts, tz)
        if any(values[skipped : skipped + 2]):
            raise ValueError(f"{day}: energy in the hour that the clock skips; the file is not in local time of {tz}")
        del values[skipped : skipped + 2]
    elif len(values) == 48 and len(starts) == 50:
        repeated = _change_slot(starts, tz)
        values[repeated:repeated] = [None, None]
    if len(values) != len(starts):
        raise ValueError(f"{day}: {len(values)} columns for {len(starts)} half-hours; write one for each half-hour")
    return [
        Interval(start=start, end=start + HALF_HOUR, kwh=value, code=Code.MISSING if value is None else Code.ACTUAL)
        for start, value in zip(starts, values, strict=True)
    ]


def _change_slot(starts: Sequence[datetime], tz: str) -> int:
    """Index of the first half-hour after the clock change."""
    zone = ZoneInfo(tz)
    before = starts[0].astimezone(zone).utcoffset()
    return next(n for n, start in enumerate(starts) if start.astimezone(zone).utcoffset() != before)
