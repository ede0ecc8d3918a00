"""How a point's past is drawn: scale, line or envelope, bars of a register, gaps, and the strip of doubts below."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from controller.web import charts, formats
from controller.web.charts import Frame
from controller.web.envelope import Columns, Mark, columns, gaps, moves, rises, runs
from controller.web.samples import Floats, HistoryView
from controller.web.timeline import marks

HEIGHT = 320.0
COLUMN = 2.0  # user units: nobody sees more
DENSE = 1.5  # readings a column from which on their extremes are drawn, not they themselves
LANE = 7.0  # height of the strip
SEEN = 3.0  # narrower than this a veil is a line that means nothing
CLASSES = {Mark.SUSPECT: "suspect", Mark.STALE: "stale", Mark.BAD: "broken", Mark.GAP: "silent"}
NEAR_NOUGHT = 1.0  # spreads above nought from which on it need not be on the axis


def scale(view: HistoryView, steps: Floats, until_s: float) -> tuple[float, ...]:
    """Figures of the upright axis."""
    if view.counter:
        risen = rises(view, steps, until_s)
        return charts.ticks(0.0, float(np.nanmax(risen)) if np.nansum(risen) > 0 else 1.0, 5)
    if view.unit == formats.STATE:
        return (0.0, 1.0)
    found = [extent(one) for one in (view, view.beside) if one is not None]
    known = [pair for pair in found if pair is not None] or [(0.0, 1.0)]
    low, high = min(pair[0] for pair in known), max(pair[1] for pair in known)
    if view.unit == "%" and low >= 0 and high <= 100:
        return charts.ticks(0.0, 100.0, 5)
    if 0 <= low < NEAR_NOUGHT * (high - low) or low == high == 0:
        return charts.ticks(0.0, max(high * 1.04, 1.0), 5)
    margin = (high - low) * 0.04 if high > low else max(0.5, abs(high) * 0.02)
    return charts.ticks(low - margin, high + margin, 5)


def extent(view: HistoryView) -> tuple[float, float] | None:
    """Lowest and highest known value of the window."""
    inside = (view.samples.time_s >= view.start.timestamp()) & np.isfinite(view.samples.mean)
    if not inside.any():
        return None
    return float(view.samples.low[inside].min()), float(view.samples.high[inside].max())


def frame(view: HistoryView, values: Sequence[float], width: float) -> Frame:
    """Room for the axis figures at the left, for the strip and the times below."""
    words = [formats.number(value, _places(values)) for value in values]
    longest = max(map(len, [*words, formats.shown(view.unit) or "off"]))
    return Frame(
        width=width, height=HEIGHT, left=12 + 7.2 * longest, right=14, top=24, bottom=36,
        start=view.start.timestamp(), end=view.end.timestamp(), low=values[0], high=values[-1],
    )  # fmt: skip


def is_dense(view: HistoryView, on: Frame) -> bool:
    """Whether it moves so often that a line through all of it would be a blot."""
    return moves(view) > DENSE * (on.edge - on.left) / COLUMN


def draw(
    view: HistoryView, on: Frame, values: Sequence[float], *, steps: Floats, tz: str, until_s: float, room: int
) -> str:
    """The whole plot. `steps` are the borders of a register's bars, `room` is how many times may be written below."""
    cut = np.linspace(on.start, on.end, max(2, round((on.edge - on.left) / COLUMN)) + 1)
    fine = columns(view, cut, until_s)
    below = "" if view.beside is None else _values(view.beside, on, columns(view.beside, cut, until_s), until_s)
    return "".join([
        _veils(view, on, until_s),
        _figures(view, on, values),
        charts.text(on.left - 6, 13, formats.shown(view.unit), "tick", "end"),
        _times(on, tz, room),
        below,
        _bars(view, on, steps, until_s) if view.counter else _values(view, on, fine, until_s),
        _lane(on, fine),
    ])  # fmt: skip


def _figures(view: HistoryView, on: Frame, values: Sequence[float]) -> str:
    if view.unit != formats.STATE:
        return charts.rows(on, values, _places(values))
    words = (charts.text(on.left - 6, on.y(value) + 4, word, "tick", "end") for value, word in ((0, "off"), (1, "on")))
    return "".join(words)


def _places(values: Sequence[float]) -> int:
    return next((n for n in range(3) if all(abs(round(value, n) - value) < 1e-9 for value in values)), 3)


def colour(view: HistoryView) -> str:
    """Class of its line: what was wished or what was measured."""
    return "setpoint" if "setpoint" in view.role else "actual"


