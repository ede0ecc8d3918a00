"""What is to be said of a point's past: a sentence over the chart and the figures below it."""

from collections.abc import Iterator
from datetime import timedelta
from functools import reduce
from operator import or_
from zoneinfo import ZoneInfo

import numpy as np

from config.localtime import utc
from controller.validation.reasons import reasons
from controller.web import formats, trace
from controller.web.envelope import Mark, columns, gaps, risen, standing
from controller.web.samples import Floats, HistoryView
from controller.web.timeline import Choice
from drivers.base import Flags

WORDS = {Mark.GOOD: "good", Mark.SUSPECT: "suspect", Mark.STALE: "old", Mark.BAD: "bad", Mark.GAP: "gap"}
NOTHING = "Nothing was heard in this time."
FINE = 1000  # pieces of a window in which a value counts by how long it stood
Fact = tuple[str, str, str]  # name, figure, remark


def show(view: HistoryView, value: float) -> str:
    """A value of the point, with its unit."""
    return formats.reading(value, view.unit)


def words(view: HistoryView, *, tz: str, until_s: float) -> str:
    """What a person would say who looked at the picture."""
    inside = view.samples.time_s >= view.start.timestamp()
    found = trace.extent(view)
    if found is None and not inside.any():
        value = standing(view, np.array([min(until_s, view.end.timestamp())]), until_s)[0]
        return f"No new reading; {show(view, value)} still stands." if np.isfinite(value) else NOTHING
    parts = []
    if view.counter:
        rise, whole = risen(view, until_s)
        parts.append(f"Rose by {'' if whole else 'at least '}{show(view, rise)}")
    elif view.unit == formats.STATE:
        share, starts = _state(view, _over_time(view, until_s))
        parts.append(f"On for {share} of the time; switched on {starts} time{'' if starts == 1 else 's'}")
    elif found is not None:
        low, high = found
        parts.append(f"Between {show(view, low)} and {show(view, high)}" if low < high else f"Always {show(view, low)}")
    count = int(view.samples.count[inside].sum())
    parts.append(f"{count:,} reading{'' if count == 1 else 's'}")
    silent = gaps(view, until_s)
    if silent:
        longest = max(silent, key=lambda gap: gap[1] - gap[0])
        length = timedelta(seconds=longest[1] - longest[0])
        when = _when(longest[0], tz)
        parts.append(
            f"a gap of {formats.span(length)} from {when}"
            if len(silent) == 1
            else f"{len(silent)} gaps, the longest of {formats.span(length)} from {when}"
        )
    parts += _doubts(view, inside)
    return "; ".join(parts) + "."


def _doubts(view: HistoryView, inside: np.ndarray) -> Iterator[str]:
    quality, flags = view.samples.quality[inside], view.samples.flags[inside]
    for mark in (Mark.SUSPECT, Mark.STALE, Mark.BAD):
        which = quality == mark
        if which.any():
            why = reasons(Flags(reduce(or_, np.unique(flags[which]).tolist(), 0)))
            yield f"{int(which.sum()):,} {WORDS[mark]}{f' ({why})' if why else ''}"


def facts(view: HistoryView, choice: Choice, *, tz: str, until_s: float) -> tuple[Fact, ...]:
    """What stands below the chart; nothing where nothing is known."""
    steady = _over_time(view, until_s)
    if not len(steady):
        return ()
    if view.counter:
        last = view.samples.mean[np.isfinite(view.samples.mean)][-1]
        rise, whole = risen(view, until_s)
        return (
            ("Rise", show(view, rise), "" if whole else "at least"),
            ("Register", show(view, float(last)), ""),
            _covered(view, choice, until_s),
        )
    time_s = view.samples.time_s
    heard = np.flatnonzero((time_s >= view.start.timestamp()) & np.isfinite(view.samples.mean))
    rows: list[Fact] = []
    if len(heard) and view.unit == formats.STATE:
        rows = [("Last", show(view, float(view.samples.mean[heard[-1]])), _when(float(time_s[heard[-1]]), tz))]
    elif len(heard):
        places = (
            ("Last", view.samples.mean, heard[-1]),
            ("Lowest", view.samples.low, heard[np.argmin(view.samples.low[heard])]),
            ("Highest", view.samples.high, heard[np.argmax(view.samples.high[heard])]),
        )
        rows = [(name, show(view, float(column[n])), _when(float(time_s[n]), tz)) for name, column, n in places]
    if view.unit == formats.STATE:
        share, starts = _state(view, steady)
        return (
            *rows,
            ("On", share, "of the time"),
            ("Switched on", f"{starts}", "times"),
            _covered(view, choice, until_s),
        )
    mean = "Mean", show(view, float(steady.mean())), "over time"
    return (*rows[:1], mean, *rows[1:], _covered(view, choice, until_s))


def _over_time(view: HistoryView, until_s: float) -> Floats:
    """Known values of the window, one for each of many equal pieces of it."""
    found = columns(view, np.linspace(view.start.timestamp(), view.end.timestamp(), FINE + 1), until_s).mean
    known: Floats = found[np.isfinite(found)]
    return known


def _state(view: HistoryView, steady: Floats) -> tuple[str, int]:
    """Share of the time that it was on, in words, and how often it was switched on."""
    share = f"{formats.number(100 * float(steady.mean()), 0)}\N{NO-BREAK SPACE}%" if len(steady) else formats.MISSING
    known = np.isfinite(view.samples.mean)
    rises = (np.diff(view.samples.mean[known]) > 0.5) & (view.samples.time_s[known][1:] >= view.start.timestamp())
    return share, int(rises.sum())


def _when(at_s: float, tz: str) -> str:
    zone = ZoneInfo(tz)
    return f"{formats.day(utc(at_s), zone)} {formats.clock(utc(at_s), zone)}"


def _covered(view: HistoryView, choice: Choice, until_s: float) -> Fact:
    """How much of the past part of the window was heard."""
    past_s = min(until_s, choice.end.timestamp()) - choice.start.timestamp()
    silent_s = sum(end - begin for begin, end in gaps(view, until_s))
    inside = view.samples.time_s >= choice.start.timestamp()
    share = 100 * (1 - silent_s / past_s) if past_s > 0 else 0.0
    return (
        "Heard",
        f"{formats.number(share, 1)}\N{NO-BREAK SPACE}%",
        f"{int(view.samples.count[inside].sum()):,} readings",
    )
