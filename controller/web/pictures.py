"""Small pictures without axes: a zone's gauge, a zone's day, columns by day."""

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from controller.web import charts
from controller.web.charts import Frame
from controller.web.figures import wanted, window
from controller.web.formats import number
from controller.web.view import PlanView, ZonePlan, ZoneView


def small(plan: PlanView, zone: ZonePlan) -> Markup:
    """A zone's day without axes, to be compared with its neighbours at a glance."""
    start, end = (when.timestamp() for when in window(plan))
    frame = Frame(width=240, height=64, left=2, right=2, top=4, bottom=4, start=start, end=end, low=11.0, high=25.0)
    body = "".join([
        charts.past(frame, plan.now),
        wanted(frame, zone),
        charts.steps(frame, charts.joined(zone.past_setpoint, zone.setpoint), "line setpoint thin"),
        charts.line(frame, zone.actual, "line actual thin") if zone.actual else "",
        charts.line(frame, zone.temperature, "line predicted thin"),
        charts.present(frame, plan.now),
    ])  # fmt: skip
    low, high = charts.extent(zone.temperature)
    label = f"{zone.name}, next 24 h between {number(low)} and {number(high)} °C"
    return Markup(charts.svg(frame, body, "chart small", label))  # noqa: S704  charts escapes its texts


def gauge(zone: ZoneView) -> Markup:
    """Where a zone's temperature stands against the wanted band and its setpoint, on one scale for all zones."""
    frame = Frame(width=260, height=40, left=8, right=8, top=0, bottom=0, start=12.0, end=26.0)
    low, high = frame.x(zone.low_degc), frame.x(zone.high_degc)
    parts = [
        '<rect class="track" x="8" y="14" width="244" height="8" rx="4"/>',
        f'<rect class="wanted" x="{low:.1f}" y="14" width="{max(4.0, high - low):.1f}" height="8" rx="4"/>',
    ]
    for value, x in ((zone.low_degc, low), (zone.high_degc, high)):
        parts.append(charts.text(min(max(x, 14), 246), 37, f"{value:g}", "tick", "middle"))
    if zone.setpoint_degc is not None:
        x = frame.x(zone.setpoint_degc)
        parts.append(f'<path class="setmark" d="M{x:.1f} 12l-5 -8h10z"/>')
    words = "no reading"
    if zone.temperature_degc is not None:
        x = frame.x(zone.temperature_degc)
        kind = "dot" if zone.discomfort_k < 0.05 else "dot outside"  # half a sensor step
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="18" r="7"/>')
        words = f"{number(zone.temperature_degc)} °C"
    label = f"{words}; wanted {zone.low_degc:g} to {zone.high_degc:g} °C; setpoint {number(zone.setpoint_degc)} °C"
    return Markup(charts.svg(frame, "".join(parts), "gauge", label))  # noqa: S704  numbers only


def bars(days: Sequence[tuple[str, float, float]], unit: str, names: tuple[str, str]) -> Markup:
    """Two columns a day, side by side, with their figures."""
    frame = Frame(width=340, height=170, left=8, right=8, top=18, bottom=22, start=0.0, end=max(1.0, float(len(days))))
    frame = replace(frame, high=max([1e-9, *(max(a, b) for _, a, b in days)]))
    parts = [f'<path class="grid" d="M{frame.left} {frame.floor:.1f}H{frame.edge}"/>']
    for index, (label, *values) in enumerate(days):
        for place, value in enumerate(values):
            x, y = frame.x(index + 0.14 + 0.37 * place), frame.y(value)
            width = frame.x(index + 0.49) - frame.x(index + 0.14)
            kind = ("grid-ledger", "annual-ledger")[place]
            height = max(0.0, frame.floor - y)
            parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>')
            if len(days) <= 8:  # a week and today
                parts.append(charts.text(x + width / 2, y - 3, f"{value:.0f}", "tick tiny", "middle"))
        parts.append(charts.text(frame.x(index + 0.5), frame.floor + 15, label, "tick", "middle"))
    words = "; ".join(f"{label}: {names[0]} {a:.0f} {unit}, {names[1]} {b:.0f} {unit}" for label, a, b in days)
    return Markup(charts.svg(frame, "".join(parts), "chart bars", words))  # noqa: S704  charts escapes its texts
