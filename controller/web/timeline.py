"""Windows of time as people choose them, cut into steps and marked by the local clock."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from config.localtime import DAY_S, day_bounds_s, local_date, utc
from controller.web.samples import Floats
from controller.web.view import BadRequest

HOUR_S, WEEK_S = 3600, 7 * DAY_S
SPANS: Mapping[str, timedelta] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
LIVELY = frozenset({"hour", "day"})  # redrawn as readings come
LONGEST = timedelta(days=3660)
SHORTEST = timedelta(minutes=5)
FIRST, LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
STEPS_S = (60, 300, 900, 1800, HOUR_S, 2 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S, DAY_S, WEEK_S, 4 * WEEK_S, 13 * WEEK_S)
MOST_ROWS = 130
MOST_AS_STORED = timedelta(days=7)  # for programs; a longer time comes in steps
EACH_DAY = 45  # days up to which each has its line
_CURE = "write a local time such as 2023-02-06T08:00, or one with its zone, such as 2023-02-06T08:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What part of the past is looked at."""

    start: datetime  # UTC
    end: datetime
    span: str  # a key of SPANS; empty for days of one's own choice
    present: bool  # it ends now, and moves on

    @property
    def length(self) -> timedelta:
        return self.end - self.start


class Mark(NamedTuple):
    """A line across the chart."""

    time_s: float
    label: str
    strong: bool


def chosen(query: Mapping[str, str], tz: str, now: datetime) -> Choice:
    """From `span`, `from` and `to` of an address; raises BadRequest."""
    span = query.get("span") or ("" if query.get("from") else "day")
    end = _instant("to", query["to"], tz) if query.get("to") else now
    if query.get("from"):
        start, span = _instant("from", query["from"], tz), ""
    elif span in SPANS:
        start = end - SPANS[span]
    else:
        raise BadRequest(f"span: {span[:20]!r} is none of {', '.join(SPANS)}; choose one, or give from and to")
    if end - start < SHORTEST:
        raise BadRequest("from: it must be at least five minutes before to")
    if end - start > LONGEST:
        raise BadRequest("from: that is more than ten years before to; choose a later day")
    return Choice(start=start, end=end, span=span, present=not query.get("to") and not query.get("from"))


def _instant(name: str, text: str, tz: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        local = found.replace(tzinfo=ZoneInfo(tz)) if found.tzinfo is None else found
        when = local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequest(f"{name}: {text[:30]!r} is no time; {_CURE}") from None
    if not FIRST <= when <= LAST:
        raise BadRequest(f"{name}: {when.year} is no year that we could know of; {_CURE}")
    return when


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Addresses beside a chart."""

    earlier: str
    later: str  # empty = there is nothing later
    now: str
    data: str  # the same values for programs


def links(choice: Choice, point: str, now: datetime) -> Links:
    """Ways from one window to the next, of the same length."""
    length, span = choice.length, f"span={choice.span}&" if choice.span else ""

    def window(start: datetime, end: datetime) -> str:
        return f"?{span}to={_utc(end)}" if span else f"?from={_utc(start)}&to={_utc(end)}"

    ahead = choice.end + length
    later = "" if choice.end >= now else f"?span={choice.span}" if span and ahead >= now else window(choice.end, ahead)
    step = "" if length <= MOST_AS_STORED else f"&step=PT{step_s(length)}S"
    return Links(
        earlier=window(choice.start - length, choice.start),
        later=later,
        now=f"?span={choice.span or 'day'}",
        data=f"/api/v1/readings?point={point}&from={_utc(choice.start)}&to={_utc(choice.end)}{step}",
    )


def _utc(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def step_s(length: timedelta) -> int:
    """The step of a table of such a length."""
    seconds = length.total_seconds()
    return next((step for step in STEPS_S if seconds / step <= MOST_ROWS), STEPS_S[-1])


def edges(start: datetime, end: datetime, step: int, tz: str) -> Floats:
    """Borders of the steps of [start, end), which are counted from local midnight, those of weeks from a Monday."""
    first, last = start.timestamp(), end.timestamp()
    if step < DAY_S:
        found = [at for bounds in _days(first, last, tz) for at in range(*bounds, step)]
    else:
        stride = step // DAY_S
        days = (bounds for bounds in _days(first - step, last, tz))
        found = [begin for begin, _ in days if local_date(begin, tz).toordinal() % stride == (1 if stride > 1 else 0)]
    return np.array([first, *(at for at in found if first < at < last), last], dtype=np.float64)


def _days(first: float, last: float, tz: str) -> Iterator[tuple[int, int]]:
    """Bounds of the local days that touch a span."""
    on = local_date(math.floor(first), tz)
    while (bounds := day_bounds_s(on, tz))[0] < last:
        yield bounds
        on += timedelta(days=1)


def marks(start_s: float, end_s: float, tz: str, room: int) -> list[Mark]:
    """Lines at round local times, of which at most `room` are labelled."""
    length = end_s - start_s
    if length <= 2 * DAY_S:
        return _clock_marks(start_s, end_s, tz, room)
    if length <= 100 * DAY_S:
        return _day_marks(start_s, end_s, tz, room)
    return _month_marks(start_s, end_s, tz, room)


def _clock_marks(start_s: float, end_s: float, tz: str, room: int) -> list[Mark]:
    every = next(s for s in (600, 900, 1800, 3600, 7200, 10800, 21600, 43200) if (end_s - start_s) / s <= room)
    found = []
    for begin, end in _days(start_s, end_s, tz):
        for at in range(begin, end, every):
            if start_s <= at <= end_s:
                local = utc(at).astimezone(ZoneInfo(tz))
                label = f"{local:%a} {local.day}" if at == begin else f"{local:%H:%M}"
                found.append(Mark(at, label, strong=at == begin))
    return found


def _day_marks(start_s: float, end_s: float, tz: str, room: int) -> list[Mark]:
    days = (end_s - start_s) / DAY_S
    every = next((n for n in (1, 2, 7, 14) if days / n <= room), 28)
    found = []
    for begin, _ in _days(start_s, end_s, tz):
        on = local_date(begin, tz)
        monday = on.weekday() == 0
        if begin < start_s or not (monday or days <= EACH_DAY):
            continue
        named = on.toordinal() % every == (1 if every >= 7 else 0)  # day 1 was a Monday
        label = "" if not named else f"{on:%a} {on.day}" if every == 1 else f"{on.day} {on:%b}"
        found.append(Mark(begin, label, strong=monday))
    return found


def _month_marks(start_s: float, end_s: float, tz: str, room: int) -> list[Mark]:
    months = (end_s - start_s) / (30.4 * DAY_S)
    every = next((n for n in (1, 2, 3, 6, 12, 24) if months / n <= room + 2), 60)  # short words
    first, last = local_date(math.floor(start_s), tz), local_date(math.floor(end_s), tz)
    found = []
    for number in range(first.year * 12 + first.month, last.year * 12 + last.month):
        on = date(number // 12, number % 12 + 1, 1)
        named = number % every == 0  # months since the year nought
        label = "" if not named else f"{on.year}" if on.month == 1 else f"{on:%b}"
        found.append(Mark(day_bounds_s(on, tz)[0], label, strong=on.month == 1))
    return [mark for mark in found if start_s <= mark.time_s <= end_s]