def _values(view: HistoryView, on: Frame, fine: Columns, until_s: float) -> str:
    if is_dense(view, on):
        return _envelope(view, on, fine)
    path = []
    for run in runs(view, until_s):
        for n, (at, value) in enumerate(run):
            x, y = on.x(at), on.y(value)
            path.append(f"M{x:.1f} {y:.1f}" if n == 0 else f"H{x:.1f}V{y:.1f}" if view.held else f"L{x:.1f} {y:.1f}")
        if len(run) == 1:
            path.append("h.1")  # a reading alone is a dot
    return f'<path class="line {colour(view)}" d="{"".join(path)}"/>' if path else ""


def _envelope(view: HistoryView, on: Frame, fine: Columns) -> str:
    """From the lowest to the highest of each column, and the mean as a line."""
    x = [f"{on.x(at):.1f}" for at in fine.middles.tolist()]
    low, mean, high = ([on.y(value) for value in column.tolist()] for column in (fine.low, fine.mean, fine.high))
    shape, line = [], []
    for begin, end in _stretches(np.isfinite(fine.mean)):
        there = [f"{x[n]} {high[n]:.1f}" for n in range(begin, end)]
        back = [f"{x[n]} {low[n]:.1f}" for n in range(end - 1, begin - 1, -1)]
        shape.append(f"M{'L'.join([*there, *back])}Z")
        steps = (f"H{x[n]}V{mean[n]:.1f}" if view.held else f"L{x[n]} {mean[n]:.1f}" for n in range(begin + 1, end))
        line.append(f"M{x[begin]} {mean[begin]:.1f}{''.join(steps)}")
        line.append("h.1" if end - begin == 1 else "")
    kind = colour(view)
    return f'<path class="spread {kind}" d="{"".join(shape)}"/><path class="line thin {kind}" d="{"".join(line)}"/>'


def _bars(view: HistoryView, on: Frame, steps: Floats, until_s: float) -> str:
    """How far the register rose in each step."""
    path = []
    for begin, end, risen in zip(steps[:-1].tolist(), steps[1:].tolist(), rises(view, steps, until_s), strict=True):
        if np.isfinite(risen):
            left, right = on.x(begin), on.x(end)
            path.append(
                f"M{left:.1f} {on.floor:.1f}V{on.y(risen):.1f}H{max(left + 0.5, right - 1):.1f}V{on.floor:.1f}Z"
            )
    return f'<path class="bar" d="{"".join(path)}"/>' if path else ""


def _veils(view: HistoryView, on: Frame, until_s: float) -> str:
    """Where nothing was heard."""
    parts = []
    for begin, end in gaps(view, until_s):
        x, width = on.x(begin), on.x(end) - on.x(begin)
        if width >= SEEN:  # the strip below shows the shorter ones
            height = on.floor - on.top
            parts.append(f'<rect class="unheard" x="{x:.1f}" y="{on.top}" width="{width:.1f}" height="{height:.1f}"/>')
    return "".join(parts)


def _lane(on: Frame, fine: Columns) -> str:
    """The strip below the plot: good is faint, everything else speaks."""
    top = on.floor + 3
    parts = [f'<rect class="lane" x="{on.left:.1f}" y="{top:.1f}" width="{on.edge - on.left:.1f}" height="{LANE}"/>']
    n = 0
    for mark, group in groupby(fine.mark.tolist()):
        length = len(list(group))
        if mark != Mark.GOOD:
            x, end = on.x(fine.edges[n]), on.x(fine.edges[n + length])
            kind = CLASSES[Mark(mark)]
            parts.append(f'<rect class="lane {kind}" x="{x:.1f}" y="{top:.1f}" width="{end - x:.1f}" height="{LANE}"/>')
        n += length
    return "".join(parts)


def _times(on: Frame, tz: str, room: int) -> str:
    parts, free = [], on.left - 20.0
    for mark in marks(on.start, on.end, tz, room):
        x = on.x(mark.time_s)
        kind = "grid midnight" if mark.strong else "grid"
        parts.append(f'<path class="{kind}" d="M{x:.1f} {on.top}V{on.floor:.1f}"/>')
        half = 3.6 * len(mark.label)
        if mark.label and x - half > free and on.left - 8 <= x - half and x + half <= on.width:
            parts.append(charts.text(x, on.floor + 27, mark.label, "tick strong" if mark.strong else "tick", "middle"))
            free = x + half + 4
    return "".join(parts)


def _stretches(known: Sequence[bool] | np.ndarray) -> Iterator[tuple[int, int]]:
    """(first, one past the last) of each run of true."""
    edge = np.flatnonzero(np.diff(np.concatenate(([0], np.asarray(known, dtype=np.int8), [0]))))
    yield from zip(edge[::2].tolist(), edge[1::2].tolist(), strict=True)
