"""Learns the zone models from a building's own readings, and decides whether a new one may replace the old.

Each zone's seven coefficients are fitted to the error of 24-hour predictions (Gauss-Newton with damping, all zones at
once), because a fit of single steps follows the sensor's quantisation and not the building. They are kept positive by
fitting logarithms, and near the prior by a weak ridge where the data do not speak. What is left by time of day becomes
the offset profile, and a second fit follows.

What one zone gains from its neighbours they must lose: every link has one and the same conductance in the whole
building, so a zone's neighbour coefficient follows from its heat coefficient. Fitted freely, the two ends of a link
disagree, and an optimiser heats one room to draw more out of it next door than it put in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from optimiser.history import Floats, Grid, History, emitter_scale, filtered, grid
from optimiser.problem import ZoneModel
from optimiser.verdict import Decision, accept
from optimiser.windows import Windows, one_step, profile, windows

NAMES = ("outdoor", "mass", "neighbour", "heat_k_per_kw", "solar_k_per_kw_m2", "people_k", "mass_rate")
HEAT, NEIGHBOUR, MASS_RATE = 3, 2, 6
RANGE = np.log(8.0)  # a coefficient stays within this factor of its prior
RIDGE = 3.0  # squared kelvins for each squared e-fold away from the prior
FEWEST_WINDOWS = 12
ROUNDS = (12, 8)  # before and after the offset profile
STEP = 1e-3
LONGEST_MOVE = 0.7
SMOOTH_H = 2.0
OFFSET_LIMIT = 0.5  # of the drift that a fully open emitter causes
OUTLIER_K = 3.0
LARGEST_RATE = 0.9  # of one step, all couplings together
DISTURBANCE_LIMIT_K = 0.15  # per step
CONDUCTANCES = (0.03, 0.06, 0.12, 0.25, 0.5)  # kW/K of a link, tried in turn
TRIAL_ROUNDS = 5
TRIAL_SHARE = 5  # one day in so many; odd, so that all times of day are among them


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """The models to use from now on (the old one where the new one was refused), and why."""

    models: tuple[ZoneModel, ...]
    emitter_scale: tuple[float, ...]  # true heat over the estimate, by zone
    decisions: tuple[Decision, ...]


def learn(
    history: History, *, old: Sequence[ZoneModel], old_scale: Sequence[float], prior: Sequence[ZoneModel]
) -> Learnt:
    """Return what the History teaches: fitted on all but its last quarter (at most a week), judged on that.

    `old` are the models in use and `prior` those by floor area. Raises ValueError where the History is shorter than
    three days.
    """
    steps = len(history.temperature_degc)
    if steps < 3 * history.day_steps:
        raise ValueError("three days of readings are the least to learn from")
    first = steps - min(7 * history.day_steps, steps // 4)
    training = history.part(slice(0, first))
    scale = emitter_scale(training)
    new = fit(training, scale, prior)
    decisions = accept(new, old, history, first=first, scale=scale, old_scale=np.array(old_scale))
    chosen = [
        replace(fitted, fitted_rmse_k=decision.rmse_new) if decision.accepted else kept
        for fitted, kept, decision in zip(new, old, decisions, strict=True)
    ]
    scales = np.where([decision.accepted for decision in decisions], scale, np.array(old_scale))
    return Learnt(models=tuple(chosen), emitter_scale=tuple(scales.tolist()), decisions=decisions)


def fit(history: History, scale: Floats, prior: Sequence[ZoneModel]) -> tuple[ZoneModel, ...]:
    """Return one model a zone, fitted to the whole History; a zone without enough of it keeps its prior."""
    data = grid(history, scale)
    days = windows(data, history.day_steps, first=history.day_steps // 2)
    coupled = np.array([bool(places) for places in history.neighbours])
    centre = np.log(np.array([[max(getattr(model, name), 1e-6) for name in NAMES] for model in prior]))
    search, logs = _linked(data, days, centre, history)
    offset = np.zeros((history.day_steps, len(prior)))
    logs, _ = search.descend(logs, offset, ROUNDS[0])
    offset = _offsets(data, search.values(logs), history)
    logs, _ = search.descend(logs, offset, ROUNDS[1])
    found = search.values(logs)
    enough = days.weight.any(axis=0).sum(axis=0) >= FEWEST_WINDOWS
    models = []
    for zone, model in enumerate(prior):
        if not enough[zone]:
            models.append(model)
            continue
        values = dict(zip(NAMES, found[zone].tolist(), strict=True))
        if not coupled[zone]:
            values["neighbour"] = model.neighbour
        models.append(ZoneModel(**values, offset_k=tuple(offset[:, zone].tolist())))
    return tuple(models)


def _linked(data: Grid, days: Windows, centre: Floats, history: History) -> tuple["_Search", Floats]:
    """Return the search with the conductance of a link that predicts best after a short fit, and where that ended."""
    count = np.array([len(places) for places in history.neighbours], dtype=float)
    offset = np.zeros((history.day_steps, len(count)))
    trials = []
    fewer = days.thinned(TRIAL_SHARE)
    for conductance in CONDUCTANCES if count.any() else CONDUCTANCES[:1]:
        search = _Search(data=data, days=fewer, centre=centre, links=conductance * count)
        logs, loss = search.descend(search.inside(centre), offset, TRIAL_ROUNDS)
        trials.append((float(loss.sum()), search, logs))
    _, search, logs = min(trials, key=lambda trial: trial[0])
    return replace(search, days=days), logs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """Damped Gauss-Newton on the logarithms of the coefficients (zones, names), each zone with its own damping."""

    data: Grid
    days: Windows
    centre: Floats
    links: Floats  # kW/K of all links of a zone together

    @property
    def free(self) -> Floats:
        """1 where a coefficient may move; the neighbours' follows from the heat's."""
        free = np.ones(self.centre.shape)
        free[:, NEIGHBOUR] = 0.0
        return free

    def values(self, logs: Floats) -> Floats:
        """Return coefficients (..., zones, names): a link takes from one zone what it gives to the other."""
        values: Floats = np.exp(logs)
        values[..., NEIGHBOUR] = self.links * values[..., HEAT]
        return values

    def inside(self, logs: Floats) -> Floats:
        """Return logarithms within the range about the prior, and slow enough to be stable."""
        logs = np.clip(logs, self.centre - RANGE, self.centre + RANGE)
        values = self.values(logs)
        total = values[:, 0] + values[:, 1] + values[:, 2]
        values[:, [0, 1, HEAT]] *= np.minimum(1.0, LARGEST_RATE / total)[:, None]
        values[:, MASS_RATE] = np.minimum(values[:, MASS_RATE], LARGEST_RATE)
        values[:, NEIGHBOUR] = 1.0  # says nothing
        result: Floats = np.log(values)
        return result

    def descend(self, logs: Floats, offset: Floats, rounds: int) -> tuple[Floats, Floats]:
        """Return the best logarithms found from here, and their loss by zone."""
        zones, names = logs.shape
        damping = np.full(zones, 1e-2)
        now = np.full(zones, np.inf)
        for _ in range(rounds):
            moved = np.repeat(logs[None], names + 1, axis=0)
            for name in range(names):
                moved[name + 1, :, name] += STEP
            found = self.simulate(self.values(moved), offset)
            error = found[:, 0] - self.days.truth
            weight = self.days.weight * np.minimum(1.0, OUTLIER_K / np.maximum(np.abs(error), 1e-9))
            slope = (found[:, 1:] - found[:, :1]) / STEP * self.free.T[:, None, :]
            gradient = np.einsum("tpsz,tsz,tsz->zp", slope, weight, error) + RIDGE * (logs - self.centre) * self.free
            curve = np.einsum("tpsz,tqsz,tsz->zpq", slope, slope, weight, optimize=True) + RIDGE * np.eye(names)
            now = self._loss(error, weight, logs)
            scaled = curve * (1.0 + damping[:, None, None] * np.eye(names))
            move = -np.linalg.solve(scaled, gradient[..., None])[..., 0]
            tried = self.inside(logs + np.clip(move, -LONGEST_MOVE, LONGEST_MOVE) * self.free)
            error = self.simulate(self.values(tried)[None], offset)[:, 0] - self.days.truth
            gained = now - self._loss(error, weight, tried)
            better = gained > 0
            logs = np.where(better[:, None], tried, logs)
            now = now - np.maximum(gained, 0.0)
            damping = np.clip(np.where(better, damping / 4.0, damping * 8.0), 1e-4, 1e4)
            if ((gained <= 1e-4 * now) & (~better | (damping <= 1e-2))).all():
                break
        return logs, now

    def simulate(self, values: Floats, offset: Floats) -> Floats:
        """Predict all days for sets of coefficients (sets, zones, names): (steps, sets, starts, zones).

        Neighbours are as measured, so that the zones can be fitted one by one.
        """
        days, start = self.days, self.data.temperature
        slow = np.empty((len(values), len(days.first), values.shape[1]))
        for zone in range(values.shape[1]):
            rates, which = np.unique(values[:, zone, MASS_RATE], return_inverse=True)
            columns = np.array([filtered(start[:, zone], rate)[days.first] for rate in rates.tolist()])
            slow[:, :, zone] = columns[which]
        outdoor, mass, neighbour, heat, solar, people, rate_of_mass = (values[:, None, :, n] for n in range(len(NAMES)))
        keep = 1.0 - outdoor - mass - neighbour
        air = np.broadcast_to(start[days.first], slow.shape)
        result = np.empty((len(days.truth), *slow.shape))
        for step in range(len(days.truth)):
            known = outdoor * days.outdoor[step] + solar * days.solar[step] + heat * days.heat[step]
            known = known + people * days.people[step] + neighbour * days.beside[step] + offset[days.slot[step]]
            slow, air = slow + rate_of_mass * (air - slow), keep * air + mass * slow + known
            result[step] = air
        return result

    def _loss(self, error: Floats, weight: Floats, logs: Floats) -> Floats:
        away = ((logs - self.centre) * self.free) ** 2
        result: Floats = 0.5 * (weight * error**2).sum(axis=(0, 1)) + 0.5 * RIDGE * away.sum(axis=1)
        return result


def _offsets(data: Grid, values: Floats, history: History) -> Floats:
    """Mean one-step error by local step of the day, smoothed around the clock: (day steps, zones), K per step."""
    error, known = one_step(data, values, np.zeros((history.day_steps, len(values))))
    width = max(1, round(SMOOTH_H / (history.step.total_seconds() / 3600.0)))
    by_slot = np.zeros((history.day_steps, len(values)))
    for slot in range(history.day_steps):
        near = (data.local_step[:-1] - slot + width // 2) % history.day_steps < width
        count = known[near].sum(axis=0)
        by_slot[slot] = np.where(known[near], error[near], 0.0).sum(axis=0) / (count + 5.0)
    limit = OFFSET_LIMIT * values[:, HEAT] * np.nan_to_num(data.heat).max(axis=0, initial=0.1)
    result: Floats = np.clip(by_slot, -limit, limit)
    return result


def disturbance(
    models: Mapping[str, ZoneModel],
    *,
    neighbours: Mapping[str, Sequence[str]],
    temperature_degc: Floats,
    outdoor_degc: Floats,
    solar_kw_m2: Floats,
    people: Floats,
    heat_kw: Floats,
    local_step: NDArray[np.int64],
    day_steps: int = 96,
) -> Floats:
    """Return the constant heat that no input explains, K per step by zone, from the last day's single steps.

    Series are (steps,) or (steps, zones) in the order of `models`, NaN where unknown. Give a week or more where there
    is one: the slow state follows from it, though only the last `day_steps` count. 0 for a zone that is not known.
    """
    names = list(models)
    zones = list(models.values())
    if len(temperature_degc) < 2:
        return np.zeros(len(zones))
    places = tuple(tuple(names.index(name) for name in neighbours.get(own, ()) if name in models) for own in names)
    history = History(
        step=timedelta(days=1) / day_steps,
        neighbours=places,
        local_step=local_step,
        temperature_degc=temperature_degc,
        outdoor_degc=outdoor_degc,
        solar_kw_m2=solar_kw_m2,
        people=people,
        heat_kw=heat_kw,
    )
    data = grid(history, np.ones(len(zones)))
    values = np.array([[getattr(model, name) for name in NAMES] for model in zones])
    values[:, NEIGHBOUR] *= [bool(near) for near in places]
    error, known = one_step(data, values, profile(zones, day_steps))
    error, known = error[-day_steps:], known[-day_steps:]
    count = known.sum(axis=0)
    mean = np.where(known, error, 0.0).sum(axis=0) / np.maximum(count, 1)
    believed = np.clip(count / (0.5 * day_steps), 0.0, 1.0)  # a few steps say little
    result: Floats = np.clip(mean * believed, -DISTURBANCE_LIMIT_K, DISTURBANCE_LIMIT_K)
    return result
