"""The past of one point as a figure: two pictures, a summary in words, a legend and a table."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
from markupsafe import Markup

from config.localtime import DAY_S, utc
from controller.web import charts, formats, trace
from controller.web.envelope import Columns, Mark, columns, rises
from controller.web.figures import Figure, Key, Row
from controller.web.remarks import WORDS, show, words
from controller.web.samples import HistoryView
from controller.web.timeline import Choice, edges, step_s

WIDE, NARROW = 960.0, 340.0
LABELS_WIDE, LABELS_NARROW = 11, 5


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
        yield [show(view, value) for value in column.tolist()]


def _counted(view: HistoryView, rough: Columns, until_s: float) -> Iterator[list[str]]:
    yield [show(view, value) for value in rises(view, rough.edges, until_s).tolist()]
    yield [show(view, value) for value in rough.high.tolist()]
