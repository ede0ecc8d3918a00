"""What identification learns from: the readings of some weeks on the optimiser's grid, made usable."""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from optimiser.structure import mutual

Floats = NDArray[np.float64]

DAY = timedelta(days=1)
USUAL_DEGC = 20.0
SHORT_GAP = 4  # steps that are bridged in a straight line
SCALES = (0.3, 3.0)  # an emitter's true heat over its estimate, around the common ratio
RATIOS = (0.7, 1.4)  # metered over estimated heat in one step; beyond it one of them is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Means over steps, oldest first, NaN where unknown; series are (steps,) or (steps, zones)."""

    step: timedelta
    neighbours: tuple[tuple[int, ...], ...]  # by zone, as column numbers; made mutual
    local_step: NDArray[np.int64]  # number of each step within its local day
    temperature_degc: Floats  # (steps, zones)
    outdoor_degc: Floats
    solar_kw_m2: Floats
    people: Floats  # (steps, zones)
    heat_kw: Floats  # (steps, zones): estimate by valve, flow temperature and rating
    metered_heat_kw: Floats | None = None  # all zones together; None = no meter

    def __post_init__(self) -> None:
        steps, zones = self.temperature_degc.shape
        for name in ("people", "heat_kw"):
            if getattr(self, name).shape != (steps, zones):
                raise ValueError(f"{name} must have {steps} steps and {zones} zones")
        for name in ("outdoor_degc", "solar_kw_m2", "local_step"):
            if getattr(self, name).shape != (steps,):
                raise ValueError(f"{name} must have {steps} steps")
        if len(self.neighbours) != zones:
            raise ValueError(f"neighbours must be given for all {zones} zones")
        object.__setattr__(self, "neighbours", mutual(self.neighbours))

    @property
    def day_steps(self) -> int:
        return round(DAY / self.step)

    def last(self, steps: int) -> "History":
        """Return the newest steps alone."""
        return self.part(slice(max(0, len(self.temperature_degc) - steps), None))

    def part(self, which: slice) -> "History":
        """Return some of the steps."""
        metered = self.metered_heat_kw
        return replace(
            self,
            local_step=self.local_step[which],
            temperature_degc=self.temperature_degc[which],
            outdoor_degc=self.outdoor_degc[which],
            solar_kw_m2=self.solar_kw_m2[which],
            people=self.people[which],
            heat_kw=self.heat_kw[which],
            metered_heat_kw=None if metered is None else metered[which],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A History without holes, on the middles of its steps.

    A mean over a step is the value in its middle, and what acted between two middles is the mean of both steps.
    `usable` marks where nothing had to be invented; inputs have one step less than temperatures.
    """

    temperature: Floats  # (steps, zones)
    beside: Floats  # (steps, zones): mean temperature next door; the zone's own where nobody is
    measured: NDArray[np.bool_]  # (steps, zones)
    outdoor: Floats  # (steps - 1,)
    solar: Floats
    people: Floats  # (steps - 1, zones)
    heat: Floats
    usable: NDArray[np.bool_]  # (steps - 1, zones)
    local_step: NDArray[np.int64]  # of temperatures


def grid(history: History, scale: Floats) -> Grid:
    """Return the History made usable, with heat by emitters at this scale and by the meter where there is one."""
    raw = without_stuck(history.temperature_degc, history.day_steps)
    filled = _filled(raw)
    bridge = np.column_stack([bridged(column, SHORT_GAP) for column in raw.T])
    beside = filled.copy()
    for own, places in enumerate(history.neighbours):
        if places:
            beside[:, own] = filled[:, list(places)].mean(axis=1)
    heat = heat_kw(history, scale)
    outdoor, solar = (bridged(series, SHORT_GAP) for series in (history.outdoor_degc, history.solar_kw_m2))
    known = np.isfinite(outdoor) & np.isfinite(solar)
    usable = known[:, None] & np.isfinite(heat)
    return Grid(
        temperature=filled,
        beside=beside,
        measured=np.isfinite(bridge) & np.isfinite(raw),
        outdoor=_middle(np.nan_to_num(outdoor)),
        solar=_middle(np.nan_to_num(solar)),
        people=_middle(np.nan_to_num(history.people)),
        heat=_middle(np.nan_to_num(heat)),
        usable=usable[1:] & usable[:-1],
        local_step=history.local_step,
    )


def _filled(raw: Floats) -> Floats:
    """Without holes: in a straight line over time; a zone never measured is taken to be as the others are."""
    columns = np.column_stack([bridged(column, len(raw)) for column in raw.T])
    known = np.isfinite(columns).any(axis=0)
    others = columns[:, known].mean(axis=1) if known.any() else np.full(len(raw), USUAL_DEGC)
    columns[:, ~known] = others[:, None]
    return columns


def emitter_scale(history: History) -> Floats:
    """Return the factor by zone that makes the heat estimates add up to the meter; ones without a meter.

    Bounded least squares around the common ratio, so that a zone that hardly heats keeps that.
    """
    from scipy.optimize import lsq_linear  # half a second to import, and only learning needs it

    zones = history.temperature_degc.shape[1]
    if history.metered_heat_kw is None:
        return np.ones(zones)
    known = np.isfinite(history.metered_heat_kw) & np.isfinite(history.heat_kw).all(axis=1)
    estimate, meter = history.heat_kw[known], history.metered_heat_kw[known]
    if known.sum() < history.day_steps or estimate.sum() <= 0 or meter.sum() <= 0:
        return np.ones(zones)
    common = float(meter.sum() / estimate.sum())
    ridge = np.sqrt(0.02) * np.linalg.norm(estimate, axis=0).mean()
    lines = np.vstack([estimate * common, ridge * common * np.eye(zones)])
    wanted = np.concatenate([meter, np.full(zones, ridge * common)])
    return common * lsq_linear(lines, wanted, bounds=SCALES).x


def heat_kw(history: History, scale: Floats) -> Floats:
    """Return heat by zone (steps, zones): the scaled estimate, adding up to the meter where that is plausible."""
    heat = history.heat_kw * scale
    if history.metered_heat_kw is None:
        return heat
    total = heat.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.clip(history.metered_heat_kw / total, *RATIOS)
    believed = np.isfinite(ratio) & (total > 0.02 * np.nanmax(total, initial=0.0))
    result: Floats = heat * np.where(believed, ratio, 1.0)[:, None]
    return result


def filtered(temperature: Floats, rate: float) -> Floats:
    """Return the slow state that belongs to a temperature without holes: M' = M + rate (T - M), from the first day."""
    slow, kept = float(temperature[: max(1, len(temperature) // 20)].mean()), 1.0 - rate
    found = []
    for degc in temperature.tolist():  # in plain floats: a library's filter takes more than a second to import
        found.append(slow)
        slow = rate * degc + kept * slow
    return np.array(found)


def without_stuck(temperature: Floats, longest: int) -> Floats:
    """Return the temperatures with NaN where a sensor repeated itself for longer than `longest` steps."""
    result = temperature.astype(float, copy=True)
    for column in result.T:
        changes = np.flatnonzero(np.diff(column) != 0) + 1  # NaN differs from everything
        edges = np.concatenate([[0], changes, [len(column)]])
        for n in np.flatnonzero(np.diff(edges) > longest).tolist():
            column[edges[n] : edges[n + 1]] = np.nan
    return result


def bridged(series: Floats, longest: int) -> Floats:
    """Return a series with gaps of at most `longest` steps bridged; its ends carry the nearest value."""
    known = np.flatnonzero(np.isfinite(series))
    if not len(known):
        return np.full(len(series), np.nan)
    if len(known) == len(series):
        return series.astype(float)
    places = np.arange(len(series))
    full = np.interp(places, known, series[known])
    after = np.searchsorted(known, places, side="left")
    before_place = known[np.maximum(after - 1, 0)]
    after_place = known[np.minimum(after, len(known) - 1)]
    gap = np.where(np.isfinite(series), 0, after_place - before_place - 1)
    gap = np.where(places < known[0], known[0] - places, gap)
    gap = np.where(places > known[-1], places - known[-1], gap)
    result: Floats = np.where(gap <= longest, full, np.nan)
    return result


def _middle(series: Floats) -> Floats:
    result: Floats = 0.5 * (series[1:] + series[:-1])
    return result
