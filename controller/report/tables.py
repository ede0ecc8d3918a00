"""What a report says, as tables: energy, cost and carbon by building and fuel, with ledgers and sources."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from config.factors import BOUGHT, EmissionFactor, FactorTable
from config.intensity import Basis
from config.localtime import epoch_s, local_date
from config.site import Exchange, Fuel, Meter, MeterKind, Site
from config.units import Unit
from controller.carbon.intensity import IntensityFile
from controller.carbon.intervals import Account
from controller.carbon.ledger import Ledger
from controller.carbon.totals import EMPTY, ZERO, Line, Statement, Totals
from controller.report.period import Period
from controller.report.sources import Metered, Sources


class Flow(StrEnum):
    """Which way the energy went."""

    BOUGHT = "bought"
    EXPORTED = "exported"  # listed apart and never netted
    GENERATED = "generated"  # on site, counted as zero carbon


@dataclass(frozen=True, slots=True, kw_only=True)
class RateShare:
    """Energy charged at one rate of the tariff."""

    rate: Decimal  # currency per kWh
    kwh: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorShare:
    """Energy counted with one official factor."""

    factor: EmissionFactor
    kwh: Decimal
    kg: Decimal  # kgCO2e


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One fuel of one building, one way."""

    building: str
    fuel: Fuel
    flow: Flow
    totals: Totals
    rates: tuple[RateShare, ...]  # rising
    factors: tuple[FactorShare, ...]  # by year; none where energy counts as zero

    @property
    def scope(self) -> str:
        """Of the annual ledger; empty where energy counts as zero."""
        return self.factors[0].factor.scope if self.factors else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a supply costs however little is used."""

    fuel: Fuel
    per_day: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEntry:
    """One meter: what it counted, from which register to which, and when it was exchanged."""

    meter: Meter
    building: str
    unit: Unit
    totals: Totals
    opening: tuple[datetime, float] | None  # first good register of the period; None = none, or no register
    closing: tuple[datetime, float] | None
    exchanges: tuple[Exchange, ...]  # within the period


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A period of one site. Sums are of unrounded parts."""

    site: str
    name: str
    timezone: str
    buildings: Mapping[str, str]  # id -> name
    currency: str
    period: Period
    half_hours: int
    entries: tuple[Entry, ...]  # by building, in file order
    standing: tuple[Standing, ...]
    meters: tuple[MeterEntry, ...]
    intensity: Basis | None  # None = no half-hourly ledger
    factor_year: int | None  # None = each kWh at the factor of its own calendar year
    priced: int  # half-hours of electricity at the price of a feed, not of the tariff
    sources: Sources

    def sum(self, *, building: str | None = None, fuel: Fuel | None = None) -> Totals:
        """Bought energy of a building, a fuel, or all of it."""
        chosen = (
            entry.totals
            for entry in self.entries
            if entry.flow is Flow.BOUGHT
            and (building is None or entry.building == building)
            and (fuel is None or entry.fuel is fuel)
        )
        return sum(chosen, EMPTY)

    @property
    def scopes(self) -> Mapping[str, Decimal]:
        """Kilograms of CO2e by scope, in the annual ledger."""
        found: dict[str, Decimal] = {}
        for entry in self.entries:
            if entry.scope:
                found[entry.scope] = found.get(entry.scope, ZERO) + entry.totals.annual.kg
        return dict(sorted(found.items()))

    @property
    def exported(self) -> Decimal:
        """What export brought, as a cost: nought or negative."""
        return sum((entry.totals.cost for entry in self.entries if entry.flow is Flow.EXPORTED), ZERO)

    @property
    def cost(self) -> Decimal:
        """Energy and standing charges less what export brought."""
        return self.sum().cost + self.exported + sum((one.cost for one in self.standing), ZERO)


def check_factors(site: Site, years: Sequence[int], factors: FactorTable) -> None:
    """Raises UnknownFactor if energy that the site buys in these years has no official factor."""
    for fuel in dict.fromkeys(meter.fuel for meter in site.meters if flow_of(meter) is Flow.BOUGHT):
        for year in [site.carbon.factor_year] if site.carbon.factor_year else years:
            factors.factor(BOUGHT[fuel], year)


