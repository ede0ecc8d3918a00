"""What the site's feeds expect, on the planner's grid: the last good word, then what is usual, and how old that is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from config.roles import Role
from config.site import Device, Site
from controller.events import Cause
from controller.history import STEP, STEP_S, History
from controller.outlook import Expected, Outlook, Values
from controller.supervisor import Link
from drivers.base import Can
from drivers.forecast import Origin, PointForecast
from drivers.registry import driver_class

USUAL = timedelta(days=7)  # what is usual at an hour is its mean over so long
CAUSES = {
    Role.CARBON_INTENSITY: Cause.CARBON,
    Role.ELECTRICITY_PRICE: Cause.PRICE,
    Role.TEMPERATURE_FORECAST: Cause.WEATHER,
    Role.SOLAR_FORECAST: Cause.WEATHER,
}
_NEVER = datetime.min.replace(tzinfo=UTC)
_W_PER_KW = 1000.0

Ask = Callable[[datetime, timedelta, int], Expected]


class Feeds:
    """The feed devices of a site and their newest forecasts, found by role; the first of a role counts."""

    def __init__(self, site: Site, links: Mapping[str, Link]) -> None:
        self._links = [links[device.id] for device in site.devices if is_feed(device)]
        self._roles = {point.id: point.role for link in self._links for point in link.device.points}

    @property
    def links(self) -> list[Link]:
        """The feeds, in file order."""
        return list(self._links)

    def provides(self, role: Role) -> bool:
        """Whether there is a feed for it, whether or not it has said anything yet."""
        return role in self._roles.values()

    def newest(self, role: Role) -> PointForecast | None:
        """What is known of the first point of a role; None if nothing was ever said of one."""
        return next((forecast for forecast in self._all() if self._roles[forecast.point] is role), None)

    def issued(self) -> Mapping[Cause, datetime]:
        """When the newest forecasts were first said, by what a new one is a cause of."""
        found: dict[Cause, datetime] = {}
        for role, cause in CAUSES.items():
            if (forecast := self.newest(role)) is not None:
                found[cause] = max(forecast.issued_at, found.get(cause, _NEVER))
        return found

    def origins(self) -> tuple[Origin, ...]:
        """Whose words are used, each once: what pages and reports have to name."""
        return tuple(dict.fromkeys(forecast.origin for forecast in self._all()))

    def import_price(self, start: datetime, step: timedelta, steps: int) -> Expected | None:
        """Currency per kWh, NaN where no price is known; None if there is no feed of prices."""
        if not self.provides(Role.ELECTRICITY_PRICE):
            return None
        forecast = self.newest(Role.ELECTRICITY_PRICE)
        if forecast is None:
            source = "the site file's tariff, as the feed has said nothing yet"
            return Expected(values=np.full(steps, np.nan), made_at=_NEVER, source=source)
        values = on_grid(forecast, start, step, steps, smooth=False)
        made_at = min(forecast.checked_at, forecast.end)
        return Expected(values=values, made_at=made_at, source=forecast.origin.source)

    def _all(self) -> Iterator[PointForecast]:
        for link in self._links:
            yield from link.forecasts


class FeedOutlook:
    """Forecasts of the feeds; of what no feed speaks, another outlook's."""

    def __init__(self, feeds: Feeds, otherwise: Outlook, history: History) -> None:
        self._feeds, self._otherwise, self._history = feeds, otherwise, history

    def outdoor_degc(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return self._expected(Role.TEMPERATURE_FORECAST, start, step, steps, self._otherwise.outdoor_degc)

    def solar_kw_m2(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return self._expected(Role.SOLAR_FORECAST, start, step, steps, self._otherwise.solar_kw_m2, scale=1 / _W_PER_KW)

    def intensity_g_per_kwh(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return self._expected(Role.CARBON_INTENSITY, start, step, steps, self._otherwise.intensity_g_per_kwh)

    def issued(self) -> Mapping[Cause, datetime]:
        theirs = {cause for role, cause in CAUSES.items() if self._feeds.provides(role)}
        others = {cause: when for cause, when in self._otherwise.issued().items() if cause not in theirs}
        return {**others, **self._feeds.issued()}

    def _expected(
        self, role: Role, start: datetime, step: timedelta, steps: int, ask: Ask, *, scale: float = 1.0
    ) -> Expected:
        if not self._feeds.provides(role):
            return ask(start, step, steps)
        forecast = self._feeds.newest(role)
        if forecast is None:
            other = ask(start, step, steps)
            return replace(other, made_at=_NEVER, source=f"{other.source}, as the feed has said nothing yet")
        values = scale * on_grid(forecast, start, step, steps, smooth=role is not Role.CARBON_INTENSITY)
        errors = None
        if forecast.errors is not None:
            told = replace(forecast, values=tuple(forecast.errors))
            errors = scale * on_grid(told, start, step, steps, smooth=False)
        expected = Expected(
            values=values,
            made_at=min(forecast.checked_at, forecast.end),
            source=forecast.origin.source,
            basis=forecast.origin.basis,
            errors=errors,
        )
        if np.isnan(values).any():
            return self._filled(expected, forecast.point, start, step, scale=scale, ask=ask)
        return expected

    def _filled(
        self, known: Expected, point: str, start: datetime, step: timedelta, *, scale: float, ask: Ask
    ) -> Expected:
        """Where the forecast ends, what is usual at that hour; before anything is usual, another outlook's word."""
        steps, gaps = len(known.values), np.isnan(known.values)
        usual = scale * self._usual(point, start, step, steps)
        what = "what is usual then"
        if np.isnan(usual[gaps]).any():
            other = ask(start, step, steps)
            if other.source != "none" and other.basis == known.basis:  # grams of another kind are never mixed in
                usual, what = np.where(np.isnan(usual), other.values, usual), other.source
        values = np.where(gaps, usual, known.values)
        if np.isnan(values).all():
            return replace(ask(start, step, steps), made_at=_NEVER)
        left = np.isnan(values)
        values[left] = np.interp(np.flatnonzero(left), np.flatnonzero(~left), values[~left])
        return replace(known, values=values, source=known.source if not gaps[0] else f"{what}, after {known.source}")

    def _usual(self, point: str, start: datetime, step: timedelta, steps: int) -> Values:
        """Means by time of day over the last week of what this feed said of the moment; NaN if it said nothing then."""
        day = int(timedelta(days=1) / STEP)
        end, column = self._history.end, self._history.column(point, int(USUAL / STEP))
        if end is None or not len(column):
            return np.full(steps, np.nan)
        last = int(end.timestamp() // STEP_S)
        slots = np.arange(last - len(column), last) % day
        known = ~np.isnan(column)
        count = np.bincount(slots[known], minlength=day)
        total = np.bincount(slots[known], weights=column[known], minlength=day)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        wanted = [int((start + n * step).timestamp() // STEP_S) % day for n in range(steps)]
        found: Values = mean[wanted]
        return found


def is_feed(device: Device) -> bool:
    """Whether a device's driver knows the future, so that its points are said by others and not measured."""
    try:
        return Can.FORECAST in driver_class(device.driver).can
    except LookupError:
        return False


def on_grid(forecast: PointForecast, start: datetime, step: timedelta, steps: int, *, smooth: bool) -> Values:
    """The forecast at `steps` steps from `start`; NaN where nothing was said.

    Smooth quantities run on straight lines between the middles of the forecast's intervals, others stay as they are
    over each interval.
    """
    values = np.array([np.nan if value is None else value for value in forecast.values])
    middles = np.array([(start + (n + 0.5) * step - forecast.start) / forecast.step for n in range(steps)])
    index = np.floor(middles).astype(int)
    inside = (index >= 0) & (index < len(values))
    held: Values = np.where(inside, values[np.clip(index, 0, len(values) - 1)], np.nan)
    if not smooth:
        return held
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return held
    lines = np.interp(middles, known + 0.5, values[known])
    return np.where(np.isnan(held), np.nan, lines)
