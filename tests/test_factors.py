"""Emission factors: as published, traceable, never guessed."""

from decimal import Decimal
from pathlib import Path

import pytest

from config.factors import BOUGHT, TABLE, Activity, UnknownFactor, factor, official_factors, read_factors
from config.site import Fuel


@pytest.mark.parametrize(
    ("activity", "year", "kg"),
    [
        (Activity.ELECTRICITY, 2020, "0.23314"),
        (Activity.ELECTRICITY, 2023, "0.20707"),
        (Activity.ELECTRICITY, 2025, "0.17700"),
        (Activity.ELECTRICITY, 2026, "0.13096"),
        (Activity.GAS, 2023, "0.18293"),
        (Activity.GAS, 2025, "0.18296"),
        (Activity.GAS_NET, 2025, "0.20270"),
        (Activity.ELECTRICITY_LOSSES, 2025, "0.01853"),
        (Activity.HEAT, 2025, "0.17529"),
    ],
)
def test_factors_as_published(activity: Activity, year: int, kg: str) -> None:
    found = factor(activity, year)
    assert found.kg_per_kwh == Decimal(kg)
    assert str(found.kg_per_kwh) == kg  # five places, as published


def test_a_factor_names_its_cell() -> None:
    found = factor(Activity.ELECTRICITY, 2023)
    assert found.co2_per_kwh == Decimal("0.20496")  # CO2 alone is not CO2e
    assert found.source == "UK GHG conversion factors 2023 v1.1, condensed (2023), UK electricity!E24"
    assert found.scope == "Scope 2 (location)"


@pytest.mark.parametrize("year", [1999, 2019, 2027, 2100])
def test_an_unknown_year_is_refused(year: int) -> None:
    with pytest.raises(UnknownFactor, match="known years are 2020, 2021, 2022, 2023, 2024, 2025, 2026"):
        factor(Activity.ELECTRICITY, year)


def test_what_the_workbook_of_a_year_lacks_is_refused() -> None:
    with pytest.raises(UnknownFactor, match="known years are 2022, 2024, 2025, 2026"):
        factor(Activity.ELECTRICITY_WTT, 2023)


def test_every_bought_fuel_has_a_factor() -> None:
    assert set(BOUGHT) == {Fuel.ELECTRICITY, Fuel.GAS, Fuel.HEAT}
    assert official_factors().years == tuple(range(2020, 2027))
    for activity in (BOUGHT[Fuel.ELECTRICITY], BOUGHT[Fuel.GAS]):
        assert all(factor(activity, year).kg_per_kwh > 0 for year in official_factors().years)


def test_two_factors_for_one_thing_are_refused(tmp_path: Path) -> None:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if "Electricity generated" in line)
    path = tmp_path / "factors.csv"
    path.write_text("\n".join([*lines, row]), encoding="utf-8")
    with pytest.raises(ValueError, match="two factors"):
        read_factors(path)
