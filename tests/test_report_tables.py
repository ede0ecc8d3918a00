"""What a report says of an estate whose meters are known to the count, in all its shapes."""

import csv
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from report_site import ESTATE, Registers, estate, every, fill, rising, store

from config.factors import UnknownFactor, official_factors
from config.intensity import Basis
from config.localtime import epoch_s
from config.site import Site
from controller.carbon.intensity import IntensityFile
from controller.report.open_data import as_csv, as_json
from controller.report.period import Period, days, month
from controller.report.sources import Named, Sources, read_meters
from controller.report.tables import Flow, Report, make_report
from controller.report.text import as_text
from drivers.clock import Clock

LONDON = "Europe/London"
D = Decimal
POINTS = tuple(estate().points)
MAIN = ("hall.grid.electricity", "hall.grid.gas", "depot.grid.electricity")
LEAP_DAY = days(date(2024, 2, 29), date(2024, 2, 29), LONDON)


def intensity(period: Period, grams: float) -> IntensityFile:
    values = np.full(round((period.end - period.start) / timedelta(minutes=30)), grams)
    return IntensityFile(epoch_s(period.start), values, values, Basis())


async def report(
    directory: Path,
    period: Period,
    registers: Registers,
    *,
    site: Site | None = None,
    grams: float | None = 100.0,
) -> Report:
    """Of a store that was read each ten minutes from an hour before to an hour after the period."""
    site, clock = site or estate(), Clock(period.end)
    around = timedelta(hours=1)
    async with store(directory, clock) as kept:
        await fill(kept, registers, period.start - around, (period.end - period.start + 2 * around) / around)
        metered = await read_meters(kept, site, period, tick=lambda: None)
    file = Named(name="a file", sha256="0" * 64)
    sources = Sources(
        version="1",
        site_file=file,
        factors=file,
        intensity=None,
        readings={one.account.meter.id: one.sha256 for one in metered},
    )
    known = None if grams is None else intensity(period, grams)
    return make_report(site, period, metered, intensity=known, factors=official_factors(), sources=sources)


@pytest.mark.parametrize(
    ("on", "half_hours"), [(date(2024, 2, 29), 48), (date(2024, 3, 31), 46), (date(2024, 10, 27), 50)]
)
async def test_days_of_the_clock_change_and_the_leap_day_are_exact(on: date, half_hours: int, tmp_path: Path) -> None:
    found = await report(tmp_path, days(on, on, LONDON), every(POINTS, rising(1.0, 4000.0)))
    assert found.half_hours == half_hours
    electricity = found.entries[0]
    assert electricity.totals.kwh == D(half_hours) / 2
    assert electricity.totals.coverage.actual == electricity.totals.coverage.expected == half_hours
    night = {share.rate: share.kwh for share in electricity.rates}[D("0.1")]
    assert night == D(half_hours - 36) / 2, "six hours by the clock: five, six or seven"
    assert [(one.per_day, one.cost) for one in found.standing] == [(D("0.5"), D("0.5")), (D("0.25"), D("0.25"))]


async def test_a_leap_february_by_building_and_fuel(tmp_path: Path) -> None:
    def exchanged(hours: float) -> float:
        """Rises by half a count an hour; a new meter from noon of 10 February, an hour after the month's start."""
        swapped = 1 + 9 * 24 + 12
        return 5010 - 0.5 * (swapped - hours) if hours < swapped else 3 + 0.5 * (hours - swapped)

    registers: Registers = {
        "hall.grid.electricity": rising(2.0, 100.0),
        "hall.grid.power": lambda _: -0.5,
        "hall.grid.gas": rising(0.3),
        "hall.pv.kwh": rising(1.0),
        "depot.grid.electricity": exchanged,
        "depot.charger.electricity": rising(0.25),
    }
    found = await report(tmp_path, month("2024-02", LONDON), registers)
    hours = 29 * 24
    by = {(one.building, one.flow, one.fuel.value): one for one in found.entries}
    assert list(by) == [
        ("hall", Flow.BOUGHT, "electricity"), ("hall", Flow.BOUGHT, "gas"), ("hall", Flow.EXPORTED, "electricity"),
        ("hall", Flow.GENERATED, "pv"), ("depot", Flow.BOUGHT, "electricity"),
    ]  # fmt: skip
    electricity, gas = by["hall", Flow.BOUGHT, "electricity"], by["hall", Flow.BOUGHT, "gas"]
    assert electricity.totals.kwh == 2 * hours
    assert electricity.totals.cost == D("0.1") * 2 * 6 * 29 + D("0.3") * 2 * 18 * 29
    assert electricity.totals.annual.kg == 2 * hours * D("0.20705")
    assert electricity.totals.grid.kg == 2 * hours * D("0.1")
    assert electricity.scope == "Scope 2 (location)"
    assert gas.totals.kwh == 3 * hours, "36 MJ a cubic metre, uncorrected: ten kWh"
    assert gas.scope == "Scope 1"
    assert gas.totals.grid.kg == 3 * hours * D("0.18253"), "CO2 alone, as the grid's intensity"
    assert by["hall", Flow.EXPORTED, "electricity"].totals.kwh == D("0.5") * hours
    assert found.exported == -D("0.05") * D("0.5") * hours
    assert by["hall", Flow.GENERATED, "pv"].totals.annual.kg == 0
    depot = by["depot", Flow.BOUGHT, "electricity"]
    assert depot.totals.kwh == D("0.5") * hours, "across the exchange, and without the sub-meter"
    assert found.sum().kwh == 5 * hours + D("0.5") * hours
    assert found.sum(building="depot").kwh == depot.totals.kwh
    assert sum(found.scopes.values()) == found.sum().annual.kg
    standing = D("0.75") * 29
    assert found.cost == found.sum().cost + found.exported + standing
    meters = {one.meter.id: one for one in found.meters}
    assert [one.closing for one in meters["depot_electricity"].exchanges] == [5010]
    assert meters["hall_electricity"].opening == (datetime(2024, 2, 1, tzinfo=UTC), 102.0)
    assert meters["charger"].totals.kwh == D("0.25") * hours


