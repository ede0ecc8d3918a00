"""Figures as people in the United Kingdom write them: 24 hours, day before month, a true minus sign."""

import math
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

SYMBOLS = {"GBP": "£", "EUR": "€", "USD": "$"}
MISSING = "–"
STATE = "0/1"
_UNITS = {"degC": "°C", "0/1": "", "m3": "m³", "W/m2": "W/m²", "index": "", "count": ""}
_DIGITS = {"ppm": 0, "W/m2": 0, "lux": 0, "people": 0, "count": 0, "index": 0, STATE: 2, "money/kWh": 4}  # else 1
_JOIN = "\N{NO-BREAK SPACE}"


def number(value: float | None, digits: int = 1) -> str:
    """Grouped by thousands, rounded; a dash for None and NaN."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:,.{digits}f}"
    if text.startswith("-"):
        text = text[1:] if float(text.replace(",", "")) == 0 else "\N{MINUS SIGN}" + text[1:]
    return text


def quantity(value: float | None, unit: str, digits: int = 1) -> str:
    """A number and its unit, never broken over two lines."""
    return f"{number(value, digits)}{_JOIN}{shown(unit)}".rstrip(_JOIN)


def reading(value: float | None, unit: str) -> str:
    """A point's value, as exactly as its kind deserves."""
    if value is None or not math.isfinite(value):
        return MISSING
    if unit == STATE and value in {0.0, 1.0}:
        return "on" if value else "off"
    return quantity(value, unit, _DIGITS.get(unit, 1))


def shown(unit: str) -> str:
    """A unit as people write it; a state has none."""
    return _UNITS.get(unit, unit)


def money(value: float | None, currency: str, digits: int = 2) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    sign = "\N{MINUS SIGN}" if value < 0 else ""
    symbol = SYMBOLS.get(currency)
    amount = f"{abs(value):,.{digits}f}"
    return f"{sign}{symbol}{amount}" if symbol else f"{sign}{amount}{_JOIN}{currency}"


def rate(value: float | None, currency: str) -> str:
    """A price per kWh: pence where there are pence."""
    if value is None or not math.isfinite(value):
        return MISSING
    if currency == "GBP":
        return f"{number(value * 100, 0 if abs(value * 100 - round(value * 100)) < 0.05 else 1)}p"
    return money(value, currency)


def clock(when: datetime | None, zone: ZoneInfo) -> str:
    """Local time of day, 14:30."""
    return MISSING if when is None else f"{when.astimezone(zone):%H:%M}"


def day(when: datetime | date, zone: ZoneInfo | None = None, *, year: bool = False) -> str:
    """Mon 6 Feb, with the year on request."""
    local = when.astimezone(zone) if isinstance(when, datetime) else when
    return f"{local:%a} {local.day} {local:%b}" + (f" {local.year}" if year else "")


def moment(when: datetime | None, zone: ZoneInfo, now: datetime) -> str:
    """14:30 today; Tue 14:30 within six days; else with its date."""
    if when is None:
        return MISSING
    local, today = when.astimezone(zone), now.astimezone(zone).date()
    if local.date() == today:
        return f"{local:%H:%M}"
    if abs((local.date() - today).days) < 6:
        return f"{local:%a %H:%M}"
    return f"{local.day} {local:%b} {local:%H:%M}"


def span(length: timedelta | None) -> str:
    """40 s, 12 min, 3 h, 4 days: one figure, as people say it."""
    if length is None:
        return "never"
    seconds = max(0.0, length.total_seconds())
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f}{_JOIN}{unit}"
    return f"{seconds / 86_400:.0f} days"


def ago(length: timedelta | None) -> str:
    return "never heard" if length is None else f"{span(length)} ago"
