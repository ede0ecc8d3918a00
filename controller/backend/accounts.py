"""Energy, cost and carbon of days and half-hours from the store, in both ledgers, kept as long as they hold."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal

from config.localtime import day_bounds_s, local_date, utc
from config.site import Fuel
from controller.carbon.intensity import IntensityFile
from controller.carbon.intervals import read_accounts
from controller.carbon.ledger import Ledger
from controller.carbon.totals import Bill, Line, Statement
from controller.service import Service
from controller.web.view import CarbonView, Energy, Ledgers

DAYS = 8  # on the page, today included
SETTLED = timedelta(hours=7)  # after a day's end nothing of it changes any more


class Accounts:
    """The last days of one site. `renew` does the work; what it found last is answered from memory."""

    def __init__(self, service: Service, intensity: IntensityFile | None) -> None:
        self._service = service
        self._ledger = Ledger(service.site, intensity)
        self._intensity = intensity
        self._settled: dict[date, Energy] = {}
        self._busy = asyncio.Lock()
        self._today: tuple[Energy, tuple[Energy, ...]] | None = None
        self._made_at: datetime | None = None
        self.ledgers = Ledgers()

    @property
    def currency(self) -> str:
        tariffs = self._service.site.tariffs
        return tariffs[0].currency if tariffs else "GBP"

    def today(self, now: datetime) -> Energy:
        """Today so far, as last worked out; nothing before the first time."""
        if self._today is not None and self._today[0].end > utc(self._bounds(now)[0]):
            return self._today[0]
        start = utc(self._bounds(now)[0])
        return Energy(start=start, end=now, electricity_kwh=0.0, gas_kwh=0.0, cost=0.0, grid_kg=0.0, annual_kg=0.0)

    async def renew(self, now: datetime) -> None:
        """Work out today anew. Raises StoreError."""
        first, _ = self._bounds(now)
        async with self._busy:
            if now - utc(first) < timedelta(minutes=1):
                return
            bill = await self._bill(utc(first), now)
            self.ledgers = _named(bill, self.ledgers)
            self._today = self._energy(bill, utc(first), now), self._half_hours(bill)
            self._made_at = now

    async def view(self, now: datetime) -> CarbonView:
        """Today by half-hours and the days before it. Raises StoreError."""
        if self._made_at is None or now - self._made_at > timedelta(minutes=5):
            await self.renew(now)
        today = local_date(int(now.timestamp()), self._service.site.timezone)
        days = [
            (day, found) for n in range(DAYS - 1, 0, -1) if (found := await self._day(day := today - timedelta(n), now))
        ]
        energy, half_hours = self._today or (self.today(now), ())
        return CarbonView(
            currency=self.currency,
            timezone=self._service.site.timezone,
            half_hours=half_hours,
            days=(*days, (today, energy)),
            ledgers=self.ledgers,
            sources=(*self._ledger_sources(), *self._feed_sources()),
        )

    def _ledger_sources(self) -> list[str]:
        return [part for name in (self.ledgers.grid, self.ledgers.annual) for part in name.split(" + ")]

    def _feed_sources(self) -> list[str]:
        """Whose forecasts the plans rest on, as their licences ask."""
        lines = [f"Forecasts: {origin.attribution}" for origin in self._service.feeds.origins()]
        return list(dict.fromkeys(lines))

    def _bounds(self, now: datetime) -> tuple[int, int]:
        zone = self._service.site.timezone
        return day_bounds_s(local_date(int(now.timestamp()), zone), zone)

    async def _day(self, day: date, now: datetime) -> Energy | None:
        """One past day; None if nothing is known of it."""
        if day in self._settled:
            return self._settled[day]
        start, end = (utc(at) for at in day_bounds_s(day, self._service.site.timezone))
        async with self._busy:
            bill = await self._bill(start, end)
        if not bill.imported.coverage.actual:
            return None
        energy = self._energy(bill, start, end)
        if now - end > SETTLED:
            self._settled[day] = energy
        return energy

    async def _bill(self, start: datetime, end: datetime) -> Bill:
        accounts = await read_accounts(self._service.store, self._service.site, start, end)
        return self._ledger.bill(accounts)

    def _energy(self, bill: Bill, start: datetime, end: datetime) -> Energy:
        covered = bill.imported.coverage
        return Energy(
            start=start,
            end=end,
            electricity_kwh=_kwh(bill, Fuel.ELECTRICITY),
            gas_kwh=_kwh(bill, Fuel.GAS),
            cost=float(bill.cost),
            grid_kg=float(bill.imported.grid.kg),
            annual_kg=float(bill.imported.annual.kg),
            pv_kwh=float(bill.pv.kwh),
            estimated_share=float(covered.estimated_share + covered.missing_share),
            intensity_g_per_kwh=self._mean_intensity(start, end),
        )

    def _half_hours(self, bill: Bill) -> tuple[Energy, ...]:
        rows: dict[tuple[datetime, datetime], list[tuple[Statement, Line]]] = defaultdict(list)
        for statement in bill.statements:
            for line in statement.lines:
                rows[line.start, line.end].append((statement, line))
        return tuple(self._half_hour(start, end, found) for (start, end), found in sorted(rows.items()))

    def _half_hour(self, start: datetime, end: datetime, found: list[tuple[Statement, Line]]) -> Energy:
        bought = [(s, line) for s, line in found if s.meter.main and not s.meter.export and s.meter.fuel is not Fuel.PV]
        paid = [line.cost for s, line in found if s.meter.export or (s.meter.main and s.meter.fuel is not Fuel.PV)]
        doubtful = sum(line.code != "A" for _, line in bought)
        return Energy(
            start=start,
            end=end,
            electricity_kwh=_sum(line.kwh for s, line in bought if s.meter.fuel is Fuel.ELECTRICITY),
            gas_kwh=_sum(line.kwh for s, line in bought if s.meter.fuel is Fuel.GAS),
            cost=_sum(paid),
            grid_kg=_sum(line.grid_kg for _, line in bought),
            annual_kg=_sum(line.annual_kg for _, line in bought),
            pv_kwh=_sum(line.kwh for s, line in found if s.meter.fuel is Fuel.PV),
            estimated_share=doubtful / len(bought) if bought else 0.0,
            intensity_g_per_kwh=self._mean_intensity(start, end),
        )

    def _mean_intensity(self, start: datetime, end: datetime) -> float | None:
        if self._intensity is None:
            return None
        starts = range(int(start.timestamp()), int(end.timestamp()), 1800)
        values, kinds = self._intensity.lookup(list(starts))
        known = [value for value, kind in zip(values.tolist(), kinds, strict=True) if kind is not None]
        return sum(known) / len(known) if known else None


def _kwh(bill: Bill, fuel: Fuel) -> float:
    totals = bill.by_fuel.get(fuel)
    return 0.0 if totals is None else float(totals.kwh)


def _sum(values: Iterable[Decimal | None]) -> float:
    return float(sum((value for value in values if value is not None), Decimal(0)))


def _named(bill: Bill, before: Ledgers) -> Ledgers:
    """The ledgers by their full names, once they are known."""
    return Ledgers(grid=bill.imported.grid.ledger or before.grid, annual=bill.imported.annual.ledger or before.annual)
