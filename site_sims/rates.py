"""What a kilowatt-hour costs at a minute, by the site's tariffs."""

from collections import OrderedDict
from collections.abc import Sequence
from enum import StrEnum

from config.site import Fuel, Tariff
from config.tariff import Rates as Prices
from config.tariff import price_bins
from site_sims.weather import MINUTES_A_DAY

KEPT_DAYS = 64


class TariffBand(StrEnum):
    """How a rate lies to the tariff's ordinary one."""

    NIGHT = "night"  # cheaper
    DAY = "day"
    PEAK = "peak"  # dearer


class Rates:
    """Rates of a site by UTC minute since 1970. Raises LookupError for a fuel without a tariff."""

    def __init__(self, tariffs: Sequence[Tariff], timezone: str) -> None:
        self._tariffs = {tariff.fuel: tariff for tariff in tariffs}
        self._timezone = timezone
        self._days: OrderedDict[tuple[Fuel, int], Prices] = OrderedDict()

    def tariff(self, fuel: Fuel) -> Tariff:
        if fuel not in self._tariffs:
            raise LookupError(f"no tariff for {fuel.value}")
        return self._tariffs[fuel]

    def day(self, fuel: Fuel, day: int) -> Prices:
        """(1440,) rates of one UTC day."""
        rates = self._days.get((fuel, day))
        if rates is None:
            rates = price_bins(self.tariff(fuel), day * 86400, 60, MINUTES_A_DAY, self._timezone)
            self._days[fuel, day] = rates
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
