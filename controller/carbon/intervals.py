"""Readings of a meter -> half-hourly energy with a quality code each.

Registers and power become one curve of energy over time, read off at the half-hours. Between two readings no farther
apart than the point's `max_age` the curve is measured (A). Across a longer gap a register still knows the total, which
is spread evenly (R); power is interpolated up to 1.5 hours (I). Longer gaps of power, resets and impossible rises break
the curve, and the half-hours they touch are missing (M): nothing is invented.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from config.localtime import HALF_HOUR_S, epoch_s, utc
from config.site import Meter, MeterKind, Point, Site
from config.units import Unit
from controller.carbon.registers import exchange_delta, gas_kwh, register_delta
from controller.carbon.slots import Code, Coverage, Interval, coverage, edges_s
from controller.store.base import Store, Window

LONGEST_BRIDGE_S = 3 * HALF_HOUR_S
NEAR_S = 120.0  # the first reading after a border may stand for it this long
MARGIN = timedelta(hours=6)  # read around a period, so that a gap at its border is seen from both sides
GOOD = 0  # quality of the readings that count
DIGITS = 4  # decimal places of kWh that are kept

Floats = NDArray[np.float64]
MEASURED, BRIDGED, BROKEN = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one meter counted in a period: every half-hour of it, in time order."""

    meter: Meter
    intervals: tuple[Interval, ...]

    @property
    def kwh(self) -> Decimal:
        """Energy of all intervals that are not missing."""
        return sum((interval.kwh for interval in self.intervals if interval.kwh is not None), Decimal(0))

    @property
    def coverage(self) -> Coverage:
        return coverage(interval.code for interval in self.intervals)


def account(meter: Meter, point: Point, window: Window, start: datetime, end: datetime) -> Account:
    """The meter's half-hours of [start, end), of which the last may be cut short, from a window around them."""
    edges = edges_s(epoch_s(start), epoch_s(end))
    keep = (window.quality == GOOD) & np.isfinite(window.value)
    time_s, value = window.time_s[keep], window.value[keep]
    if meter.kind is MeterKind.INTERVAL:
        kwh, codes = _interval_ends(time_s, value * _kwh_per_unit(meter, point), edges)
    else:
        gap_s = max(point.max_age.total_seconds(), NEAR_S)
        if meter.kind is MeterKind.POWER:
            curve, state = _power_curve(meter, time_s, value, gap_s)
        else:
            curve, state = _register_curve(meter, time_s, value, gap_s)
            curve = curve * _kwh_per_unit(meter, point)
        kwh, codes = _read_off(
            time_s, curve, state, np.array(edges, dtype=float), power=meter.kind is MeterKind.POWER, gap_s=gap_s
        )
    intervals = tuple(
        Interval(start=utc(first), end=utc(last), kwh=None if code is Code.MISSING else _decimal(energy), code=code)
        for (first, last), energy, code in zip(pairwise(edges), kwh, codes, strict=True)
    )
    return Account(meter=meter, intervals=intervals)


async def read_accounts(store: Store, site: Site, start: datetime, end: datetime) -> list[Account]:
    """Accounts of all meters of the site in [start, end), in file order."""
    points = site.points
    found = []
    for meter in site.meters:
        window = await store.window(meter.point, start - MARGIN, end + MARGIN)
        found.append(account(meter, points[meter.point], window, start, end))
    return found


def _decimal(kwh: float) -> Decimal:
    return Decimal(round(kwh * 10**DIGITS)).scaleb(-DIGITS)


def _kwh_per_unit(meter: Meter, point: Point) -> float:
    if point.unit is not Unit.M3:
        return 1.0
    value, correction = Decimal(str(meter.calorific_value)), Decimal(str(meter.volume_correction))
    return float(gas_kwh(Decimal(1), calorific_value=value, correction=correction))


