"""Half-hourly energy -> cost and carbon, in two ledgers that are never mixed.

The *annual* ledger takes the official factor of the year, in CO2e. The *half-hourly* ledger takes the grid's intensity
of each half-hour, and for gas the part of the factor that is of the same gas as that intensity. Export is listed apart
and never netted; what PV makes counts as zero. Every sum is exact in Decimal, so that parts add up to the whole.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache

import numpy as np

from config.factors import BOUGHT, EmissionFactor, FactorTable, UnknownFactor, official_factors
from config.intensity import Gas, Kind
from config.localtime import HALF_HOUR_S, epoch_s, local_date
from config.site import Fuel, Meter, Site
from config.tariff import price_bins
from controller.carbon.intensity import IntensityFile
from controller.carbon.intervals import Account
from controller.carbon.slots import coverage, slots_of_day
from controller.carbon.totals import EMPTY, ZERO, Bill, Line, Mass, Statement, Totals

GRAMS = Decimal(1000)
Factor = EmissionFactor | Decimal | None  # zero where energy counts as zero; None = unknown


class Ledger:
    """Turns accounts into statements and bills by the site's tariffs, factors and intensity.

    `prices` of imported electricity, by the second at which their half-hour begins, go before the tariff.
    """

    def __init__(
        self,
        site: Site,
        intensity: IntensityFile | None,
        factors: FactorTable | None = None,
        *,
        prices: Mapping[int, Decimal] | None = None,
    ) -> None:
        self._site, self._intensity, self._prices = site, intensity, prices or {}
        self._factors = factors if factors is not None else official_factors()
        self._tariffs = {tariff.fuel: tariff for tariff in site.tariffs}

    def statement(self, account: Account) -> Statement:
        """Lines and totals of one meter."""
        starts = [epoch_s(interval.start) for interval in account.intervals]
        annual = self._annual(account.meter, starts)
        lines = tuple(self._lines(account, starts, annual))
        return Statement(meter=account.meter, lines=lines, totals=self._totals(account.meter, lines, annual))

    def bill(self, accounts: Sequence[Account]) -> Bill:
        """The site's sums; accounts of one and the same period."""
        statements = tuple(self.statement(account) for account in accounts)
        bought: dict[Fuel, Totals] = {}
        exported = pv = EMPTY
        for one in statements:
            if one.meter.export:
                exported += one.totals
            elif one.meter.fuel is Fuel.PV:
                pv += one.totals
            elif one.meter.main:
                bought[one.meter.fuel] = bought.get(one.meter.fuel, EMPTY) + one.totals
        return Bill(
            currency=self._site.tariffs[0].currency if self._site.tariffs else "GBP",
            imported=sum(bought.values(), EMPTY),
            by_fuel=bought,
            exported=exported,
            pv=pv,
            standing=self._standing(statements[0].lines) if statements else ZERO,
            statements=statements,
        )

    def _lines(self, account: Account, starts: Sequence[int], annual: Sequence[Factor]) -> Iterator[Line]:
        rates = self._rates(account.meter, starts)
        grid, kinds = self._grid(account.meter, starts, annual)
        columns = zip(account.intervals, rates, annual, grid, kinds, strict=True)
        for interval, rate, factor, kg_per_kwh, kind in columns:
            kwh = interval.kwh
            yield Line(
                start=interval.start,
                end=interval.end,
                kwh=kwh,
                code=interval.code,
                rate=rate,
                cost=None if kwh is None or rate is None else kwh * rate,
                annual_kg=None if kwh is None or factor is None else kwh * _kg(factor),
                grid_kg=None if kwh is None or kg_per_kwh is None else kwh * kg_per_kwh,
                intensity_kind=kind,
            )

    def _rates(self, meter: Meter, starts: Sequence[int]) -> list[Decimal | None]:
        tariff = self._tariffs.get(meter.fuel)
        if meter.fuel is Fuel.PV:
            return [ZERO] * len(starts)
        if tariff is None or not starts:
            return [None] * len(starts)
        if meter.export:
            return [-Decimal(str(tariff.export_rate))] * len(starts)
        first = starts[0] // HALF_HOUR_S * HALF_HOUR_S
        steps = (starts[-1] - first) // HALF_HOUR_S + 1
        rates = [_exact(rate) for rate in price_bins(tariff, first, HALF_HOUR_S, steps, self._site.timezone).tolist()]
        if meter.fuel is not Fuel.ELECTRICITY or not self._prices:
            return list(rates)
        return [self._prices.get(first + n * HALF_HOUR_S, rate) for n, rate in enumerate(rates)]

    def _annual(self, meter: Meter, starts: Sequence[int]) -> list[Factor]:
        if meter.export or meter.fuel is Fuel.PV:
            return [ZERO] * len(starts)
        if not _counts(meter):
            return [None] * len(starts)
        fixed = self._site.carbon.factor_year
        years = [fixed or local_date(start, self._site.timezone).year for start in starts]
        known: dict[int, Factor] = {}
        for year in dict.fromkeys(years):
            try:
                known[year] = self._factors.factor(BOUGHT[meter.fuel], year)
            except UnknownFactor:
                known[year] = None
        return [known[year] for year in years]

    def _grid(
        self, meter: Meter, starts: Sequence[int], annual: Sequence[Factor]
    ) -> tuple[list[Decimal | None], list[Kind | None]]:
        """Kilograms per kWh in the half-hourly ledger, and how the intensity of each half-hour is known."""
        nothing: list[Kind | None] = [None] * len(starts)
        if meter.export or meter.fuel is Fuel.PV:
            return [ZERO] * len(starts), nothing
        if self._intensity is None or not _counts(meter):
            return [None] * len(starts), nothing
        if meter.fuel is Fuel.ELECTRICITY:
            grams, kinds = self._intensity.lookup(starts)
            exact = [None if np.isnan(g) else _exact(g) / GRAMS for g in grams.tolist()]
            return exact, kinds
        co2 = self._intensity.basis.gas is Gas.CO2
        return [_co2(factor) if co2 else None if factor is None else _kg(factor) for factor in annual], nothing

    def _totals(self, meter: Meter, lines: Sequence[Line], annual_factors: Sequence[Factor]) -> Totals:
        known = [line for line in lines if line.kwh is not None]
        kwh = _sum(line.kwh for line in known)
        annual = Mass(
            ledger=_annual_name(annual_factors),
            kg=_sum(line.annual_kg for line in known),
            estimated_kwh=ZERO,
            unknown_kwh=_sum(line.kwh for line in known if line.annual_kg is None and _counts(meter)),
        )
        guessed = (Kind.SUBSTITUTED, Kind.ESTIMATED, Kind.FORECAST)
        grid = Mass(
            ledger=self._grid_name(meter, annual_factors),
            kg=_sum(line.grid_kg for line in known),
            estimated_kwh=_sum(line.kwh for line in known if line.intensity_kind in guessed),
            unknown_kwh=_sum(line.kwh for line in known if line.grid_kg is None and _counts(meter)),
        )
        return Totals(
            kwh=kwh,
            cost=_sum(line.cost for line in known),
            unpriced_kwh=_sum(line.kwh for line in known if line.cost is None and _counts(meter)),
            annual=annual,
            grid=grid,
            coverage=coverage(line.code for line in lines),
        )

    def _grid_name(self, meter: Meter, annual: Sequence[Factor]) -> str:
        if self._intensity is None or meter.export or not _counts(meter):
            return ""
        if meter.fuel is Fuel.ELECTRICITY:
            return str(self._intensity.basis)
        name = _annual_name(annual)
        return name.replace("CO2e", "CO2") if self._intensity.basis.gas is Gas.CO2 else name

    def _standing(self, lines: Sequence[Line]) -> Decimal:
        """Standing charges of all tariffs, by the share of each local day that the lines cover."""
        charge = _sum(Decimal(str(tariff.standing_charge_per_day)) for tariff in self._site.tariffs)
        if not charge:
            return ZERO
        zone = self._site.timezone
        days: dict[date, int] = {}
        for line in lines:
            day = local_date(epoch_s(line.start), zone)
            days[day] = days.get(day, 0) + epoch_s(line.end) - epoch_s(line.start)
        return sum(
            (charge * covered / (len(slots_of_day(day, zone)) * HALF_HOUR_S) for day, covered in days.items()), ZERO
        )


def _annual_name(factors: Sequence[Factor]) -> str:
    known = {id(one): one for one in factors if isinstance(one, EmissionFactor)}
    return " + ".join(dict.fromkeys(f"{one.source}, CO2e" for one in known.values()))


def _counts(meter: Meter) -> bool:
    """Whether energy of this meter has a cost and carbon of its own: heat only if it is bought."""
    return meter.fuel in BOUGHT and (meter.fuel is not Fuel.HEAT or meter.main)


def _kg(factor: EmissionFactor | Decimal) -> Decimal:
    return factor.kg_per_kwh if isinstance(factor, EmissionFactor) else factor


def _co2(factor: Factor) -> Decimal | None:
    return factor.co2_per_kwh if isinstance(factor, EmissionFactor) else factor


@lru_cache(maxsize=4096)
def _exact(value: float) -> Decimal:
    """The number as it was written, not its binary neighbour."""
    return Decimal(str(round(value, 9)))


def _sum(values: Iterable[Decimal | None]) -> Decimal:
    return sum((value for value in values if value is not None), ZERO)
