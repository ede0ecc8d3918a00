"""A report for people at a terminal: rounded half up, sums of unrounded parts."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from io import StringIO
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from config.intensity import Gas
from config.units import Unit
from controller.carbon.intervals import NEAR_S
from controller.carbon.slots import Coverage
from controller.carbon.totals import Mass, Totals
from controller.report.tables import Report, flow_of

WIDTH = 116
MOST_RATES = 12  # of one fuel; more are told by their range
NEAR = timedelta(seconds=NEAR_S)  # of a border of the period
NONE = "–"
_UNITS = {Unit.M3: "m³"}


def as_text(report: Report) -> str:
    """Tables of energy, cost by rate and meters; then what the ledgers are and where everything comes from."""
    out = StringIO()
    console = Console(file=out, width=WIDTH)
    console.print(_energy(report))
    if any(entry.rates for entry in report.entries):
        console.print(_cost(report))
    console.print(_meters(report))
    for line in (*_ledgers(report), *_notes(report), *_sources(report)):
        console.print(line, markup=False, highlight=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _energy(report: Report) -> Table:
    period = report.period
    table = _table(
        f"{report.name}: {_date(period.first)} to {_date(period.last)}, {report.half_hours:,} half-hours",
        "", "kWh", report.currency, "annual kgCO2e", f"grid kg{_gas(report)}", "measured", "estimated", "missing",
    )  # fmt: skip
    for building, name in report.buildings.items():
        table.add_row(name, style="bold")
        for entry in (one for one in report.entries if one.building == building):
            scope = f", {entry.scope.split(' (')[0]}" if entry.scope else ""
            table.add_row(f"  {entry.fuel} {entry.flow}{scope}", *_cells(report, entry.totals))
        if len(report.buildings) > 1:
            table.add_row("  all bought", *_cells(report, report.sum(building=building)))
        table.add_section()
    table.add_row("All bought", *_cells(report, report.sum()), style="bold")
    if report.exported:
        table.add_row("Export", "", _fixed(report.exported, 2))
    for one in report.standing:
        table.add_row(f"Standing charge, {one.fuel}, {one.per_day} a day", "", _fixed(one.cost, 2))
    table.add_row("To pay", "", _fixed(report.cost, 2), style="bold")
    return table


def _cells(report: Report, totals: Totals) -> tuple[str, ...]:
    """Energy, money, both masses and the shares; a dash where nothing is known."""
    if totals.coverage.missing == totals.coverage.expected:
        return NONE, NONE, NONE, NONE, *_shares(totals.coverage)
    grid = NONE if report.intensity is None else _mass(totals.grid, totals.kwh)
    cost = NONE if totals.kwh and totals.unpriced_kwh == totals.kwh else _fixed(totals.cost, 2)
    return _fixed(totals.kwh, 0), cost, _fixed(totals.annual.kg, 1), grid, *_shares(totals.coverage)


def _mass(mass: Mass, kwh: Decimal) -> str:
    """Never a nought where nothing is known."""
    return NONE if kwh and mass.unknown_kwh == kwh else _fixed(mass.kg, 1)


def _shares(found: Coverage) -> tuple[str, str, str]:
    measured, estimated, missing = (
        f"{_fixed(share * 100, 1)} %" for share in (found.coverage, found.estimated_share, found.missing_share)
    )
    return measured, estimated, missing


def _cost(report: Report) -> Table:
    table = _table("Cost by rate of the tariff", "", f"{report.currency}/kWh", "kWh", report.currency)
    for entry in report.entries:
        name = f"{report.buildings[entry.building]}, {entry.fuel} {entry.flow}"
        paid = [one for one in entry.rates if one.cost]
        if len(paid) > MOST_RATES:
            low, high = (f"{one.rate.normalize():f}" for one in (paid[0], paid[-1]))
            kwh, cost = sum(one.kwh for one in paid), sum(one.cost for one in paid)
            table.add_row(name, f"{low} to {high}", _fixed(Decimal(kwh), 0), _fixed(Decimal(cost), 2))
            continue
        for one in paid:
            table.add_row(name, f"{one.rate.normalize():f}", _fixed(one.kwh, 0), _fixed(one.cost, 2))
    return table


def _meters(report: Report) -> Table:
    table = _table("Meters", "", "register from", "to", "kWh", "measured", "estimated", "missing")
    for entry in report.meters:
        found, zone = entry.totals.coverage, ZoneInfo(report.timezone)
        ends, borders = (entry.opening, entry.closing), (report.period.start, report.period.end)
        table.add_row(
            f"{entry.meter.id} ({entry.meter.fuel}, {flow_of(entry.meter) or 'sub-meter'})",
            *(NONE if read is None else f"{read[1]:,.2f} {_UNITS.get(entry.unit, entry.unit.value)}" for read in ends),
            NONE if found.missing == found.expected else _fixed(entry.totals.kwh, 0),
            *_shares(found),
        )
        times = [read[0] for read in ends if read is not None]
        if any(abs(at - border) > NEAR for at, border in zip(times, borders, strict=False)):
            table.add_row(f"  read {' to '.join(_moment(at, zone) for at in times)}")
        for one in entry.exchanges:
            closed, opened = f"closed at {one.closing:,.10g}", f"opened at {one.opening:,.10g}"
            table.add_row(f"  exchanged {_moment(one.time, zone)}", closed, opened)
    return table


def _ledgers(report: Report) -> Iterator[str]:
    yield ""
    rule = "each kWh at the factor of its own year"
    yield f"Annual ledger (CO2e): official factors, {report.factor_year or rule}."
    for scope, kg in report.scopes.items():
        yield f"  {scope}: {_fixed(kg, 1)} kgCO2e"
    for one in dict.fromkeys(share.factor for entry in report.entries for share in entry.factors):
        yield f"  {one.kg_per_kwh} kgCO2e/kWh: {one.source}"
    if report.intensity is None:
        yield "Grid ledger: not kept; name a carbon.intensity_file in the site file, or give --intensity."
        return
    yield f"Grid ledger (operational, not for a statutory return): {report.intensity}."
    if report.intensity.gas is Gas.CO2:
        yield "  Other fuels are in it at the CO2 part of their annual factor."
    grid = report.sum().grid
    if grid.estimated_kwh or grid.unknown_kwh:
        yield (
            f"  {_fixed(grid.estimated_kwh, 0)} kWh at a substituted or mean intensity; "
            f"{_fixed(grid.unknown_kwh, 0)} kWh without any, not in the sum."
        )


def _notes(report: Report) -> Iterator[str]:
    if report.priced:
        yield f"Electricity of {report.priced:,} half-hours is at the prices that the feed named, other at the tariff."
    unpriced = report.sum().unpriced_kwh
    if unpriced:
        yield f"{_fixed(unpriced, 0)} kWh have no tariff and are not in the cost."
    if report.sum().coverage.missing:
        yield "Energy of missing half-hours is not in the sums."
    yield "Scope 3 is not in this report. Rounded figures may not add up; sums are of unrounded parts."


def _sources(report: Report) -> Iterator[str]:
    sources = report.sources
    files = (sources.site_file, sources.factors, sources.intensity)
    yield ""
    yield f"Plenum {sources.version}; SHA-256 of what this was made from:"
    named = [(one.name, one.sha256) for one in files if one is not None]
    named += [(f"readings of {meter}", digest) for meter, digest in sources.readings.items()]
    for name, digest in named:
        yield f"  {digest}  {name}"


def _gas(report: Report) -> str:
    return "CO2" if report.intensity is None else report.intensity.gas.value


def _moment(when: datetime, zone: ZoneInfo) -> str:
    local = when.astimezone(zone)
    return f"{local.day} {local:%b %H:%M}"


def _date(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _fixed(value: Decimal, places: int) -> str:
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) + 0
    return f"{rounded:,}"