def make_report(
    site: Site,
    period: Period,
    metered: Sequence[Metered],
    *,
    intensity: IntensityFile | None,
    factors: FactorTable,
    sources: Sources,
    prices: Mapping[int, Decimal] | None = None,
) -> Report:
    """Everything the report says; `metered` holds every meter of the site, `prices` those of a feed.

    Raises UnknownFactor.
    """
    check_factors(site, period.years, factors)
    bill = Ledger(site, intensity, factors, prices=prices).bill([one.account for one in metered])
    statements = {one.meter.id: one for one in bill.statements}
    return Report(
        site=site.id,
        name=site.name,
        timezone=site.timezone,
        buildings={building.id: building.name for building in site.buildings},
        currency=bill.currency,
        period=period,
        half_hours=len(metered[0].account.intervals),
        entries=tuple(_entries(site, bill.statements, factors)),
        standing=tuple(_standing(site, metered[0].account)),
        meters=tuple(_meter(site, one, statements[one.account.meter.id], period) for one in metered),
        intensity=None if intensity is None else intensity.basis,
        factor_year=site.carbon.factor_year,
        priced=sum(period.start.timestamp() <= at < period.end.timestamp() for at in prices or ()),
        sources=sources,
    )


def building_of(meter: Meter) -> str:
    """The building a meter's point belongs to."""
    return meter.point.split(".", 1)[0]


def flow_of(meter: Meter) -> Flow | None:
    """Which way a meter counts; None for a sub-meter, whose energy its main meter counts."""
    if meter.export:
        return Flow.EXPORTED
    if meter.fuel is Fuel.PV:
        return Flow.GENERATED
    return Flow.BOUGHT if meter.main else None


def _entries(site: Site, statements: Sequence[Statement], factors: FactorTable) -> Iterator[Entry]:
    for building in site.buildings:
        groups: dict[tuple[Flow, Fuel], list[Statement]] = {}
        for one in statements:
            flow = flow_of(one.meter)
            if flow is not None and building_of(one.meter) == building.id:
                groups.setdefault((flow, one.meter.fuel), []).append(one)
        for flow, fuel in sorted(groups, key=lambda key: list(Flow).index(key[0])):
            found = groups[flow, fuel]
            lines = [line for one in found for line in one.lines if line.kwh is not None]
            yield Entry(
                building=building.id,
                fuel=fuel,
                flow=flow,
                totals=sum((one.totals for one in found), EMPTY),
                rates=tuple(_rates(lines)),
                factors=tuple(_factors(site, fuel, lines, factors)) if flow is Flow.BOUGHT else (),
            )


def _rates(lines: Sequence[Line]) -> Iterator[RateShare]:
    shares: dict[Decimal, tuple[Decimal, Decimal]] = {}
    for line in lines:
        if line.rate is not None and line.kwh is not None and line.cost is not None:
            kwh, cost = shares.get(line.rate, (ZERO, ZERO))
            shares[line.rate] = kwh + line.kwh, cost + line.cost
    for rate, (kwh, cost) in sorted(shares.items()):
        yield RateShare(rate=rate, kwh=kwh, cost=cost)


def _factors(site: Site, fuel: Fuel, lines: Sequence[Line], factors: FactorTable) -> Iterator[FactorShare]:
    shares: dict[int, tuple[Decimal, Decimal]] = {}
    for line in lines:
        year = site.carbon.factor_year or local_date(epoch_s(line.start), site.timezone).year
        kwh, kg = shares.get(year, (ZERO, ZERO))
        shares[year] = kwh + (line.kwh or ZERO), kg + (line.annual_kg or ZERO)
    for year, (kwh, kg) in sorted(shares.items()):
        yield FactorShare(factor=factors.factor(BOUGHT[fuel], year), kwh=kwh, kg=kg)


def _standing(site: Site, account: Account) -> Iterator[Standing]:
    """By fuel: the ledger's own sum, taken with one tariff at a time."""
    for tariff in site.tariffs:
        if tariff.standing_charge_per_day:
            alone = Ledger(site.model_copy(update={"tariffs": (tariff,)}), None)
            per_day = Decimal(str(tariff.standing_charge_per_day))
            yield Standing(fuel=tariff.fuel, per_day=per_day, cost=alone.bill([account]).standing)


def _meter(site: Site, metered: Metered, statement: Statement, period: Period) -> MeterEntry:
    meter = metered.account.meter
    register = meter.kind is MeterKind.REGISTER
    return MeterEntry(
        meter=meter,
        building=building_of(meter),
        unit=site.points[meter.point].unit,
        totals=statement.totals,
        opening=metered.opening if register else None,
        closing=metered.closing if register else None,
        exchanges=tuple(one for one in meter.exchanges if period.start <= one.time < period.end),
    )