async def test_missing_half_hours_are_told_and_not_filled(tmp_path: Path) -> None:
    registers = every(POINTS, rising(1.0, 4000.0)) | {"hall.grid.power": lambda hours: 1.0 if hours < 13 else None}
    found = await report(tmp_path, LEAP_DAY, registers)
    exported = next(one for one in found.entries if one.flow is Flow.EXPORTED).totals.coverage
    assert (exported.actual, exported.filled, exported.missing) == (24, 0, 24), "noon was the last to be read"


async def test_a_year_without_factors_is_refused_and_no_other_year_stands_in(tmp_path: Path) -> None:
    period = days(date(2031, 2, 1), date(2031, 2, 1), LONDON)
    with pytest.raises(UnknownFactor, match="no 2031 factor"):
        await report(tmp_path, period, every(POINTS, rising(1.0, 4000.0)))


async def test_each_kwh_takes_the_factor_of_its_own_year(tmp_path: Path) -> None:
    period = days(date(2024, 12, 31), date(2025, 1, 1), LONDON)
    found = await report(tmp_path, period, every(POINTS, rising(1.0, 4000.0)))
    assert [(s.factor.year, s.kwh, s.kg) for s in found.entries[0].factors] == [
        (2024, D(24), 24 * D("0.20705")),
        (2025, D(24), 24 * D("0.17700")),
    ]
    fixed = estate(ESTATE + "carbon: {factor_year: 2023}\n")
    again = await report(tmp_path / "fixed", period, every(POINTS, rising(1.0, 4000.0)), site=fixed)
    assert [(s.factor.year, s.kwh) for s in again.entries[0].factors] == [(2023, D(48))]


async def test_csv_json_and_text_say_the_same(tmp_path: Path) -> None:
    found = await report(tmp_path, LEAP_DAY, every(POINTS, rising(1.0, 4000.0)))
    rows = list(csv.DictReader(StringIO(as_csv(found))))
    shown = json.loads(as_json(found))
    listed = [entry for building in shown["buildings"] for entry in building["entries"]]
    assert [float(row["kwh"]) for row in rows if row["kwh"]] == [one["kwh"] for one in listed]
    assert [row["annual_ledger"] for row in rows if row["kwh"]] == [one["annual"]["ledger"] for one in listed]
    assert [float(row["grid_kg"]) for row in rows if row["grid_kg"]] == [one["grid"]["kg"] for one in listed]
    assert sum(D(row["cost"]) for row in rows) == D(str(shown["total"]["cost"])) == found.cost
    assert sum(D(row["annual_kgco2e"] or 0) for row in rows) == found.sum().annual.kg
    assert [row["item"] for row in rows].count("standing charge") == 2
    text = as_text(found)
    for words in (
        "29 February 2024",
        "Town hall",
        "Depot",
        "Scope 1: 43.9 kgCO2e",
        "UK electricity!",
        "NESO",
        "To pay",
    ):
        assert words in text
    assert all(len(line) <= 116 for line in text.splitlines())


async def test_a_ledger_that_is_not_kept_is_absent_and_never_nought(tmp_path: Path) -> None:
    found = await report(tmp_path, LEAP_DAY, every(POINTS, rising(1.0, 4000.0)), grams=None)
    shown = json.loads(as_json(found))
    assert shown["ledgers"]["grid"] is None
    assert shown["total"]["grid"] is None
    assert all(row["grid_kg"] == "" for row in csv.DictReader(StringIO(as_csv(found))))
    assert "Grid ledger: not kept" in as_text(found)


async def test_parts_of_a_period_add_up_to_the_whole(tmp_path: Path) -> None:
    registers = every(POINTS, lambda hours: 4000.0 + round(hours**1.1, 2))
    whole = await report(tmp_path / "a", days(date(2024, 3, 30), date(2024, 4, 1), LONDON), registers)
    async with store(tmp_path / "a", Clock(whole.period.end)) as kept:
        parts = [
            await read_meters(kept, estate(), days(on, on, LONDON), tick=lambda: None)
            for on in (date(2024, 3, 30), date(2024, 3, 31), date(2024, 4, 1))
        ]
    for n, entry in enumerate(whole.meters):
        assert sum(part[n].account.kwh for part in parts) == entry.totals.kwh


async def test_the_same_readings_have_the_same_fingerprint_and_others_have_not(tmp_path: Path) -> None:
    registers = every(POINTS, rising(1.0, 4000.0))
    first = await report(tmp_path / "a", LEAP_DAY, registers)
    again = await report(tmp_path / "b", LEAP_DAY, registers)
    assert as_json(first) == as_json(again)
    assert as_text(first) == as_text(again)
    other = await report(tmp_path / "c", LEAP_DAY, registers | {"hall.pv.kwh": rising(1.0, 4000.001)})
    changed = {name for name, digest in other.sources.readings.items() if digest != first.sources.readings[name]}
    assert changed == {"hall_pv"}
