"""Price of a unit of energy over time: a tariff's local periods -> rates in UTC.

The rate of an instant is what the tariff says for the reading of the local clock at that instant. So the hour that
the spring change skips is charged nowhere, and both passes of the hour that the autumn change repeats are charged
alike. Periods that run over midnight belong to the weekday on which they begin.
"""

from bisect import bisect_right
from datetime import datetime, time, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from config.hours import Weekday
from config.localtime import DAY_S, epoch_s, offsets_of_day, utc
from config.site import Period, Tariff

WEEK_S = 7 * DAY_S
_MONDAY_S = 4 * DAY_S  # 5 January 1970
_DAYS = list(Weekday)

Rates = NDArray[np.float64]


def seconds_of(at: time) -> int:
    return at.hour * 3600 + at.minute * 60 + at.second


def week_spans(period: Period) -> list[tuple[int, int]]:
    """[start, end) of a period in seconds of the local week, Monday first; a span over Sunday midnight is split."""
    start, end = seconds_of(period.start), seconds_of(period.end)
    length = (end - start) % DAY_S
    spans = []
    for day in period.days:
        begin = _DAYS.index(day) * DAY_S + start
        spans.append((begin, min(begin + length, WEEK_S)))
        if begin + length > WEEK_S:
            spans.append((0, begin + length - WEEK_S))
    return spans


@lru_cache(maxsize=256)
def _week(rate: float, periods: tuple[Period, ...]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Starts (first 0) and rates of the constant pieces of the local week."""
    spans = sorted((begin, end, period.rate) for period in periods for begin, end in week_spans(period))
    pieces = [(0, rate)]
    for begin, end, special in spans:
        pieces += [(begin, special), (end, rate)]
    rates = dict(pieces)  # a later piece at the same start wins: an end gives way to the next period's start
    kept: list[tuple[int, float]] = []
    for start in sorted(rates):
        if start < WEEK_S and (not kept or kept[-1][1] != rates[start]):
            kept.append((start, rates[start]))
    return tuple(start for start, _ in kept), tuple(value for _, value in kept)


@lru_cache(maxsize=4096)
def _day(rate: float, periods: tuple[Period, ...], day: int, tz: str) -> tuple[tuple[int, float], ...]:
    """(since, rate) pieces of one UTC day, the first since its midnight."""
    starts, rates = _week(rate, periods)
    found: list[tuple[int, float]] = []
    offsets = offsets_of_day(day, tz)
    for n, (since, offset) in enumerate(offsets):
        until = offsets[n + 1][0] if n + 1 < len(offsets) else (day + 1) * DAY_S
        at = since
        while at < until:
            local = (at + offset - _MONDAY_S) % WEEK_S
            index = bisect_right(starts, local) - 1
            if not found or found[-1][1] != rates[index]:
                found.append((at, rates[index]))
            following = starts[index + 1] if index + 1 < len(starts) else WEEK_S
            at += following - local
    return tuple(found)


def _pieces(tariff: Tariff, first: int, last: int, tz: str) -> tuple[list[int], list[float]]:
    """Starts and rates of the constant pieces that cover [first, last) seconds."""
    starts: list[int] = []
    rates: list[float] = []
    for day in range(first // DAY_S, (last - 1) // DAY_S + 1):
        for since, rate in _day(tariff.rate, tariff.periods, day, tz):
            if not rates or rates[-1] != rate:
                starts.append(since)
                rates.append(rate)
    return starts, rates


def price_at(tariff: Tariff, when: datetime, tz: str) -> float:
    """Currency per kWh at an instant."""
    starts, rates = _pieces(tariff, epoch_s(when), epoch_s(when) + 1, tz)
    return rates[bisect_right(starts, epoch_s(when)) - 1]


def price_series(tariff: Tariff, start: datetime, step: timedelta, n: int, tz: str) -> Rates:
    """Currency per kWh of `n` steps from `start`; a step in which the rate changes has its mean over time."""
    return price_bins(tariff, epoch_s(start), int(step.total_seconds()), n, tz)


def price_bins(tariff: Tariff, start_s: int, step_s: int, n: int, tz: str) -> Rates:
    """`price_series` in seconds since 1970."""
    if n <= 0 or step_s <= 0:
        raise ValueError(f"a price series needs a positive step and length, not {step_s} s and {n}")
    edges = start_s + step_s * np.arange(n + 1)
    begins, rates = (np.array(part, dtype=np.float64) for part in _pieces(tariff, start_s, int(edges[-1]), tz))
    first = np.searchsorted(begins, edges[:-1], side="right") - 1
    last = np.searchsorted(begins, edges[1:], side="left") - 1
    values: Rates = rates[first]
    for step in np.flatnonzero(first != last):
        inner = begins[first[step] + 1 : last[step] + 1]
        widths = np.diff([edges[step], *inner, edges[step + 1]])
        values[step] = float(widths @ rates[first[step] : last[step] + 1]) / step_s
    return values


def export_series(tariff: Tariff, start: datetime, step: timedelta, n: int, tz: str) -> Rates:
    """Currency paid to us per exported kWh; constant in this version of the tariff model."""
    return np.full_like(price_series(tariff, start, step, n, tz), tariff.export_rate)


def next_change(tariff: Tariff, after: datetime, tz: str) -> datetime | None:
    """When the rate next differs from the one in force at `after`; None if it never does."""
    now = epoch_s(after)
    starts, _ = _pieces(tariff, now, now + 8 * DAY_S, tz)
    return next((utc(start) for start in starts[1:] if start > now), None)
