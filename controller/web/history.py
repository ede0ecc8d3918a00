"""The past of one point as a figure: two pictures, a summary in words, facts, and a table."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import reduce
from operator import or_
from zoneinfo import ZoneInfo

import numpy as np
from markupsafe import Markup

from config.localtime import DAY_S, utc
from controller.web import charts, formats, trace
from controller.web.envelope import Columns, Mark, columns, gaps, risen, rises, standing
from controller.web.figures import Figure, Key, Row
from controller.web.samples import HistoryView
from controller.web.timeline import Choice, edges, step_s
from drivers.base import Flags

WIDE, NARROW = 960.0, 340.0
LABELS_WIDE, LABELS_NARROW = 11, 5
WORDS = {Mark.GOOD: "good", Mark.SUSPECT: "suspect", Mark.STALE: "old", Mark.BAD: "bad", Mark.GAP: "gap"}
NOTHING = "Nothing was heard in this time."
_DIGITS = {"ppm": 0, "W/m2": 0, "lux": 0, "0/1": 2}  # else 1


def chart(view: HistoryView, choice: Choice, *, tz: str, until_s: float) -> Figure:
    """The values of the window; `until_s` is the present, after which nothing can be missing."""
    steps = edges(view.start, view.end, step_s(choice.length), tz)
    values = trace.scale(view, steps, until_s)
    wide = trace.frame(view, values, WIDE)
    narrow = replace(trace.frame(view, values, NARROW), right=10)
    rough = columns(view, steps, until_s)
    summary = words(view, tz=tz, until_s=until_s)
    wide_svg, narrow_svg = (
        Markup(  # noqa: S704  charts escapes its texts
            charts.svg(
                on,
                trace.draw(view, on, values, steps=steps, tz=tz, until_s=until_s, room=room),
                f"chart {kind}",
                f"{view.name}: {summary}",
            )
        )
        for on, room, kind in ((wide, LABELS_WIDE, "wide"), (narrow, LABELS_NARROW, "narrow"))
    )
    return Figure(
        id="history",
        title=title(choice, tz),
        summary=summary,
        wide=wide_svg,
        narrow=narrow_svg,
        legend=tuple(_legend(view, rough, dense=trace.is_dense(view, narrow))),
        columns=_headings(view),
        rows=tuple(_rows(view, rough, tz=tz, until_s=until_s)),
        start=wide.start,
        end=wide.end,
    )


def title(choice: Choice, tz: str) -> str:
    """The window in words."""
    zone = ZoneInfo(tz)
    first, last = choice.start.astimezone(zone), choice.end.astimezone(zone)
    if first.date() == last.date():
        return f"{formats.day(first, zone, year=True)}, {first:%H:%M} to {last:%H:%M}"
    left = formats.day(first, zone, year=first.year != last.year)
    return f"{left} {first:%H:%M} to {formats.day(last, zone, year=True)} {last:%H:%M}"


# --- words -----------------------------------------------------------------------------------------------------------


def words(view: HistoryView, *, tz: str, until_s: float) -> str:
    """What a person would say who looked at the picture."""
    inside = view.samples.time_s >= view.start.timestamp()
    found = trace.extent(view)
    if found is None and not inside.any():
        value = standing(view, np.array([min(until_s, view.end.timestamp())]), until_s)[0]
        return f"No new reading; {_show(view, value)} still stands." if np.isfinite(value) else NOTHING
    parts = []
    if view.counter:
        rise, whole = risen(view, until_s)
        parts.append(f"Rose by {'' if whole else 'at least '}{_show(view, rise)}")
    elif found is not None:
        low, high = found
        between = (
            f"Between {_number(view, low)} and {_show(view, high)}" if low < high else f"Always {_show(view, low)}"
        )
        parts.append(between)
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
            why = Flags(int(reduce(or_, np.unique(flags[which]).tolist(), 0)) & ~int(Flags.PUSHED))
            names = ", ".join((one.name or "").replace("_", " ").lower() for one in why)
            yield f"{int(which.sum()):,} {WORDS[mark]}{f' ({names})' if names else ''}"


def facts(view: HistoryView, choice: Choice, *, tz: str, until_s: float) -> tuple[tuple[str, str, str], ...]:
    """(name, figure, remark) of what stands above the chart."""
    fine = columns(view, np.linspace(choice.start.timestamp(), choice.end.timestamp(), 1001), until_s)
    known = np.isfinite(fine.mean)
    if not known.any():
        return ()
    if view.counter:
        last = view.samples.mean[np.isfinite(view.samples.mean)][-1]
        rise, whole = risen(view, until_s)
        return (
            ("Rise", _show(view, rise), "" if whole else "at least"),
            ("Register", _show(view, float(last)), ""),
            _covered(view, choice, until_s),
        )
    time_s = view.samples.time_s
    heard = np.flatnonzero((time_s >= view.start.timestamp()) & np.isfinite(view.samples.mean))
    rows: list[tuple[str, str, str]] = []
    if len(heard):
        places = (
            ("Last", view.samples.mean, heard[-1]),
            ("Lowest", view.samples.low, heard[np.argmin(view.samples.low[heard])]),
            ("Highest", view.samples.high, heard[np.argmax(view.samples.high[heard])]),
        )
        rows = [(name, _show(view, float(column[n])), _when(float(time_s[n]), tz)) for name, column, n in places]
    mean = "Mean", _show(view, float(fine.mean[known].mean())), "over time"
    return (*rows[:1], mean, *rows[1:], _covered(view, choice, until_s))


def _when(at_s: float, tz: str) -> str:
    zone = ZoneInfo(tz)
    return f"{formats.day(utc(at_s), zone)} {formats.clock(utc(at_s), zone)}"


def _covered(view: HistoryView, choice: Choice, until_s: float) -> tuple[str, str, str]:
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


# --- legend and table ------------------------------------------------------------------------------------------------


def _legend(view: HistoryView, rough: Columns, *, dense: bool) -> Iterator[Key]:
    kind = trace.colour(view)
    if view.counter:
        yield Key(kind="bar", name=f"Rise in {_step(rough)}", filled=True)
    else:
        yield Key(kind=f"line {kind}", name="Mean" if dense else "Value")
        if dense:
            yield Key(kind=f"spread {kind}", name="Lowest to highest", filled=True)
    if view.beside is not None:
        yield Key(kind=f"line {trace.colour(view.beside)}", name=view.beside.name.rpartition(": ")[2].capitalize())
    heard = set(view.samples.quality[view.samples.time_s >= view.start.timestamp()].tolist())
    for mark in sorted({Mark(code) for code in heard | set(rough.mark.tolist())} - {Mark.GOOD}):
        yield Key(kind=f"lane {trace.CLASSES[mark]}", name=WORDS[mark].capitalize(), filled=True)


def _step(rough: Columns) -> str:
    """The usual length of a step."""
    return formats.span(timedelta(seconds=float(np.median(np.diff(rough.edges)))))


def _headings(view: HistoryView) -> tuple[str, ...]:
    if view.counter:
        return "Rise", "Register", "Readings", "Quality"
    beside = () if view.beside is None else (view.beside.name.rpartition(": ")[2].capitalize(),)
    return "Mean", "Lowest", "Highest", *beside, "Readings", "Quality"


def _rows(view: HistoryView, rough: Columns, *, tz: str, until_s: float) -> Iterator[Row]:
    zone, days = ZoneInfo(tz), bool(np.median(np.diff(rough.edges)) >= DAY_S)
    cells = _counted(view, rough, until_s) if view.counter else _measured(view, rough, until_s)
    for begin, own, count, mark in zip(
        rough.edges.tolist(), zip(*cells, strict=True), rough.count.tolist(), rough.mark.tolist(), strict=False
    ):
        if begin >= until_s:
            break
        at = utc(begin)
        yield Row(
            time_s=int(begin),
            label=formats.day(at, zone, year=days) + ("" if days else f" {formats.clock(at, zone)}"),
            cells=(*own, f"{count:,}", WORDS[Mark(mark)]),
        )


def _measured(view: HistoryView, rough: Columns, until_s: float) -> Iterator[list[str]]:
    columns_ = [rough.mean, rough.low, rough.high]
    if view.beside is not None:
        columns_.append(columns(view.beside, rough.edges, until_s).mean)
    for column in columns_:
        yield [_show(view, value) for value in column.tolist()]


def _counted(view: HistoryView, rough: Columns, until_s: float) -> Iterator[list[str]]:
    yield [_show(view, value) for value in rises(view, rough.edges, until_s).tolist()]
    yield [_show(view, value) for value in rough.high.tolist()]


def _number(view: HistoryView, value: float) -> str:
    return formats.number(value, _DIGITS.get(view.unit, 1))


def _show(view: HistoryView, value: float) -> str:
    if not np.isfinite(value):
        return formats.MISSING
    return formats.quantity(value, view.unit, _DIGITS.get(view.unit, 1))
