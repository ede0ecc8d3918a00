"""Local clock time -> UTC across clock changes; seconds since 1970 inside, because NumPy and Decimal both like them."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY_S = 86_400
HALF_HOUR_S = 1_800


def epoch_s(when: datetime) -> int:
    """Whole seconds since 1970 of an aware datetime; raises ValueError for a naive one."""
    if when.tzinfo is None:
        raise ValueError(f"{when} has no time zone; give an aware datetime")
    return int(when.timestamp())


def utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def offset_s(seconds: int, tz: str) -> int:
    """How far the local clock is ahead of UTC at that instant."""
    shift = utc(seconds).astimezone(ZoneInfo(tz)).utcoffset()
    return int(shift.total_seconds()) if shift is not None else 0


@lru_cache(maxsize=4096)
def offsets_of_day(day: int, tz: str) -> tuple[tuple[int, int], ...]:
    """(since, offset) pairs in force during UTC day `day` (days since 1970), the first since its midnight.

    A zone is taken to change its clock at most once in a UTC day.
    """
    low, high = day * DAY_S, (day + 1) * DAY_S
    before, after = offset_s(low, tz), offset_s(high, tz)
    if before == after:
        return ((low, before),)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_s(middle, tz) == before:
            low = middle
        else:
            high = middle
    return ((day * DAY_S, before), (high, after)) if high < (day + 1) * DAY_S else ((day * DAY_S, before),)


def instant_s(day: date, at: time, tz: str) -> int:
    """Seconds since 1970 when the local clock first reads `at` on that day.

    A time that the spring change skips is the instant of the change; one that the autumn change repeats is its
    first occurrence. So everything scheduled happens once on every day.
    """
    zone = ZoneInfo(tz)
    local = datetime.combine(day, at, zone)
    first = epoch_s(local)
    if datetime.fromtimestamp(first, zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return first
    changes = [since for n in (-1, 0, 1) for since, _ in offsets_of_day(first // DAY_S + n, tz)[1:]]
    return min(changes, key=lambda change: abs(change - first))


def local_date(seconds: int, tz: str) -> date:
    return utc(seconds).astimezone(ZoneInfo(tz)).date()


def day_bounds_s(day: date, tz: str) -> tuple[int, int]:
    """First second of that local day and of the next: 23, 24 or 25 hours apart in Europe."""
    return instant_s(day, time(0), tz), instant_s(day + timedelta(days=1), time(0), tz)
