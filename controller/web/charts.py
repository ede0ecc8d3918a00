"""The parts of a chart: scales, axes, step lines, bands, blocks, as SVG text; colours come from the style sheet.

Everything returns a string of SVG elements in the user units of a `Frame`; attributes only, no inline style.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import escape

from controller.web.formats import number
from optimiser.problem import Series

HOUR_S = 3600.0
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A plot area: seconds since 1970 across, a quantity upwards."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    start: float
    end: float
    low: float = 0.0
    high: float = 1.0

    @property
    def floor(self) -> float:
        return self.height - self.bottom

    @property
    def edge(self) -> float:
        return self.width - self.right

    def x(self, time_s: float) -> float:
        share = (time_s - self.start) / (self.end - self.start)
        return self.left + (self.edge - self.left) * min(1.0, max(0.0, share))

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.floor - (self.floor - self.top) * min(1.0, max(0.0, share))


def ticks(low: float, high: float, count: int = 4) -> tuple[float, ...]:
    """Round figures that cover low..high in about `count` steps, ends included."""
    spread = max(high - low, 1e-3)
    size = 10.0 ** math.floor(math.log10(spread / count))
    step = next(size * nice for nice in _NICE if size * nice * count >= spread * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(index * step, 9) for index in range(first, max(last, first + 1) + 1))


def extent(*series: Series | None) -> tuple[float, float]:
    """Smallest and largest finite value; (0, 1) if there is none."""
    values = [value for one in series if one is not None for value in one.values if math.isfinite(value)]
    return (min(values), max(values)) if values else (0.0, 1.0)


def spans(series: Series, frame: Frame) -> Iterator[tuple[float, float, float]]:
    """(from, to, value) of the intervals inside the frame; neighbours of equal value are one, NaN is left out."""
    start, step = series.start.timestamp(), series.step.total_seconds()
    begun, held = start, math.nan
    for index, value in enumerate((*series.values, math.nan)):
        time_s = start + index * step
        if value != held:
            if math.isfinite(held) and time_s > frame.start and begun < frame.end:
                yield max(begun, frame.start), min(time_s, frame.end), held
            begun, held = time_s, value


def steps(frame: Frame, series: Series, kind: str) -> str:
    """A line that holds each value over its interval."""
    path, reached = [], math.nan
    for begin, end, value in spans(series, frame):
        y = frame.y(value)
        path.append(f"V{y:.1f}" if begin == reached else f"M{frame.x(begin):.1f} {y:.1f}")
        path.append(f"H{frame.x(end):.1f}")
        reached = end
    return f'<path class="{kind}" d="{"".join(path)}"/>' if path else ""


def line(frame: Frame, series: Series, kind: str) -> str:
    """Straight lines from value to value, each at the END of its interval, as temperatures are."""
    path, pen = [], "M"
    step = series.step.total_seconds()
    time_s = series.start.timestamp()
    for value in series.values:
        time_s += step
        if not math.isfinite(value) or not frame.start <= time_s <= frame.end:
            pen = "M"
            continue
        path.append(f"{pen}{frame.x(time_s):.1f} {frame.y(value):.1f}")
        pen = "L"
    return f'<path class="{kind}" d="{"".join(path)}"/>' if path else ""


def area(frame: Frame, top: Series, kind: str, base: Series | None = None) -> str:
    """The filled steps between `base` (None = zero) and `top`, on the same grid; open where either is missing."""
    shapes: list[str] = []
    there: list[str] = []
    back: list[str] = []
    step, begun = top.step.total_seconds(), top.start.timestamp()
    reached = math.nan
    floor = base.values if base is not None else (0.0,) * len(top.values)
    pairs = [*zip(top.values, floor, strict=True), (math.nan, math.nan)]
    first = 0
    for index in range(1, len(pairs)):
        high, low = pairs[first]
        if pairs[index] == (high, low):
            continue  # one shape for a run of equal steps
        left, right = begun + first * step, begun + index * step
        first = index
        if right <= frame.start or left >= frame.end or not math.isfinite(high + low):
            continue
        if there and left != reached:
            shapes.append(f"M{'L'.join([*there, *reversed(back)])}Z")
            there, back = [], []
        x1, x2, y1, y2 = frame.x(left), frame.x(right), frame.y(high), frame.y(low)
        there.append(f"{x1:.1f} {y1:.1f}H{x2:.1f}")
        back.append(f"{x2:.1f} {y2:.1f}H{x1:.1f}")
        reached = right
    if there:
        shapes.append(f"M{'L'.join([*there, *reversed(back)])}Z")
    return f'<path class="{kind}" d="{"".join(shapes)}"/>' if shapes else ""


def blocks(frame: Frame, series: Series, kind: str, *, y: float, height: float, labels: bool = True) -> str:
    """One rounded block for each time that people are there, with their number where it fits."""
    parts = []
    for begin, end, value in _merged(series, frame):
        x1, x2 = frame.x(begin), frame.x(end)
        parts.append(f'<rect class="{kind}" x="{x1:.1f}" y="{y}" width="{max(1.0, x2 - x1):.1f}" height="{height}"/>')
        if labels and x2 - x1 > 34:  # room for the words
            parts.append(text((x1 + x2) / 2, y + height - 4, f"up to {value:.0f}", "inside", "middle"))
    return "".join(parts)


def _merged(series: Series, frame: Frame) -> Iterator[tuple[float, float, float]]:
    begun = reached = most = math.nan
    for begin, end, value in spans(series, frame):
        if value <= 0:
            continue
        if begin == reached:
            reached, most = end, max(most, value)
            continue
        if math.isfinite(begun):
            yield begun, reached, most
        begun, reached, most = begin, end, value
    if math.isfinite(begun):
        yield begun, reached, most


def columns(frame: Frame, series: Series, kind: str) -> str:
    """One column for each interval, its height the value."""
    parts = []
    for begin, end, value in spans(series, frame):
        x1, x2, y = frame.x(begin), frame.x(end), frame.y(value)
        parts.append(f"M{x1:.1f} {frame.floor:.1f}V{y:.1f}H{max(x1 + 0.5, x2 - 0.6):.1f}V{frame.floor:.1f}Z")
    return f'<path class="{kind}" d="{"".join(parts)}"/>' if parts else ""


def text(x: float, y: float, words: str, kind: str = "tick", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def rows(frame: Frame, values: Sequence[float], digits: int = 0) -> str:
    """Horizontal grid lines with their figures at the left."""
    parts = []
    for value in values:
        y = frame.y(value)
        parts.append(f'<path class="grid" d="M{frame.left} {y:.1f}H{frame.edge}"/>')
        parts.append(text(frame.left - 6, y + 4, number(value, digits), "tick", "end"))
    return "".join(parts)


def hours(frame: Frame, zone: ZoneInfo, every: int, *, labels: bool = True) -> str:
    """Upright grid lines at local hours, midnight stronger and with its date."""
    parts = []
    first = math.ceil(frame.start / HOUR_S)
    for hour in range(first, math.floor(frame.end / HOUR_S) + 1):
        local = datetime.fromtimestamp(hour * HOUR_S, UTC).astimezone(zone)
        if local.hour % every:
            continue
        x, midnight = frame.x(hour * HOUR_S), local.hour == 0
        kind = "grid midnight" if midnight else "grid"
        parts.append(f'<path class="{kind}" d="M{x:.1f} {frame.top}V{frame.floor:.1f}"/>')
        if labels and frame.left + 8 < x < frame.edge - 8:
            words = _date(local, short=every > 3) if midnight else f"{local:%H:%M}"
            parts.append(text(x, frame.floor + 16, words, "tick strong" if midnight else "tick", "middle"))
    return "".join(parts)


def _date(local: datetime, *, short: bool) -> str:
    return f"{local:%a} {local.day}" if short else f"{local:%a} {local.day} {local:%b}"


def past(frame: Frame, now: datetime) -> str:
    """A veil over what has been."""
    x = frame.x(now.timestamp())
    width, height = x - frame.left, frame.floor - frame.top
    return f'<rect class="past" x="{frame.left}" y="{frame.top}" width="{width:.1f}" height="{height:.1f}"/>'


def present(frame: Frame, now: datetime, words: str = "") -> str:
    """The line of now; words above it if given."""
    x = frame.x(now.timestamp())
    mark = f'<path class="now" d="M{x:.1f} {frame.top - 2}V{frame.floor:.1f}"/>'
    return mark + (text(x, frame.top - 6, words, "nowword", "middle") if words else "")


def svg(frame: Frame, body: str, kind: str, label: str) -> str:
    """The whole picture; `label` is what a screen reader says."""
    return (
        f'<svg class="{kind}" viewBox="0 0 {frame.width:g} {frame.height:g}" role="img" '
        f'aria-label="{escape(label)}" data-left="{frame.left / frame.width:.4f}" '
        f'data-right="{frame.edge / frame.width:.4f}">{body}</svg>'
    )


def joined(before: Series | None, after: Series) -> Series:
    """Past and future as one series; `before` must end where `after` starts and have its step, else it is left out."""
    if before is None or before.step != after.step or before.start + before.step * len(before.values) != after.start:
        return after
    return Series(start=before.start, step=after.step, unit=after.unit, values=before.values + after.values)


def sampled(series: Series | None, when: datetime) -> float | None:
    """The value of the interval that holds `when`; None outside or where missing."""
    if series is None or when < series.start:
        return None
    index = (when - series.start) // series.step
    if index >= len(series.values) or not math.isfinite(series.values[index]):
        return None
    return series.values[index]


def half_hours(start: datetime, end: datetime) -> Iterator[datetime]:
    """Round half-hours from the first at or after `start` to the last before `end`."""
    step = timedelta(minutes=30)
    when = datetime.fromtimestamp(math.ceil(start.timestamp() / 1800) * 1800, UTC)
    while when < end:
        yield when
        when += step
