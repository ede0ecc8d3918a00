"""Why a plan is as it is, in words a caretaker understands, with the figures that decided it.

Everything is read off the Problem and the Plan: where the plan heats, what heat costs then and later, which limits it
touches. Each zone's first reason is about now.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo

import numpy as np
from numpy.typing import NDArray

from optimiser.problem import Plan, Problem, Reason, ZoneState

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

NOTICED_K = 0.05  # misses of a limit below this, beyond the cheap margin, are not worth a word
TOUCHED_K = 0.1  # this near to a limit a zone is at it
HEATS_SHARE = 0.03  # of a zone's largest heat
AT_LIMIT = 0.98
DEAR = 1.2  # times the median price
CHEAPER = 0.9  # times the later price: worth doing now


def explain(problem: Problem, plan: Plan, *, names: Mapping[str, str], tz: tzinfo) -> tuple[Reason, ...]:
    """Return the reasons, earliest first; `names` gives what people call zones and plant, `tz` the clock in the text.

    The Plan must be the answer to this Problem. A name that is missing is replaced by the id.
    """
    look = _Look(problem, plan, names, tz)
    found = [
        *(reason for zone in problem.zones for reason in look.zone(zone)),
        *look.plant_missing(),
        *look.peak(),
        *look.tank(),
        *look.sun(),
        *look.cap(),
    ]
    return tuple(sorted(found, key=lambda reason: reason.time))


class _Look:
    """One Problem and its Plan as arrays, with the phrases that need them."""

    def __init__(self, problem: Problem, plan: Plan, names: Mapping[str, str], tz: tzinfo) -> None:
        self._problem, self._names, self._tz = problem, names, tz
        self._noticed_k = NOTICED_K + problem.weights.near_k  # losing the margin is no discomfort
        self._series = {name: np.array(series.values) for name, series in plan.series.items()}
        self._heat_price = np.array(plan.marginal_heat_price)
        self._price = np.array(problem.import_price)
        self._intensity = np.array(problem.intensity_g_per_kwh)
        self._steps = len(self._series["import"])
        self._today = problem.start.astimezone(tz).date()
        self._clocks: dict[int, str] = {}  # many sentences name the same times

    def zone(self, zone: ZoneState) -> Iterator[Reason]:
        """Yield what holds for one zone: now, its next warming-up, and every time it misses its band."""
        temperature, heat = self._series[f"temperature:{zone.id}"], self._series[f"heat:{zone.id}"]
        low, high = np.array(zone.low_degc), np.array(zone.high_degc)
        name = self._name(zone.id)
        if zone.held_degc is not None:
            text = f"{name} is held at {zone.held_degc:.1f} degC by somebody with a stronger say; planned around it"
            yield self._reason(0, zone.id, "limit", text)
            return
        heats = heat > HEATS_SHARE * max(zone.max_heat_kw, 1e-6)
        warming = [block for block in _blocks(heats) if block[0] == 0 or not heats[block[0] - 1]]
        if not heats[0]:
            yield self._rest(zone, temperature, low, heats)
        for first, end in warming[: 2 if heats[0] else 1]:
            yield self._warming(zone, first, end, temperature, low)
        for first, end in _blocks(temperature < low - self._noticed_k):
            yield self._short(zone, first, end, temperature, low)
        for first, end in _blocks(temperature > high + self._noticed_k):
            most = first + int(np.argmax(temperature[first:end]))
            text = (
                f"{name} gets to {temperature[most]:.1f} degC around {self._clock(most + 1)}, over {high[most]:.1f}: "
                "sun and people warm it, and nothing here can cool it"
            )
            yield self._reason(first, zone.id, "comfort", text)

    def _rest(self, zone: ZoneState, temperature: Floats, low: Floats, heats: Mask) -> Reason:
        name = self._name(zone.id)
        end = int(np.argmax(heats)) if heats.any() else self._steps
        least = int(np.argmin(temperature[:end] - low[:end]))
        until = f"until {self._clock(end)}" if end < self._steps else "as far as we plan"
        text = f"{name} needs no heat {until}: it stays above {low[least]:.1f} degC (lowest {temperature[least]:.1f})"
        return self._reason(0, zone.id, "comfort", text)

    def _warming(self, zone: ZoneState, first: int, end: int, temperature: Floats, low: Floats) -> Reason:
        """Say why a zone is heated from `first`: for people who come, for the limit, or because heat is cheap."""
        name = self._name(zone.id)
        begin = f"{name} is heated from {self._clock(first)}" if first else f"{name} is heated now"
        top = first + int(np.argmax(temperature[first:end]))
        wanted = self._rise(low, first)
        above = temperature[first:end] - low[first:end]
        if wanted is not None and (low[first] < low[wanted] - 1.0):
            aim = f"to be at {low[wanted]:.1f} degC by {self._clock(wanted + 1)}"
            at = f" ({temperature[wanted]:.1f} planned)" if temperature[wanted] > low[wanted] + TOUCHED_K else ""
            cheap = self._cheaper(first, max(min(end, wanted), first + 1), wanted)
            return self._reason(first, zone.id, cheap[0], f"{begin} {aim}{at}{cheap[1]}")
        if above.max() > 3 * TOUCHED_K and end < self._steps:
            cause, why = self._cheaper(first, end, min(end + 8, self._steps - 1))
            if why:
                return self._reason(first, zone.id, cause, f"{begin} up to {temperature[top]:.1f} degC{why}")
        text = f"{begin} to stay at {low[first]:.1f} degC, the lowest allowed; warmer would only cost more"
        return self._reason(first, zone.id, "comfort", text)

    def _cheaper(self, first: int, end: int, later: int) -> tuple[str, str]:
        """Compare what heat costs while warming with what it costs afterwards, and say what makes the difference."""
        now, then = self._heat_price[first:end].mean(), self._heat_price[later : later + 8].mean()
        if not now < CHEAPER * then:
            return "comfort", ""
        kwh = self._price[first:end].mean(), self._price[later : later + 8].mean()
        grams = self._intensity[first:end].mean(), self._intensity[later : later + 8].mean()
        when = "then" if first else "now"
        if kwh[0] < CHEAPER * kwh[1]:
            return (
                "price",
                f"; electricity costs {kwh[0]:.2f} per kWh {when} and {kwh[1]:.2f} from {self._clock(later)}",
            )
        if grams[0] < CHEAPER * grams[1]:
            return "carbon", f"; the grid is cleaner {when}: {grams[0]:.0f} g per kWh, later {grams[1]:.0f}"
        return "price", f"; heat costs {now:.3f} per kWh {when} and {then:.3f} from {self._clock(later)}"

    def _short(self, zone: ZoneState, first: int, end: int, temperature: Floats, low: Floats) -> Reason:
        name = self._name(zone.id)
        best = float(temperature[first:end].max())
        worst = first + int(np.argmax(low[first:end] - temperature[first:end]))
        back = f"until {self._clock(end)}" if end < self._steps else "as far as we plan"
        rising = first > 0 and low[first] > low[first - 1]
        if first == 0:
            text = f"{name} is below {low[0]:.1f} degC {back}; {temperature[0]:.1f} by {self._clock(1)}"
        elif rising:
            at = self._clock(first + 1)
            text = f"{name} cannot reach {low[first]:.1f} degC by {at}; best {temperature[first]:.1f}"
            text += f", short {back}" if end - first > 1 else ""
        else:
            lowest = f"lowest {temperature[worst]:.1f}, best {best:.1f}"
            text = f"{name} falls short of {low[worst]:.1f} degC from {self._clock(first + 1)} {back}; {lowest}"
        limits = self._limits(zone, max(0, first - 8), max(first + 1, min(end, 4)))
        return self._reason(first, zone.id, "limit", f"{text}; limit: {limits}")

    def _limits(self, zone: ZoneState, first: int, end: int) -> str:
        """Name what was used up in the steps before a miss."""
        problem, span, found = self._problem, slice(first, end), []
        if (self._series[f"heat:{zone.id}"][span] >= AT_LIMIT * zone.max_heat_kw - 1e-6).mean() >= 0.5:
            found.append(f"its own radiators ({zone.max_heat_kw:.0f} kW)")
        pump, boiler = problem.heat_pump, problem.boiler
        if pump is not None:
            most = np.array(pump.max_heat_kw)[span]
            if not pump.available:
                found.append(f"{self._name(pump.id)} off")
            elif (self._series["heat_pump"][span] >= AT_LIMIT * most).mean() >= 0.5:
                found.append(f"{self._name(pump.id)} {most.mean():.0f} kW")
        if boiler is not None:
            if not boiler.available:
                found.append(f"{self._name(boiler.id)} off")
            elif (self._series["boiler"][span] >= AT_LIMIT * boiler.max_heat_kw).mean() >= 0.5:
                found.append(f"{self._name(boiler.id)} {boiler.max_heat_kw:.0f} kW")
        cap = problem.import_cap_kw
        if cap is not None and (self._series["import"][span] >= AT_LIMIT * cap).any():
            found.append(f"grid import {cap:.0f} kW")
        if not found:
            return "too little time" if first == 0 else "warmer would cost more than it is worth"
        return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"

    def plant_missing(self) -> Iterator[Reason]:
        """Yield a word for each plant that cannot be used."""
        for plant in (self._problem.heat_pump, self._problem.boiler):
            if plant is not None and not plant.available:
                text = f"{self._name(plant.id)} cannot be used, so the plan does without it"
                yield self._reason(0, plant.id, "limit", text)

    def peak(self) -> Iterator[Reason]:
        """Yield a word for each dear time in which the heat pump does little."""
        pump = self._problem.heat_pump
        if pump is None or not pump.available:
            return
        heat, dear = self._series["heat_pump"], self._price > DEAR * np.median(self._price)
        usual = heat[~dear].mean() if (~dear).any() else 0.0
        for first, end in _blocks(dear):
            if usual > 0 and heat[first:end].mean() < 0.5 * usual:
                price, before = self._price[first:end].mean(), self._price[max(0, first - 1)]
                fall = self._coasting(first, end)
                text = (
                    f"{self._name(pump.id)} rests from {self._clock(first)} to {self._clock(end)}, when electricity "
                    f"costs {price:.2f} per kWh (just before {before:.2f}){fall}"
                )
                yield self._reason(first, pump.id, "price", text)

    def _coasting(self, first: int, end: int) -> str:
        """Say how far the zone that falls most falls in the meantime."""
        zones = [zone for zone in self._problem.zones if zone.held_degc is None]
        falls = [
            self._series[f"temperature:{z.id}"][first] - self._series[f"temperature:{z.id}"][end - 1] for z in zones
        ]
        if not falls or max(falls) < TOUCHED_K:
            return ""
        zone = zones[int(np.argmax(falls))]
        row = self._series[f"temperature:{zone.id}"]
        return f"; rooms coast on stored heat, {self._name(zone.id)} from {row[first]:.1f} to {row[end - 1]:.1f} degC"

    def tank(self) -> Iterator[Reason]:
        """Yield a word for the first charging that matters."""
        tank, held = self._problem.tank, self._series.get("tank")
        if tank is None or held is None or tank.capacity_kwh <= 0:
            return
        before = np.concatenate([[tank.energy_kwh], held[:-1]])
        for first, end in _blocks(held > before + 0.01 * tank.capacity_kwh):
            gain = held[end - 1] - before[first]
            if gain > 0.15 * tank.capacity_kwh:
                used = min(end + int(np.argmin(held[end:])) if end < self._steps else end, self._steps - 1)
                cause, why = self._cheaper(first, end, min(end, used))
                text = f"{self._name(tank.id)} is charged with {gain:.0f} kWh from {self._clock(first)}{why}"
                yield self._reason(first, tank.id, cause if why else "price", text)
                return

    def sun(self) -> Iterator[Reason]:
        """Yield a word for the first time the heat pump runs on our own sun."""
        pump = self._problem.heat_pump
        spare = np.array(self._problem.pv_kw) - np.array(self._problem.base_load_kw)
        runs = self._series["electricity"] > 0.2
        for first, end in _blocks((spare > 1.0) & runs):
            if pump is not None:
                text = (
                    f"{self._name(pump.id)} runs on the roof's own power from {self._clock(first)} to "
                    f"{self._clock(end)}: up to {spare[first:end].max():.0f} kW to spare"
                )
                yield self._reason(first, pump.id, "solar", text)
            return

    def cap(self) -> Iterator[Reason]:
        """Yield a word for each time the grid import is at its limit."""
        cap = self._problem.import_cap_kw
        if cap is None:
            return
        bought = self._series["import"]
        for first, end in _blocks(bought >= AT_LIMIT * cap):
            most = bought[first:end].max()
            over = f", and passed: {most:.0f} kW" if most > cap + 0.1 else ""
            text = f"grid import is at its limit of {cap:.0f} kW from {self._clock(first)} to {self._clock(end)}{over}"
            yield self._reason(first, "grid", "peak", text)

    def _rise(self, low: Floats, first: int) -> int | None:
        """Return the step at which the lower limit next rises by more than a kelvin; None if it does not."""
        rises = np.flatnonzero(np.diff(low[first:]) > 1.0)
        return int(first + rises[0] + 1) if len(rises) else None

    def _name(self, part: str) -> str:
        return self._names.get(part, part)

    def _clock(self, step: int) -> str:
        """Return the local time at which a step begins, with the day's name if that is not the plan's first day."""
        if step not in self._clocks:
            local = self._time(step).astimezone(self._tz)
            self._clocks[step] = f"{local:%H:%M}" if local.date() == self._today else f"{local:%H:%M} on {local:%A}"
        return self._clocks[step]

    def _time(self, step: int) -> datetime:
        return self._problem.start + step * self._problem.step

    def _reason(self, step: int, part: str, cause: str, text: str) -> Reason:
        return Reason(time=self._time(step), part=part, cause=cause, text=text[0].upper() + text[1:])


def _blocks(mask: Mask) -> list[tuple[int, int]]:
    """Return runs of true steps as (first, end)."""
    if not mask.any():
        return []
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
