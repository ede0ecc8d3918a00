"""What is expected: weather, carbon intensity and prices on the planner's grid, each with its making time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from config.intensity import Basis
from config.roles import Role
from config.site import Fuel, Site
from config.tariff import export_series, price_series
from controller.carbon.intensity import IntensityFile
from controller.events import Cause, Trigger
from controller.history import STEP, History
from controller.hub import Hub
from drivers.clock import Clock
from drivers.forecast import FRESH

Values = NDArray[np.float64]
TYPICAL_G_PER_KWH = 150.0  # used only when no intensity at all is configured; every plan then says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A forecast on the grid asked for."""

    values: Values
    made_at: datetime
    source: str
    basis: Basis | None = None  # what grams count; None = no intensity, or not stated
    errors: Values | None = None  # mean absolute error to expect of each step; None = never measured

    def is_stale(self, now: datetime) -> bool:
        return now - self.made_at > FRESH


class Outlook(Protocol):
    """Where forecasts come from: feeds in the field, a seeded error model in simulation."""

    def outdoor_degc(self, start: datetime, step: timedelta, steps: int) -> Expected: ...

    def solar_kw_m2(self, start: datetime, step: timedelta, steps: int) -> Expected: ...

    def intensity_g_per_kwh(self, start: datetime, step: timedelta, steps: int) -> Expected: ...

    def issued(self) -> Mapping[Cause, datetime]:
        """When the forecasts in force were made, by what a new one is a cause of; empty without feeds."""
        ...


class LocalOutlook:
    """Without any feed: the building's own last day repeated, and the stored intensity file if there is one."""

    def __init__(self, site: Site, history: History, intensity: IntensityFile | None) -> None:
        self._history, self._intensity = history, intensity
        self._outdoor = next((p.id for p in site.by_role(Role.OUTDOOR_TEMPERATURE)), None)
        self._solar = next((p.id for p in site.by_role(Role.SOLAR_IRRADIANCE)), None)

    def _yesterday(self, point: str | None, start: datetime, step: timedelta, steps: int, default: float) -> Expected:
        day = int(timedelta(days=1) / STEP)
        end = self._history.end
        column = np.array([]) if point is None else self._history.column(point, day)
        known = column[~np.isnan(column)]
        if end is None or point is None or not len(known):
            return Expected(values=np.full(steps, default), made_at=datetime.min.replace(tzinfo=UTC), source="none")
        column = np.where(np.isnan(column), known.mean(), column)
        first = end - len(column) * STEP
        index = [int((start + n * step - first) / STEP) % len(column) for n in range(steps)]
        return Expected(values=column[index], made_at=end, source="the last day repeated")

    def outdoor_degc(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return self._yesterday(self._outdoor, start, step, steps, 8.0)

    def solar_kw_m2(self, start: datetime, step: timedelta, steps: int) -> Expected:
        found = self._yesterday(self._solar, start, step, steps, 0.0)
        return Expected(values=found.values / 1000.0, made_at=found.made_at, source=found.source)

    def intensity_g_per_kwh(self, start: datetime, step: timedelta, steps: int) -> Expected:
        try:
            values = None if self._intensity is None else self._intensity.forecast_g_per_kwh(start, step, steps)
        except LookupError:  # the file does not reach these days
            values = None
        if self._intensity is None or values is None:
            flat = np.full(steps, TYPICAL_G_PER_KWH)
            return Expected(values=flat, made_at=datetime.min.replace(tzinfo=UTC), source="none")
        return Expected(values=values, made_at=start, source=self._intensity.source, basis=self._intensity.basis)

    def issued(self) -> Mapping[Cause, datetime]:
        return {}


class PriceFeed(Protocol):
    """Half-hourly import prices from outside."""

    def import_price(self, start: datetime, step: timedelta, steps: int) -> Expected | None:
        """Currency per kWh, NaN where no price is known; None if the site has no such feed."""
        ...


class Prices:
    """Import, export and gas prices: the site file's tariffs, or a newer series put in their place."""

    def __init__(self, site: Site, *, clock: Clock, triggers: Hub[Trigger], feed: PriceFeed | None = None) -> None:
        self._clock, self._triggers, self._feed = clock, triggers, feed
        self._tariffs = {tariff.fuel: tariff for tariff in site.tariffs}
        self._timezone = site.timezone
        self._changes: list[tuple[datetime, datetime, float]] = []

    def replace(self, start: datetime, end: datetime, rate: float) -> None:
        """From now on electricity costs `rate` (currency per kWh) in [start, end); that is a reason to plan again."""
        self._changes.append((start, end, rate))
        text = f"electricity costs {rate:.2f} from {start:%H:%M} to {end:%H:%M} UTC"
        self._triggers.publish(Trigger(cause=Cause.PRICE, text=text, time=self._clock.now()))

    def electricity(self, start: datetime, step: timedelta, steps: int) -> Values:
        """Import price in currency per kWh."""
        return self.expected(start, step, steps).values

    def expected(self, start: datetime, step: timedelta, steps: int) -> Expected:
        """Import price with its source: a feed's, and where that knows none the site file's tariff."""
        values, told = self._series(Fuel.ELECTRICITY, start, step, steps), None
        if self._feed is not None:
            told = self._feed.import_price(start, step, steps)
        if told is not None:
            values = np.where(np.isnan(told.values), values, told.values)
        for begin, end, rate in self._changes:
            for n in range(steps):
                if begin <= start + n * step < end:
                    values[n] = rate
        if told is None:
            return Expected(values=values, made_at=start, source="the site file's tariff")
        return replace(told, values=values)

    def export(self, start: datetime, step: timedelta, steps: int) -> Values:
        tariff = self._tariffs.get(Fuel.ELECTRICITY)
        return np.zeros(steps) if tariff is None else export_series(tariff, start, step, steps, self._timezone)

    def gas(self, start: datetime, step: timedelta, steps: int) -> Values:
        return self._series(Fuel.GAS, start, step, steps)

    def _series(self, fuel: Fuel, start: datetime, step: timedelta, steps: int) -> Values:
        tariff = self._tariffs.get(fuel)
        if tariff is None:
            return np.zeros(steps)
        return np.array(price_series(tariff, start, step, steps, self._timezone), dtype=float)


def words(expected: Sequence[tuple[str, Expected]], now: datetime) -> str:
    """Which forecasts are too old, in words; empty if none."""
    return ", ".join(f"{name} from {item.source}" for name, item in expected if item.is_stale(now))
