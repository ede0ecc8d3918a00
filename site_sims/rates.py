"""What a kilowatt-hour costs at a minute, by the site's tariffs in local time."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from config.site import Fuel, Tariff, Weekday
from site_sims.weather import MINUTES_A_DAY

KEPT_DAYS = 64
WEEKDAYS = tuple(Weekday)


class TariffBand(StrEnum):
    """How a rate lies to the tariff's ordinary one."""

    NIGHT = "night"  # cheaper
    DAY = "day"
    PEAK = "peak"  # dearer


def rate_at(tariff: Tariff, local: datetime) -> float:
    """Rate in force at a local time; the first period that holds it wins."""
    at, weekday = local.time(), WEEKDAYS[local.weekday()]
    for period in tariff.periods:
        over_midnight = period.end <= period.start
        inside = (at >= period.start or at < period.end) if over_midnight else (period.start <= at < period.end)
        if inside and weekday in period.days:
            return period.rate
    return tariff.rate


class Rates:
    """Rates of a site by UTC minute. Raises LookupError for a fuel without a tariff."""

    def __init__(self, tariffs: Sequence[Tariff], timezone: str) -> None:
        self._tariffs = {tariff.fuel: tariff for tariff in tariffs}
        self._zone = ZoneInfo(timezone)
        self._days: OrderedDict[tuple[Fuel, int], NDArray[np.float64]] = OrderedDict()

    def tariff(self, fuel: Fuel) -> Tariff:
        if fuel not in self._tariffs:
            raise LookupError(f"no tariff for {fuel.value}")
        return self._tariffs[fuel]

    def day(self, fuel: Fuel, day: int) -> NDArray[np.float64]:
        """(1440,) rates of one UTC day, counted from 1970."""
        rates = self._days.get((fuel, day))
        if rates is None:
            tariff, first = self.tariff(fuel), day * 86400
            fives = [  # periods begin and end on whole five minutes in every tariff we know
                rate_at(tariff, datetime.fromtimestamp(first + second, self._zone)) for second in range(0, 86400, 300)
            ]
            rates = self._days[fuel, day] = np.repeat(fives, 5)
            if len(self._days) > KEPT_DAYS:
                self._days.popitem(last=False)
        return rates

    def at(self, fuel: Fuel, minute: int) -> float:
        day, within = divmod(minute, MINUTES_A_DAY)
        return float(self.day(fuel, day)[within])

    def band(self, minute: int) -> TariffBand:
        """Of electricity."""
        rate, ordinary = self.at(Fuel.ELECTRICITY, minute), self.tariff(Fuel.ELECTRICITY).rate
        if rate < ordinary:
            return TariffBand.NIGHT
        return TariffBand.PEAK if rate > ordinary else TariffBand.DAY
