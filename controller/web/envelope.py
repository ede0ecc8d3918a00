"""Many values in few columns: the extremes of each survive, so that no peak is lost; so do gaps and doubts."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from controller.web.samples import Floats, HistoryView


class Mark(IntEnum):
    """The worst that is to be said of a column; the first four are the store's codes of quality."""

    GOOD = 0
    SUSPECT = 1
    STALE = 2
    BAD = 3
    GAP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What lies between each two edges. NaN where nothing is known."""

    edges: Floats  # one more than the rest
    low: Floats
    mean: Floats
    high: Floats
    count: NDArray[np.int64]  # readings in it; nought where an older one still stands
    mark: NDArray[np.int8]

    @property
    def middles(self) -> Floats:
        found: Floats = (self.edges[:-1] + self.edges[1:]) / 2
        return found


def gaps(view: HistoryView, until_s: float) -> list[tuple[float, float]]:
    """Spans of the window, before `until_s`, in which nothing was heard for longer than a value stands."""
    lasts, start = view.lasts.total_seconds(), view.start.timestamp()
    until = min(until_s, view.end.timestamp())
    time_s = view.samples.time_s
    if not len(time_s):
        return [(start, until)] if until > start else []
    stays = lasts if view.held else 0.0
    wide = np.flatnonzero(np.diff(time_s) > lasts)
    found = [(float(time_s[n]) + stays, float(time_s[n + 1])) for n in wide]
    if time_s[0] - start > lasts:
        found.insert(0, (start, float(time_s[0])))
    if until - time_s[-1] > lasts:
        found.append((float(time_s[-1]) + stays, until))
    return [(max(begin, start), min(end, until)) for begin, end in found if max(begin, start) < min(end, until)]


def columns(view: HistoryView, edges: Floats, until_s: float) -> Columns:
    """The window cut at `edges`, which rise; a column without a reading has the value that stands in it."""
    samples, n = view.samples, len(edges) - 1
    known = np.isfinite(samples.mean)
    bounds = np.searchsorted(samples.time_s[known], edges)
    heads, there = bounds[:-1], np.diff(bounds) > 0
    low, mean, high, count = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, dtype=np.int64)
    if there.any():  # of the rest nothing lies between two heads, so each piece ends where the next begins
        heads, last = heads[there], bounds[-1]
        weight = samples.count[known][:last]
        count[there] = np.add.reduceat(weight, heads)
        mean[there] = np.add.reduceat(samples.mean[known][:last] * weight, heads) / count[there]
        low[there] = np.minimum.reduceat(samples.low[known][:last], heads)
        high[there] = np.maximum.reduceat(samples.high[known][:last], heads)
    mark = _worst(view, edges)
    for begin, end in gaps(view, until_s):
        mark[np.searchsorted(edges, begin, side="right") - 1 : np.searchsorted(edges, end, side="left")] = Mark.GAP
    open_ = (count == 0) & (mark == Mark.GOOD)
    stands = standing(view, (edges[:-1] + edges[1:]) / 2, until_s)
    low, mean, high = (np.where(open_, stands, column) for column in (low, mean, high))
    return Columns(edges=edges, low=low, mean=mean, high=high, count=count, mark=mark)


def _worst(view: HistoryView, edges: Floats) -> NDArray[np.int8]:
    """The worst quality of the readings between each two edges."""
    mark = np.zeros(len(edges) - 1, dtype=np.int8)
    bounds = np.searchsorted(view.samples.time_s, edges)
    there = np.diff(bounds) > 0
    if there.any():
        mark[there] = np.maximum.reduceat(view.samples.quality[: bounds[-1]], bounds[:-1][there])
    return mark


def standing(view: HistoryView, at_s: Floats, until_s: float) -> Floats:
    """The value in force at some times: the last one, or between two; NaN where none stands."""
    known = np.isfinite(view.samples.mean)
    time_s, mean = view.samples.time_s[known], view.samples.mean[known]
    if not len(time_s):
        return np.full(len(at_s), np.nan)
    last = np.searchsorted(time_s, at_s, side="right") - 1
    age = at_s - time_s[np.maximum(last, 0)]
    there = (last >= 0) & (age <= view.lasts.total_seconds()) & (at_s <= until_s)
    if view.held:
        return np.where(there, mean[np.maximum(last, 0)], np.nan)
    return np.where(there & (last + 1 < len(time_s)), np.interp(at_s, time_s, mean), np.nan)


def runs(view: HistoryView, until_s: float) -> Iterator[list[tuple[float, float]]]:
    """The readings as (time, value), of a held point its moves; a new run after each gap and each bad reading."""
    start, lasts = view.start.timestamp(), view.lasts.total_seconds()
    known = np.flatnonzero(np.isfinite(view.samples.mean))
    if not len(known):
        return
    begins = np.diff(known, prepend=-2) > 1
    begins[1:] |= np.diff(view.samples.time_s[known]) > lasts
    if view.held:  # of equal ones only the first says something, and the last of a run how far it reached
        told = begins | (np.diff(view.samples.mean[known], prepend=np.nan) != 0)
        told |= np.append(begins[1:], True)
        known, begins = known[told], begins[told]
    time_s, mean = view.samples.time_s[known], view.samples.mean[known]
    cuts = np.flatnonzero(begins)[1:]
    followed = np.append(view.samples.time_s[1:], until_s)[known].tolist()
    for part in np.split(np.arange(len(known)), cuts):
        points = [(float(time_s[n]), float(mean[n])) for n in part]
        if view.held:  # it stays until the next one, or until it is too old
            points.append((min(points[-1][0] + lasts, followed[part[-1]], until_s), points[-1][1]))
        inside = [(at, value) for at, value in points if at >= start]
        if inside and len(inside) < len(points):  # it comes in from before the window
            inside.insert(0, (start, _entering(points[-len(inside) - 1], inside[0], start, held=view.held)))
        if inside:
            yield inside


def moves(view: HistoryView) -> int:
    """How many points a line through it needs."""
    mean = view.samples.mean
    return int((np.diff(mean) != 0).sum()) + 1 if view.held else len(mean)


def _entering(before: tuple[float, float], after: tuple[float, float], at: float, *, held: bool) -> float:
    if held or after[0] <= before[0]:
        return before[1]
    return before[1] + (after[1] - before[1]) * (at - before[0]) / (after[0] - before[0])


def rises(view: HistoryView, edges: Floats, until_s: float) -> Floats:
    """How far a register rose between each two edges, falls left out; NaN where nobody knows."""
    known = np.isfinite(view.samples.mean)
    time_s, mean = view.samples.time_s[known], view.samples.mean[known]
    if not len(time_s):
        return np.full(len(edges) - 1, np.nan)
    risen = np.concatenate(([0.0], np.cumsum(np.maximum(np.diff(mean), 0.0))))
    lasts = view.lasts.total_seconds()
    cut = np.minimum(edges, until_s)
    at = np.interp(cut, time_s, risen)
    at[(cut < time_s[0] - lasts) | (cut > time_s[-1] + lasts)] = np.nan
    found: Floats = np.where(edges[:-1] < until_s, np.diff(at), np.nan)
    return found


def risen(view: HistoryView, until_s: float) -> tuple[float, bool]:
    """How far a register rose in the window as far as it was heard, and whether that is all of it."""
    known = np.isfinite(view.samples.mean)
    time_s, lasts = view.samples.time_s[known], view.lasts.total_seconds()
    start, end = view.start.timestamp(), min(until_s, view.end.timestamp())
    if not len(time_s):
        return 0.0, False
    first, last = max(start, float(time_s[0])), min(end, float(time_s[-1]))
    if last <= first:
        return 0.0, False
    rise = rises(view, np.array([first, last]), until_s)
    return float(rise[0]), first - start <= lasts and end - last <= lasts