def _register_curve(meter: Meter, time_s: Floats, value: Floats, gap_s: float) -> tuple[Floats, NDArray[np.int8]]:
    """The register as it would stand had it never rolled over nor been exchanged, and the state between readings."""
    rise = np.diff(value) * meter.multiplier
    elapsed = np.diff(time_s)
    state = np.where(elapsed > gap_s, BRIDGED, MEASURED).astype(np.int8)
    exchanged = [np.searchsorted(time_s, exchange.time.timestamp()) - 1 for exchange in meter.exchanges]
    # A coarse register rises by a whole count in a moment, so its speed is judged over a half-hour at least.
    hours = np.maximum(elapsed, HALF_HOUR_S) / 3600
    fast = np.zeros(len(rise), dtype=bool) if meter.capacity_kw is None else rise > meter.capacity_kw * 1.2 * hours
    for n in np.flatnonzero((rise < 0) | fast):
        if n in exchanged:
            continue
        delta = register_delta(
            Decimal(str(value[n])),
            Decimal(str(value[n + 1])),
            digits=meter.digits,
            multiplier=Decimal(str(meter.multiplier)),
            capacity_kw=None if meter.capacity_kw is None else Decimal(str(meter.capacity_kw)),
            elapsed=timedelta(hours=float(hours[n])),
        )
        rise[n] = 0.0 if delta.kwh is None else float(delta.kwh)
        state[n] = BROKEN if delta.kwh is None else state[n]
    for n, exchange in zip(exchanged, meter.exchanges, strict=True):
        if 0 <= n < len(rise):
            rise[n] = float(
                exchange_delta(
                    Decimal(str(value[n])),
                    Decimal(str(exchange.closing)),
                    Decimal(str(exchange.opening)),
                    Decimal(str(value[n + 1])),
                    multiplier=Decimal(str(meter.multiplier)),
                )
            )
    first = value[:1] * meter.multiplier
    return np.concatenate((first, first + np.cumsum(rise))), state


def _power_curve(meter: Meter, time_s: Floats, value: Floats, gap_s: float) -> tuple[Floats, NDArray[np.int8]]:
    """Energy since the first reading, kWh; of a signed power the part that the meter counts."""
    kw = np.maximum(-value if meter.export else value, 0.0) * meter.multiplier
    elapsed = np.diff(time_s)
    state = np.where(elapsed > gap_s, BRIDGED, MEASURED).astype(np.int8)
    state[elapsed > LONGEST_BRIDGE_S] = BROKEN
    energy = np.where(state == BROKEN, 0.0, (kw[1:] + kw[:-1]) / 2 * elapsed / 3600)
    return np.concatenate((np.zeros(min(len(kw), 1)), np.cumsum(energy))), state


def _read_off(
    time_s: Floats, curve: Floats, state: NDArray[np.int8], edges: Floats, *, power: bool, gap_s: float
) -> tuple[list[float], list[Code]]:
    """Energy and code between each two edges of a curve."""
    slots = len(edges) - 1
    if not len(time_s):
        return [0.0] * slots, [Code.MISSING] * slots
    at_edge = np.interp(edges, time_s, curve)
    if not power:
        # Rounding the register at each border keeps the sum of the half-hours equal to the difference at its ends.
        at_edge = np.round(at_edge, DIGITS)
    outside = (edges < time_s[0] - NEAR_S) | (edges > time_s[-1] + gap_s)
    last = max(len(state) - 1, 0)
    first_piece = np.clip(np.searchsorted(time_s, edges[:-1], side="right") - 1, 0, last)
    last_piece = np.clip(np.searchsorted(time_s, edges[1:], side="left") - 1, 0, last)
    broken = _any(state == BROKEN, first_piece, last_piece) | outside[:-1] | outside[1:]
    if power:
        filled = _any(state == BRIDGED, first_piece, last_piece)
    else:
        # Only the registers at both borders matter: a gap between two read borders costs nothing.
        bridged = state == BRIDGED if len(state) else np.zeros(1, dtype=bool)
        before = np.clip(np.searchsorted(time_s, edges, side="right") - 1, 0, len(time_s) - 1)
        after = np.clip(before + 1, 0, len(time_s) - 1)
        read = np.minimum(np.abs(edges - time_s[before]), np.abs(edges - time_s[after])) <= NEAR_S
        filled = (bridged[first_piece] & ~read[:-1]) | (bridged[last_piece] & ~read[1:])
    fill = Code.INTERPOLATED if power else Code.SPREAD
    codes = [Code.MISSING if b else fill if f else Code.ACTUAL for b, f in zip(broken, filled, strict=True)]
    return np.diff(at_edge).tolist(), codes


def _any(flags: NDArray[np.bool_], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any flag from `first` to `last`, both included, is set."""
    total = np.concatenate(([0], np.cumsum(flags)))
    reached = np.minimum(last + 1, len(flags))
    found: NDArray[np.bool_] = total[reached] > total[np.minimum(first, len(flags))]
    return found


def _interval_ends(time_s: Floats, kwh: Floats, edges: Sequence[int]) -> tuple[list[float], list[Code]]:
    """A value stands for the half-hour that ends at its time; the newest of two for one half-hour counts."""
    by_slot = dict(zip((np.ceil(time_s / HALF_HOUR_S).astype(np.int64) - 1).tolist(), kwh.tolist(), strict=True))
    values, codes = [], []
    for first, last in pairwise(edges):
        value = by_slot.get(first // HALF_HOUR_S) if last - first == HALF_HOUR_S else None
        values.append(0.0 if value is None else value)
        codes.append(Code.MISSING if value is None else Code.ACTUAL)
    return values, codes
