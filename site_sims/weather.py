"""The weather at a site: a real temperature series, the sun, and seeded clouds and wind, minute by minute.

The same seed and minute always give the same weather, whatever was asked for before.
"""

import csv
import gzip
from collections import OrderedDict
from datetime import UTC, datetime
from enum import IntEnum
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.site import Location
from site_sims import sun

Array = NDArray[np.float64]

TEMPERATURES = Path(__file__).parent / "data" / "outdoor_temperature.csv.gz"
MINUTES_A_DAY = 1440
KEPT_DAYS = 64  # day blocks held in memory, about 120 kB each

CLOUD_MEAN, CLOUD_SPREAD, CLOUD_MEMORY = 1.7, 1.7, 0.93  # of the logit of the cover, hourly
WIND_MEAN, WIND_SPREAD, WIND_MEMORY = 1.25, 0.5, 0.95  # of the log of m/s, hourly


class Column(IntEnum):
    """Columns of a day block."""

    OUTDOOR = 0  # degC
    WIND = 1  # m/s
    HORIZONTAL = 2  # W/m2, as the rest
    NORTH = 3
    EAST = 4
    SOUTH = 5
    WEST = 6
    PV = 7


def minute_of(when: datetime) -> int:
    """Whole minutes since 1970, UTC."""
    return int(when.timestamp()) // 60


@cache
def _temperatures() -> tuple[int, Array]:
    """First minute and the hourly degC of the recorded series."""
    with gzip.open(TEMPERATURES, "rt", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    first = datetime.fromisoformat(rows[0]["from_utc"]).astimezone(UTC)
    return minute_of(first), np.array([float(row["outdoor_degc"]) for row in rows])


def _process(seed: int, stream: int, size: int, memory: float) -> Array:
    """An autoregressive series of unit variance."""
    shocks = np.random.default_rng([seed, stream]).standard_normal(size) * np.sqrt(1 - memory**2)
    values, value = [], 0.0
    for shock in shocks.tolist():  # as scipy's lfilter to the bit, which takes more than a second to import
        value = shock + memory * value
        values.append(value)
    return np.array(values)


class Weather:
    """Weather of one place and seed. Raises LookupError outside the recorded temperature series."""

    def __init__(
        self, location: Location, *, seed: int, pv_tilt_deg: float = 20.0, pv_azimuth_deg: float = 180.0
    ) -> None:
        self._location = location
        self._pv = pv_tilt_deg, pv_azimuth_deg
        self._first, self._outdoor = _temperatures()
        hours = self._outdoor.size
        self._cover = 1 / (1 + np.exp(-(CLOUD_MEAN + CLOUD_SPREAD * _process(seed, 1, hours, CLOUD_MEMORY))))
        self._wind = np.exp(WIND_MEAN + WIND_SPREAD * _process(seed, 2, hours, WIND_MEMORY))
        self._days: OrderedDict[int, Array] = OrderedDict()

    def at(self, minute: int) -> Array:
        """One row of `Column`s; do not change it."""
        day, within = divmod(minute, MINUTES_A_DAY)
        row: Array = self.day(day)[within]
        return row

    def between(self, start: int, end: int) -> Array:
        """Rows for the minutes from `start` until before `end`."""
        first, last = start // MINUTES_A_DAY, (end - 1) // MINUTES_A_DAY
        block = np.vstack([self.day(day) for day in range(first, last + 1)])
        return block[start - first * MINUTES_A_DAY : end - first * MINUTES_A_DAY]

    def day(self, day: int) -> Array:
        """(1440, columns) of one UTC day, counted from 1970."""
        block = self._days.get(day)
        if block is None:
            block = self._days[day] = self._make(day)
            if len(self._days) > KEPT_DAYS:
                self._days.popitem(last=False)
        return block

    def _make(self, day: int) -> Array:
        minutes = np.arange(day * MINUTES_A_DAY, (day + 1) * MINUTES_A_DAY, dtype=np.float64)
        hours = (minutes - self._first) / 60
        if hours[0] < 0 or hours[-1] > self._outdoor.size - 1:
            begin = datetime.fromtimestamp(self._first * 60, UTC)
            raise LookupError(
                f"no weather for {datetime.fromtimestamp(day * 86400, UTC):%Y-%m-%d}; "
                f"the series has {self._outdoor.size // 24} days from {begin:%Y-%m-%d}"
            )
        knots = np.arange(self._outdoor.size)
        where = sun.position(minutes, latitude=self._location.latitude, longitude=self._location.longitude)
        horizontal = sun.clouded(sun.clear_sky(where), np.interp(hours, knots, self._cover))
        direct, diffuse = sun.split(horizontal, where)
        block = np.empty((MINUTES_A_DAY, len(Column)))
        block[:, Column.OUTDOOR] = np.interp(hours, knots, self._outdoor)
        block[:, Column.WIND] = np.interp(hours, knots, self._wind)
        block[:, Column.HORIZONTAL] = horizontal
        surfaces = {Column.NORTH: (90, 0), Column.EAST: (90, 90), Column.SOUTH: (90, 180), Column.WEST: (90, 270)}
        for column, (tilt, azimuth) in {**surfaces, Column.PV: self._pv}.items():
            block[:, column] = sun.on_surface(
                where, horizontal=horizontal, direct=direct, diffuse=diffuse, tilt_deg=tilt, azimuth_deg=azimuth
            )
        return block
