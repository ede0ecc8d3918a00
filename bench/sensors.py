"""Readings of realistic sensors, minute by minute, for the benches of the store."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from drivers.base import Reading

START = datetime(2023, 1, 9, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
APPEND = 80  # readings, at least: a town hall's minute
CHUNK = 200_000  # readings held in memory at once
JITTER_US = 40_000  # of a poll on a busy machine
KINDS = ("float32 degC", "float32 degC, raw", "ppm", "kWh register", "kW", "on or off")


def name(number: int) -> str:
    return f"bench.zone_{number}.value"


def number(point: str) -> int:
    return int(point.split(".")[1].removeprefix("zone_"))


def values(kind: int, minutes: int, random: np.random.Generator) -> list[float]:
    """What a sensor of that kind shows, minute by minute."""
    at = np.arange(minutes)
    degc = 20 + 2 * np.sin(at / 230) + np.cumsum(random.normal(0, 0.01, minutes)) + random.normal(0, 0.03, minutes)
    found = (
        degc.round(2).astype(np.float32),
        degc.astype(np.float32),
        (600 + 200 * np.sin(at / 300) + random.normal(0, 8, minutes)).round(),
        (12_345 + np.cumsum(random.exponential(0.2, minutes))).round(2),
        random.gamma(4, 3, minutes).round(2),
        (np.cumsum(random.random(minutes) < 0.005) % 2).astype(float),
    )[kind]
    return [float(value) for value in found]


def cycles(points: int, minutes: int) -> Iterator[list[Reading]]:
    """Every point once a minute, a moment after the full one; those of meters arrive a little later."""
    random = np.random.default_rng(1)
    shown = [values(n % len(KINDS), minutes, random) for n in range(points)]
    late = timedelta(milliseconds=12)
    for minute in range(minutes):
        times = [START + minute * MINUTE + timedelta(microseconds=int(n)) for n in random.integers(0, JITTER_US, 4)]
        yield [
            Reading(
                point=name(n),
                time=times[n % 4],  # four devices, each polled as one
                received=times[n % 4] + late if n % len(KINDS) in (3, 4) else times[n % 4],
                value=shown[n][minute],
            )
            for n in range(points)
        ]


def chunks(points: int, minutes: int) -> Iterator[list[list[Reading]]]:
    """Appends, of at least `APPEND` readings each, in parts that fit into memory; making them is not measured."""
    source = cycles(points, minutes)
    together = -(-APPEND // points)
    while chunk := list(itertools.islice(source, min(1440, max(together, CHUNK // points)))):  # a day at most
        yield [list(itertools.chain(*chunk[n : n + together])) for n in range(0, len(chunk), together)]
