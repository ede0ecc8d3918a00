"""Forecast of the electricity that is not ours to move, from its own past.

Two simple methods compete: the mean of the last weeks at the same hour and kind of day, corrected by how the last
hours went, and the same hour a week ago. Whichever erred less over the last week is used.
"""

from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY, WEEK = timedelta(days=1), timedelta(days=7)
WEEKEND = 5
MEMORY_DAYS = 28
HALF_LIFE_DAYS = 10.0
LEVEL_H = 3.0  # the last hours tell how today differs from its kind
FADE_H = 6.0  # how long that lasts
LEVEL_LIMITS = (0.5, 2.0)
TRIALS = 7  # past days on which the methods are tried, from the same time of day


def base_load(
    history_kw: Floats,
    *,
    start: datetime,
    step: timedelta,
    steps: int,
    day_kind: Ints | None = None,
    day_step: Ints | None = None,
    method: int | None = None,
) -> Floats:
    """Return the forecast by step from `start`, kW, from means up to `start`, oldest first and NaN where unknown.

    `day_kind` and `day_step` give the kind of day and the step of the local day for all past and forecast steps
    together; without them days are UTC days, and Saturday and Sunday are one kind. Zero where nothing is known at all.
    `method` is what `better` answered not long ago; None = ask it now.
    """
    if not np.isfinite(history_kw).any():
        return np.zeros(steps)
    kind, place = day_kind, day_step
    if kind is None or place is None:
        kind, place = _utc_days(start, step, len(history_kw), steps)
    if method is None:
        method = _better(history_kw, kind, place, step, steps)
    return _by_all(history_kw, kind, place, step)[method]


def better(history_kw: Floats, *, start: datetime, step: timedelta, steps: int) -> int:
    """Return which method erred less over the last week: what `base_load` finds anew unless it is told."""
    return _better(history_kw, *_utc_days(start, step, len(history_kw), steps), step, steps)


def _better(history_kw: Floats, kind: Ints, place: Ints, step: timedelta, steps: int) -> int:
    past, day = len(history_kw), round(DAY / step)
    errors = np.zeros(2)  # of `_by_all`
    for trial in range(1, TRIALS + 1):
        now = past - trial * day
        if now < day:
            break
        ahead = min(steps, past - now)
        truth = history_kw[now : now + ahead]
        told = _by_all(history_kw[:now], kind[: now + ahead], place[: now + ahead], step)
        errors += [np.nansum(np.abs(found - truth)) for found in told]
    return int(np.argmin(errors))


def _utc_days(start: datetime, step: timedelta, past: int, steps: int) -> tuple[Ints, Ints]:
    """Kind of day (0 = Monday to Friday, 1 = weekend) and step of the day, in UTC."""
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    day = round(DAY / step)
    number = np.arange(-past, steps) + (start - midnight) // step
    weekday = (number // day + start.weekday()) % 7
    return (weekday >= WEEKEND).astype(np.int64), number % day


def _by_kind(history_kw: Floats, kind: Ints, place: Ints, step: timedelta) -> Floats:
    """Mean at the same step of the same kind of day, recent days first, scaled by the last hours."""
    past, day = len(history_kw), round(DAY / step)
    first = max(0, past - MEMORY_DAYS * day)
    values, old = history_kw[first:], (past - np.arange(first, past)) / day
    weight = np.where(np.isfinite(values), 0.5 ** (old / HALF_LIFE_DAYS), 0.0)
    filled = np.nan_to_num(values)
    kinds = int(kind.max()) + 1
    cell = kind[first:past] * day + place[first:past]
    total = np.bincount(cell, weights=weight, minlength=kinds * day)
    sums = np.bincount(cell, weights=weight * filled, minlength=kinds * day)
    by_place = sums.reshape(kinds, day).sum(axis=0) / np.maximum(total.reshape(kinds, day).sum(axis=0), 1e-12)
    overall = float((weight * filled).sum() / max(weight.sum(), 1e-12))
    by_place = np.where(total.reshape(kinds, day).sum(axis=0) > 0, by_place, overall)
    table = np.where(total > 0, sums / np.maximum(total, 1e-12), np.tile(by_place, kinds))
    ahead = table[kind[past:] * day + place[past:]]
    recent = slice(max(first, past - round(LEVEL_H / (step / timedelta(hours=1)))), past)
    seen, expected = history_kw[recent], table[kind[recent] * day + place[recent]]
    both = np.isfinite(seen)
    if not both.any() or expected[both].sum() <= 0:
        return np.asarray(ahead, dtype=np.float64)
    level = float(np.clip(seen[both].sum() / expected[both].sum(), *LEVEL_LIMITS))
    hours = np.arange(len(ahead)) * (step / timedelta(hours=1))
    result: Floats = ahead * (1.0 + (level - 1.0) * np.exp(-hours / FADE_H))
    return result


def _by_all(history_kw: Floats, kind: Ints, place: Ints, step: timedelta) -> tuple[Floats, ...]:
    """Return the forecast of each method."""
    usual = _by_kind(history_kw, kind, place, step)
    return usual, _week_ago(history_kw, kind, step, usual)


def _week_ago(history_kw: Floats, kind: Ints, step: timedelta, usual: Floats) -> Floats:
    """Return the same step of the week before; where that is unknown or another kind of day, what is usual."""
    past, week = len(history_kw), round(WEEK / step)
    if past < week:
        return usual
    source = past - week + np.arange(len(usual)) % week
    value = np.where(kind[source] == kind[past:], history_kw[source], np.nan)
    return np.where(np.isfinite(value), value, usual)
