"""Emission factors: the official UK table, every value traceable to its workbook, sheet and cell."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import Path

from config.site import Fuel

TABLE = Path(__file__).parent / "factors" / "uk_ghg_conversion_factors_2020_2026.csv"
PLACES = Decimal("0.00001")  # as published


class Activity(Enum):
    """What is counted: (scope, activity, unit) as the table writes them."""

    ELECTRICITY = ("Scope 2 (location)", "Electricity generated, UK", "kWh")
    ELECTRICITY_LOSSES = ("Scope 3 cat 3", "T&D losses, UK electricity", "kWh")
    ELECTRICITY_WTT = ("Scope 3 cat 3", "WTT, UK electricity generation", "kWh")
    ELECTRICITY_LOSSES_WTT = ("Scope 3 cat 3", "WTT, UK electricity T&D", "kWh")
    GAS = ("Scope 1", "Natural gas", "kWh (Gross CV)")
    GAS_NET = ("Scope 1", "Natural gas", "kWh (Net CV)")
    GAS_WTT = ("Scope 3 cat 3", "Natural gas", "kWh (Gross CV)")
    HEAT = ("Scope 2 (location)", "District heat and steam", "kWh")
    HEAT_LOSSES = ("Scope 3 cat 3", "Distribution loss, district heat and steam (5%)", "kWh")


BOUGHT: Mapping[Fuel, Activity] = {
    Fuel.ELECTRICITY: Activity.ELECTRICITY,
    Fuel.GAS: Activity.GAS,
    Fuel.HEAT: Activity.HEAT,
}


class UnknownFactor(LookupError):  # noqa: N818  the vocabulary of the field
    """The table has no such factor; nothing is put in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmissionFactor:
    """kgCO2e per kWh of one activity in one reporting year, and where it was published."""

    activity: Activity
    year: int
    kg_per_kwh: Decimal  # kgCO2e
    co2_per_kwh: Decimal | None  # kg of CO2 alone; None = not published
    version: str
    workbook: str
    sheet: str
    cell: str

    @property
    def scope(self) -> str:
        return self.activity.value[0]

    @property
    def source(self) -> str:
        """Where the value stands, in words."""
        return f"UK GHG conversion factors {self.year} v{self.version}, {self.workbook}, {self.sheet}!{self.cell}"


class FactorTable:
    """All factors of one file."""

    def __init__(self, factors: Mapping[tuple[Activity, int], EmissionFactor]) -> None:
        self._factors = dict(factors)

    @property
    def years(self) -> tuple[int, ...]:
        """Reporting years for which there is an electricity factor, rising."""
        return tuple(sorted(year for activity, year in self._factors if activity is Activity.ELECTRICITY))

    def factor(self, activity: Activity, year: int) -> EmissionFactor:
        """The factor of exactly that year; raises UnknownFactor rather than falling back to another."""
        found = self._factors.get((activity, year))
        if found is None:
            years = sorted(known for other, known in self._factors if other is activity)
            raise UnknownFactor(
                f"no {year} factor for {activity.value[1]!r} ({activity.value[0]}); "
                f"known years are {', '.join(map(str, years)) or 'none'}"
            )
        return found


def read_factors(path: Path = TABLE) -> FactorTable:
    """Read a factor table; raises ValueError for a row that contradicts another."""
    by_key = {activity.value: activity for activity in Activity}
    factors: dict[tuple[Activity, int], EmissionFactor] = {}
    with path.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            activity = by_key.get((row["scope"], row["activity"], row["unit"]))
            if activity is None or not row["kgCO2e_per_unit"]:
                continue
            key = (activity, int(row["year"]))
            if key in factors:
                raise ValueError(f"{path.name}: two factors for {activity.value[1]!r} in {row['year']}")
            co2 = row["kgCO2e_of_CO2"]
            factors[key] = EmissionFactor(
                activity=activity,
                year=key[1],
                kg_per_kwh=Decimal(row["kgCO2e_per_unit"]).quantize(PLACES),
                co2_per_kwh=Decimal(co2).quantize(PLACES) if co2 else None,
                version=row["version"],
                workbook=row["workbook"],
                sheet=row["sheet"],
                cell=row["cell"],
            )
    return FactorTable(factors)


@lru_cache(maxsize=1)
def official_factors() -> FactorTable:
    """The table that comes with the program, read once."""
    return read_factors()


def factor(activity: Activity, year: int) -> EmissionFactor:
    """A factor of the official table; raises UnknownFactor."""
    return official_factors().factor(activity, year)
