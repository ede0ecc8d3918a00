"""What a controller is told of the future: the truth with realistic errors that shrink as the time comes nearer.

Every issue revises the one before (martingale model of forecast evolution, Heath and Jackson 1994): the error at a
lead is the sum of the revisions still to come, so it is nought when the hour arrives, grows with the lead, and two
issues an hour apart agree almost everywhere. Everything is a function of seed, issue time and valid time.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.intensity import NESO
from controller.carbon.intensity import IntensityFile, read_intensity
from optimiser.problem import Forecast, Series
from site_sims.weather import Column, Weather, minute_of

Array = NDArray[np.float64]

INTENSITY = Path(__file__).parent / "data" / "gb_carbon_intensity_2023.csv"
KEPT_REVISIONS = 600

Blur = Callable[[Array], Array]  # errors -> what is told


@dataclass(frozen=True, slots=True)
class Growth:
    """How an error grows: standard deviation of one revision by lead, and how alike neighbouring leads are revised."""

    stream: int
    every_min: int  # minutes between issues, and between leads
    leads: int
    first: float  # standard deviation of the revision made just before the time itself
    settles: float  # leads over which the revisions die away to `floor` times the first
    floor: float
    alike: float = 0.9

    def spread(self) -> Array:
        """Standard deviation of each lead's revision."""
        lead = np.arange(self.leads)
        return np.asarray(self.first * np.sqrt(self.floor + (1 - self.floor) * np.exp(-lead / self.settles)))


TEMPERATURE = Growth(stream=11, every_min=60, leads=54, first=0.40, settles=6.0, floor=0.09)  # K; about 1 K at 24 h
SOLAR = Growth(stream=12, every_min=60, leads=54, first=0.13, settles=8.0, floor=0.10)  # of the logarithm
CARBON = Growth(stream=13, every_min=30, leads=108, first=10.1, settles=8.0, floor=0.08)  # g; 25 g mean over 48 h


class _Errors:
    """Forecast minus truth, by issue and lead."""

    def __init__(self, growth: Growth, *, seed: int) -> None:
        self._growth, self._seed, self._spread = growth, seed, growth.spread()
        self._made: OrderedDict[int, Array] = OrderedDict()

    def of(self, issue: int) -> Array:
        """(leads,) errors of the issue with this number, at whole leads from 0."""
        error = np.zeros(self._growth.leads)
        for ahead in range(1, self._growth.leads):
            error[ahead:] += self._revision(issue + ahead)[: self._growth.leads - ahead]
        return error

    def _revision(self, issue: int) -> Array:
        """(leads,) what this issue changes, the nearest lead first."""
        found = self._made.get(issue)
        if found is None:
            growth = self._growth
            shocks = np.random.default_rng([self._seed, growth.stream, issue]).standard_normal(growth.leads)
            path, level = np.empty(growth.leads), shocks[0]
            for lead, shock in enumerate(shocks):
                level = growth.alike * level + np.sqrt(1 - growth.alike**2) * shock if lead else level
                path[lead] = level
            found = self._made[issue] = path * self._spread
            if len(self._made) > KEPT_REVISIONS:
                self._made.popitem(last=False)
        return found


class Forecasts:
    """Forecasts for one building: weather issued hourly, carbon intensity half-hourly, to 48 h ahead and a little more.

    Each method gives the forecast in force at `now`, for `steps` steps from `start` (UTC). Raises LookupError beyond
    the data and ValueError beyond the horizon.
    """

    def __init__(self, weather: Weather, *, seed: int, intensity: IntensityFile | None = None) -> None:
        self._weather = weather
        self.intensity = intensity or read_intensity(INTENSITY)
        self._errors = {growth.stream: _Errors(growth, seed=seed) for growth in (TEMPERATURE, SOLAR, CARBON)}
        self._kept: dict[int, tuple[int, Array]] = {}

    def outdoor(self, now: datetime, *, start: datetime, steps: int, step: timedelta) -> Forecast:
        """Outdoor temperature, degC."""
        true = self._mean(Column.OUTDOOR, start, steps, step)
        return self._forecast(
            TEMPERATURE, now, start=start, step=step, unit="degC", steps=steps, blur=lambda error: true + error
        )

    def solar(self, now: datetime, *, start: datetime, steps: int, step: timedelta) -> Forecast:
        """Irradiance on the horizontal, kW/m2."""
        true = self._mean(Column.HORIZONTAL, start, steps, step) / 1000
        spread = float(np.sqrt((SOLAR.spread() ** 2).mean() * 24))

        def blur(error: Array) -> Array:
            return np.asarray(true * np.exp(error - spread**2 / 2).clip(0.25, 2.5))

        return self._forecast(SOLAR, now, start=start, step=step, unit="kW/m2", steps=steps, blur=blur)

    def carbon(self, now: datetime, *, start: datetime, steps: int, step: timedelta) -> Forecast:
        """Grid carbon intensity, gCO2/kWh; the last half-hour known stands for what lies beyond the data."""
        known_until = self.intensity.span[1] - timedelta(minutes=CARBON.every_min)
        true = self.intensity.actual_g_per_kwh(min(start, known_until), step, steps)

        def blur(error: Array) -> Array:
            return np.maximum(true + error, 0.0)

        return self._forecast(CARBON, now, start=start, step=step, unit="g/kWh", steps=steps, blur=blur)

    def _mean(self, column: Column, start: datetime, steps: int, step: timedelta) -> Array:
        minutes = int(step.total_seconds()) // 60
        first = minute_of(start)
        rows = self._weather.between(first, first + steps * minutes)[:, column]
        return np.asarray(rows.reshape(steps, minutes).mean(axis=1))

    def _forecast(
        self, growth: Growth, now: datetime, *, start: datetime, step: timedelta, unit: str, blur: Blur, steps: int
    ) -> Forecast:
        issue = minute_of(now) // growth.every_min
        kept = self._kept.get(growth.stream)
        if kept is None or kept[0] != issue:
            kept = self._kept[growth.stream] = issue, self._errors[growth.stream].of(issue)
        middle = minute_of(start) + (np.arange(steps) + 0.5) * step.total_seconds() / 60
        leads = np.maximum(middle / growth.every_min - issue, 0.0)
        if leads[-1] > growth.leads - 1:
            raise ValueError(f"a forecast reaches {growth.leads * growth.every_min // 60} h, {leads[-1]:.0f} asked")
        values = blur(np.interp(leads, np.arange(growth.leads), kept[1]))
        made_at = datetime.fromtimestamp(issue * growth.every_min * 60, UTC)
        series = Series(start=start, step=step, unit=unit, values=tuple(values.tolist()))
        source = f"{NESO}, with simulated forecast error" if growth is CARBON else "simulated weather forecast"
        return Forecast(series=series, made_at=made_at, source=source)
