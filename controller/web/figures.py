"""The charts of the pages, each with its summary in words and its table; every chart is drawn wide and narrow."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from controller.web import charts
from controller.web.charts import Frame
from controller.web.formats import MISSING, clock, day, number, rate
from controller.web.view import PlanView, ZonePlan
from optimiser.problem import Series

PAST, AHEAD = timedelta(hours=12), timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a legend: how it is drawn, and its name."""

    kind: str  # class of the stroke or fill
    name: str
    filled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    time_s: int
    label: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    id: str
    title: str
    summary: str
    wide: Markup
    narrow: Markup
    legend: tuple[Key, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    start: float  # of the x axis, seconds since 1970
    end: float

    @property
    def body(self) -> Markup:
        """The rows of its table; written here because a template takes ten times as long."""
        return Markup(  # noqa: S704  escaped
            "".join(
                f'<tr data-t="{row.time_s}"><th scope="row">{escape(row.label)}</th>'
                f"{''.join(f'<td>{escape(cell)}</td>' for cell in row.cells)}</tr>"
                for row in self.rows
            )
        )


def window(plan: PlanView) -> tuple[datetime, datetime]:
    """The span all charts of a plan share: 12 h back, 24 h ahead, on whole hours."""
    hour = plan.now.replace(minute=0, second=0, microsecond=0)
    return hour - PAST, hour + AHEAD


def _frames(plan: PlanView, height: int, low: float, high: float, *, axis: bool = True) -> tuple[Frame, Frame]:
    start, end = (when.timestamp() for when in window(plan))
    wide = Frame(
        width=960, height=height, left=44, right=12, top=20, bottom=24 if axis else 6,
        start=start, end=end, low=low, high=high,
    )  # fmt: skip
    return wide, replace(wide, width=340, left=34, right=8)


def _twice(frames: tuple[Frame, Frame], label: str, draw: Callable[[Frame, int], str]) -> tuple[Markup, Markup]:
    wide, narrow = frames
    return (
        Markup(charts.svg(wide, draw(wide, 3), "chart wide", label)),  # noqa: S704  charts escapes its texts
        Markup(charts.svg(narrow, draw(narrow, 6), "chart narrow", label)),  # noqa: S704
    )


def _table(plan: PlanView, *columns: tuple[Series | None, Callable[[float | None], str]]) -> tuple[Row, ...]:
    zone, (start, end) = ZoneInfo(plan.timezone), window(plan)
    return tuple(
        Row(
            time_s=int(when.timestamp()),
            label=f"{day(when, zone)} {clock(when, zone)}",
            cells=tuple(show(charts.sampled(series, when)) for series, show in columns),
        )
        for when in charts.half_hours(start, end)
    )


def _degrees(value: float | None) -> str:
    return MISSING if value is None else f"{number(value)} °C"


def _kw(value: float | None) -> str:
    return MISSING if value is None else f"{number(value)} kW"


def wanted(frame: Frame, zone: ZonePlan) -> str:
    """The wanted band: strong while people are there, faint while only the fabric matters."""
    floor = min(zone.low.values)
    used = [low > floor for low in zone.low.values]
    if not any(used):
        return charts.area(frame, zone.high, "band", zone.low)
    high = (high if one else math.nan for high, one in zip(zone.high.values, used, strict=True))
    strong = charts.area(frame, replace(zone.high, values=tuple(high)), "band", zone.low)
    return charts.area(frame, zone.high, "faint", zone.low) + strong


def temperature(plan: PlanView, zone: ZonePlan) -> Figure:
    """One zone: wanted band, setpoint, measured and predicted temperature, people."""
    tz = ZoneInfo(plan.timezone)
    low, high = charts.extent(zone.temperature, zone.actual, zone.setpoint, zone.past_setpoint)
    occupied = [one for one, people in zip(zone.low.values, zone.people.values, strict=True) if people > 0]
    low, high = min([low, *occupied]), max([high, *(v + 1 for v in occupied)])
    scale = charts.ticks(low - 0.3, high + 0.3, 5)
    frames = _frames(plan, 300, scale[0], scale[-1])

    def draw(frame: Frame, every: int) -> str:
        return "".join([
            charts.past(frame, plan.now),
            wanted(frame, zone),
            charts.rows(frame, scale, 0 if all(float(value).is_integer() for value in scale) else 1),
            charts.hours(frame, tz, every),
            charts.blocks(frame, zone.people, "people", y=frame.floor - 17, height=14),
            charts.steps(frame, charts.joined(zone.past_setpoint, zone.setpoint), "line setpoint"),
            charts.line(frame, zone.past_planned, "line foretold") if zone.past_planned else "",
            charts.line(frame, zone.actual, "line actual") if zone.actual else "",
            charts.line(frame, zone.temperature, "line predicted"),
            charts.present(frame, plan.now, f"now {clock(plan.now, tz)}"),
        ])  # fmt: skip

    summary = _temperature_words(plan, zone, tz)
    wide, narrow = _twice(frames, f"{zone.name}: {summary}", draw)
    return Figure(
        id="temperature", title=zone.name, summary=summary, wide=wide, narrow=narrow,
        start=frames[0].start, end=frames[0].end,
        legend=(
            Key(kind="line setpoint", name="Setpoint"),
            Key(kind="line actual", name="Measured"),
            Key(kind="line predicted", name="Predicted"),
            Key(kind="line foretold", name="As predicted before"),
            Key(kind="band", name="Wanted", filled=True),
            Key(kind="people", name="People expected", filled=True),
        ),
        columns=("Setpoint", "Measured", "Predicted", "Predicted before", "Wanted from", "to", "People"),
        rows=_table(
            plan,
            (charts.joined(zone.past_setpoint, zone.setpoint), _degrees), (zone.actual, _degrees),
            (zone.temperature, _degrees), (zone.past_planned, _degrees), (zone.low, _degrees),
            (zone.high, _degrees), (zone.people, lambda v: number(v, 0)),
        ),
    )  # fmt: skip


def _temperature_words(plan: PlanView, zone: ZonePlan, tz: ZoneInfo) -> str:
    parts = []
    now = charts.sampled(zone.setpoint, plan.now)
    if now is not None:
        parts.append(f"the setpoint is {number(now)} °C")
        change = next(
            ((zone.setpoint.start + i * zone.setpoint.step, v) for i, v in enumerate(zone.setpoint.values)
             if abs(v - now) > 0.05 and zone.setpoint.start + i * zone.setpoint.step > plan.now),
            None,
        )  # fmt: skip
        if change is not None:
            parts[-1] += f" until {clock(change[0], tz)}, then {number(change[1])} °C"
    low, high = charts.extent(zone.temperature)
    parts.append(f"the next 24 h are predicted between {number(low)} and {number(high)} °C")
    starts = [
        zone.people.start + i * zone.people.step
        for i, value in enumerate(zone.people.values)
        if value > 0 and (i == 0 or zone.people.values[i - 1] <= 0)
    ]
    if starts and starts[0] > plan.now:
        parts.append(f"people are expected from {clock(starts[0], tz)}")
    words = "; ".join(parts)
    return f"{words[0].upper()}{words[1:]}."


def outside(plan: PlanView) -> Figure:
    """Price and carbon of grid electricity as two strips."""
    tz = ZoneInfo(plan.timezone)
    top = charts.extent(plan.intensity)[1] * 1.1 or 1.0
    frames = _frames(plan, 158, 0.0, top)

    def draw(frame: Frame, every: int) -> str:
        lane = replace(frame, top=54)
        return "".join([
            charts.past(replace(frame, top=20), plan.now),
            charts.hours(replace(frame, top=20), tz, every),
            _price_lane(plan, frame),
            charts.columns(lane, plan.intensity, "carbon"),
            _extremes(lane, plan.intensity),
            charts.text(frame.left - 6, 38, "price", "tick", "end"),
            charts.text(frame.left - 6, lane.floor - 14, "g", "tick", "end"),
            charts.present(replace(frame, top=20), plan.now),
        ])  # fmt: skip

    summary = _outside_words(plan, tz)
    wide, narrow = _twice(frames, summary, draw)
    return Figure(
        id="grid", title="Price and carbon of grid electricity", summary=summary, wide=wide, narrow=narrow,
        start=frames[0].start, end=frames[0].end,
        legend=(
            Key(kind="price dear", name="Dear", filled=True), Key(kind="price middle", name="Usual", filled=True),
            Key(kind="price cheap", name="Cheap", filled=True), Key(kind="carbon", name="gCO₂/kWh", filled=True),
        ),
        columns=("Price per kWh", "Carbon"),
        rows=_table(
            plan, (plan.price, lambda v: rate(v, plan.currency)),
            (plan.intensity, lambda v: MISSING if v is None else f"{v:.0f} g/kWh"),
        ),
    )  # fmt: skip


def _price_lane(plan: PlanView, frame: Frame) -> str:
    low, high = charts.extent(plan.price)
    parts = []
    for begin, end, value in charts.spans(plan.price, frame):
        share = (value - low) / (high - low) if high > low else 0.5
        kind = "cheap" if share < 0.34 else "dear" if share > 0.66 else "middle"  # thirds
        x1, x2 = frame.x(begin), frame.x(end)
        parts.append(
            f'<rect class="price {kind}" x="{x1:.1f}" y="22" width="{max(0.5, x2 - x1 - 1):.1f}" height="24"/>'
        )
        if x2 - x1 > 30:  # room for the words
            parts.append(charts.text((x1 + x2) / 2, 38, rate(value, plan.currency), "inside", "middle"))
    return "".join(parts)


def _extremes(frame: Frame, series: Series) -> str:
    """Figures at the lowest and highest interval."""
    inside = [
        (value, begin, end) for begin, end, value in charts.spans(series, frame)
    ]  # fmt: skip
    if not inside:
        return ""
    parts = []
    for value, begin, end in (min(inside), max(inside)):
        x = min(max(frame.x((begin + end) / 2), frame.left + 14), frame.edge - 14)
        parts.append(charts.text(x, frame.y(value) - 4, f"{value:.0f}", "tick strong", "middle"))
    return "".join(parts)


def _outside_words(plan: PlanView, tz: ZoneInfo) -> str:
    ahead = [
        (value, plan.intensity.start + index * plan.intensity.step)
        for index, value in enumerate(plan.intensity.values)
        if math.isfinite(value) and plan.intensity.start + (index + 1) * plan.intensity.step > plan.now
    ]
    price = rate(charts.sampled(plan.price, plan.now), plan.currency)
    if not ahead:
        return f"Electricity costs {price} now; no carbon forecast."
    (low, cleanest), (high, dirtiest) = min(ahead), max(ahead)
    return (
        f"Electricity costs {price} now. Carbon is lowest, {low:.0f} g/kWh, at {clock(cleanest, tz)} "
        f"and highest, {high:.0f} g/kWh, at {clock(dirtiest, tz)}."
    )


def heat(plan: PlanView) -> Figure:
    """Heat from the heat pump and the boiler, stacked, and the charge of the tank; only what the site has."""
    tz = ZoneInfo(plan.timezone)
    made = (("heatpump", "Heat pump", plan.heat_pump), ("boiler", "Boiler", plan.boiler))
    sources = [(kind, name, series) for kind, name, series in made if series is not None]
    stack = list(accumulate((series for _, _, series in sources), _sum))
    scale = charts.ticks(0.0, max(charts.extent(*stack)[1], 10.0), 4)
    frames = _frames(plan, 210, 0.0, scale[-1])

    def draw(frame: Frame, every: int) -> str:
        return "".join([
            charts.past(frame, plan.now),
            charts.rows(frame, scale),
            charts.hours(frame, tz, every),
            *(
                charts.area(frame, top, kind, below)
                for (kind, _, _), top, below in zip(sources, stack, (None, *stack), strict=False)
            ),
            charts.line(frame, plan.tank, "line tank") if plan.tank else "",
            charts.present(frame, plan.now),
        ])  # fmt: skip

    given = [(name.lower(), number(_energy(series, plan.now), 0)) for _, name, series in sources]
    words = " and ".join(f"the {name} {'' if n else 'gives '}{kwh} kWh" for n, (name, kwh) in enumerate(given))
    summary = f"In the plan {words} of heat." if words else "Nothing here makes heat."
    wide, narrow = _twice(frames, summary, draw)
    legend = [Key(kind=kind, name=f"{name}, kW", filled=True) for kind, name, _ in sources]
    columns: list[tuple[Series | None, Callable[[float | None], str]]] = [(series, _kw) for _, _, series in sources]
    names = [name for _, name, _ in sources]
    if plan.tank is not None:
        legend.append(Key(kind="line tank", name="Tank, kWh"))
        columns.append((plan.tank, lambda v: MISSING if v is None else f"{number(v)} kWh"))
        names.append("Tank")
    return Figure(
        id="heat", title="Heat", summary=summary, wide=wide, narrow=narrow, legend=tuple(legend),
        start=frames[0].start, end=frames[0].end, columns=tuple(names), rows=_table(plan, *columns),
    )  # fmt: skip


def power(plan: PlanView) -> Figure:
    """Electricity from the grid: measured, as planned before, planned, and the cap."""
    tz = ZoneInfo(plan.timezone)
    low, high = charts.extent(plan.imported, plan.past_import, plan.past_planned_import)
    scale = charts.ticks(min(0.0, low), max(high, 10.0), 4)
    frames = _frames(plan, 210, scale[0], scale[-1])
    limit = plan.limit_kw if plan.limit_kw is not None and plan.limit_kw <= scale[-1] else None

    def draw(frame: Frame, every: int) -> str:
        return "".join([
            charts.past(frame, plan.now),
            charts.rows(frame, scale),
            charts.hours(frame, tz, every),
            charts.area(frame, plan.past_import, "import") if plan.past_import else "",
            charts.steps(frame, plan.past_import, "line measured") if plan.past_import else "",
            charts.steps(frame, plan.past_planned_import, "line foretold") if plan.past_planned_import else "",
            charts.steps(frame, plan.imported, "line planned"),
            _limit(frame, limit),
            charts.present(frame, plan.now, f"now {clock(plan.now, tz)}"),
        ])  # fmt: skip

    summary = _power_words(plan, tz)
    wide, narrow = _twice(frames, summary, draw)
    return Figure(
        id="power", title="Electricity from the grid, kW", summary=summary, wide=wide, narrow=narrow,
        start=frames[0].start, end=frames[0].end,
        legend=(
            Key(kind="line measured", name="Measured"), Key(kind="line foretold", name="As planned before"),
            Key(kind="line planned", name="Planned"),
        ),
        columns=("Measured", "Planned before", "Planned"),
        rows=_table(plan, (plan.past_import, _kw), (plan.past_planned_import, _kw), (plan.imported, _kw)),
    )  # fmt: skip


def _limit(frame: Frame, limit_kw: float | None) -> str:
    if limit_kw is None:
        return ""
    y = frame.y(limit_kw)
    words = charts.text(frame.edge - 4, y - 4, f"limit {limit_kw:.0f} kW", "tick strong", "end")
    return f'<path class="line limit" d="M{frame.left} {y:.1f}H{frame.edge}"/>{words}'


def _power_words(plan: PlanView, tz: ZoneInfo) -> str:
    top = max(((v, i) for i, v in enumerate(plan.imported.values) if math.isfinite(v)), default=None)
    words = ""
    if top is not None:
        when = plan.imported.start + top[1] * plan.imported.step
        words = f"The highest planned import is {number(top[0], 0)} kW at {clock(when, tz)}."
    if plan.past_import is not None and plan.past_planned_import is not None:
        pairs = zip(plan.past_import.values, plan.past_planned_import.values, strict=False)
        gaps = [abs(a - b) for a, b in pairs if math.isfinite(a + b)]
        if gaps:
            words += f" Over the last hours it differed from the plan by {number(sum(gaps) / len(gaps))} kW on average."
    return words.strip() or "Nothing is planned."


def _sum(one: Series, other: Series) -> Series:
    return replace(one, values=tuple(a + b for a, b in zip(one.values, other.values, strict=True)))


def _energy(series: Series, since: datetime) -> float:
    hours = series.step.total_seconds() / 3600
    return sum(
        value * hours
        for index, value in enumerate(series.values)
        if math.isfinite(value) and series.start + (index + 1) * series.step > since
    )
