"""A building that obeys other equations than ours: three masses a zone, radiators to the power 1.3, wind, noise."""

from datetime import timedelta

import numpy as np

from optimiser.history import Floats, History

STEP = timedelta(minutes=15)
MINUTES = 5  # of one step of the truth
DAY = 96
AREAS = (200.0, 120.0, 160.0)
EMITTERS_KW = (21.0, 14.0, 17.0)
EMITTER_TRUTH = (0.85, 1.1, 0.95)  # true output over its rating
NEIGHBOURS = ((1,), (0, 2), (1,))


def toy_history(days: int, *, seed: int = 1, excited: bool = True) -> History:
    """Readings of a winter: thermostats with night setback and random holds, occupants, sun, a heat meter."""
    random = np.random.default_rng(seed)
    area, emitter = np.array(AREAS), np.array(EMITTERS_KW)
    steps = days * 1440 // MINUTES
    minute = np.arange(steps) * MINUTES
    hour = minute / 60.0 % 24.0
    slow_weather = np.interp(minute, np.arange(days + 1) * 1440, _walk(random, days + 1))
    outdoor = 4.0 + slow_weather + 3.0 * np.sin((hour - 9.0) / 24.0 * 2 * np.pi)
    clouds = np.repeat(random.uniform(0.1, 1.0, days * 8), steps // (days * 8))
    sun = np.maximum(0.0, 0.4 * np.sin((hour - 8.0) / 9.0 * np.pi)) * ((hour > 8) & (hour < 17)) * clouds
    wind = np.abs(np.interp(minute, np.arange(days * 8 + 1) * 180, random.normal(4.0, 2.0, days * 8 + 1)))
    weekday = (minute // 1440) % 7 < 5
    busy = weekday & (hour >= 8) & (hour < 18)
    people = np.where(busy[:, None], np.maximum(random.normal(10.0, 0.5, (steps, 3)), 0.0), 0.0)
    wanted = np.where(busy | (weekday & (hour >= 5) & (hour < 8)), 20.5, 15.0)[:, None] * np.ones(3)
    if excited:
        hold = np.repeat(random.uniform(15.0, 22.5, (days * 8, 3)), steps // (days * 8), axis=0)
        chosen = np.repeat(random.random((days * 8, 3)) < 0.4, steps // (days * 8), axis=0)
        wanted = np.where(chosen & ~busy[:, None], hold, wanted)
    air, inner, wall, water = np.full(3, 18.0), np.full(3, 18.0), np.full(3, 13.0), np.full(3, 25.0)
    hours = MINUTES / 60.0
    seen, valves, heats = np.empty((steps, 3)), np.empty((steps, 3)), np.empty((steps, 3))
    flow = 38.0 + 1.1 * np.maximum(0.0, 15.0 - outdoor)
    truth = np.array(EMITTER_TRUTH) * emitter
    for k in range(steps):
        valve = np.clip((wanted[k] - air) / 1.0, 0.0, 1.0)
        water += (valve * (flow[k] - 4.0) + (1 - valve) * air - water) * 0.25
        heat = truth * (np.maximum(water - air, 0.0) / 50.0) ** 1.3
        beside = np.array([air[1], 0.5 * (air[0] + air[2]), air[1]])
        leak = area * (0.25 + 0.09 * wind[k]) / 1000.0
        gain = people[k] * 0.08 + area * (0.0015 + 0.006 * busy[k]) + 0.03 * area * sun[k]
        loss = leak * (outdoor[k] - air) + 0.004 * area * (inner - air) + 0.0025 * area * (wall - air)
        change = (heat + gain + loss + 0.0008 * area * (beside - air)) * hours / (0.011 * area)
        inner = inner + (0.004 * area * (air - inner) + 0.02 * area * sun[k]) * hours / (0.05 * area)
        outer = 0.0025 * area * (air - wall) + 0.0012 * area * (outdoor[k] - wall)
        wall = wall + outer * hours / (0.08 * area)
        air = air + change
        seen[k], valves[k], heats[k] = air, valve, heat
    noisy = np.round(seen + random.normal(0, 0.03, seen.shape), 1)
    temperature = _means(noisy)
    estimate = _means(valves) * emitter * (np.maximum(_means(flow)[:, None] - temperature, 0.0) / 50.0)
    return History(
        step=STEP,
        neighbours=NEIGHBOURS,
        local_step=np.arange(days * DAY) % DAY,
        temperature_degc=temperature,
        outdoor_degc=_means(np.round(outdoor, 1)),
        solar_kw_m2=_means(sun),
        people=_means(np.round(people)),
        heat_kw=estimate,
        metered_heat_kw=_means(heats.sum(axis=1)) * random.normal(1.0, 0.01, days * DAY),
    )


def _walk(random: np.random.Generator, days: int) -> Floats:
    level, walk = 0.0, []
    for _ in range(days):
        level = 0.8 * level + random.normal(0, 2.0)
        walk.append(level)
    return np.array(walk)


def _means(series: Floats) -> Floats:
    per = 15 // MINUTES
    return series.reshape(-1, per, *series.shape[1:]).mean(axis=1)
