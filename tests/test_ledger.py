"""Cost and carbon: worked examples, two ledgers kept apart, and sums that add up."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.factors import Activity, factor
from config.intensity import Basis, Gas
from config.load import load_site
from config.localtime import epoch_s
from config.site import Carbon, Fuel, Meter, Period, Site, Tariff
from controller.carbon.intensity import IntensityFile
from controller.carbon.intervals import Account, read_accounts
from controller.carbon.ledger import Ledger
from controller.carbon.slots import Code, Interval
from controller.carbon.totals import EMPTY, Bill
from controller.store.base import Window
from drivers.base import Reading

D = Decimal
HALF = timedelta(minutes=30)
START = datetime(2023, 2, 6, tzinfo=UTC)
SITE = load_site(Path(__file__).parents[1] / "config" / "examples" / "townhall.yaml")
NONE = float("nan")
METERS = {meter.id: meter for meter in SITE.meters}
CALENDAR_YEARS = SITE.model_copy(update={"carbon": Carbon()})  # each kWh at its own year


def account(meter: Meter, kwh: Sequence[str | None], start: datetime = START, code: Code = Code.ACTUAL) -> Account:
    return Account(
        meter=meter,
        intervals=tuple(
            Interval(
                start=start + n * HALF,
                end=start + (n + 1) * HALF,
                kwh=None if value is None else D(value),
                code=Code.MISSING if value is None else code,
            )
            for n, value in enumerate(kwh)
        ),
    )


def grid(values: Sequence[float], start: datetime = START, basis: Basis | None = None) -> IntensityFile:
    return IntensityFile(epoch_s(start), np.array(values), np.full(len(values), NONE), basis or Basis())


def bill(*accounts: Account, site: Site = SITE, intensity: IntensityFile | None = None) -> Bill:
    return Ledger(site, intensity).bill(accounts)


def test_w1_the_year_2025() -> None:
    electricity, gas = D("12345.6"), D("23456.7")
    start = datetime(2025, 7, 1, tzinfo=UTC)
    found = bill(
        account(METERS["electricity"], ["12345.6"], start),
        account(METERS["gas"], ["23456.7"], start),
        site=CALENDAR_YEARS,
    )
    assert found.by_fuel[Fuel.ELECTRICITY].annual.kg == D("2185.171200")
    assert found.by_fuel[Fuel.GAS].annual.kg == D("4291.637832")
    assert found.imported.annual.kg == D("6476.809032")
    scope_3 = {
        Activity.ELECTRICITY_LOSSES: (electricity, D("228.763968")),
        Activity.ELECTRICITY_WTT: (electricity, D("566.663040")),
        Activity.ELECTRICITY_LOSSES_WTT: (electricity, D("49.012032")),
        Activity.GAS_WTT: (gas, D("708.626907")),
    }
    for activity, (kwh, kg) in scope_3.items():
        assert factor(activity, 2025).kg_per_kwh * kwh == kg
    total = sum((kg for _, kg in scope_3.values()), D(0))
    assert total == D("1553.065947")
    assert total + found.imported.annual.kg == D("8029.874979")


def test_w10_carbon_by_half_hour() -> None:
    found = bill(account(METERS["electricity"], ["10", "12", "8", "10"]), intensity=grid([120, 90, 60, 180]))
    assert found.imported.grid.kg == D("4.56")  # the plain mean of 112.5 g would give 4.50
    assert found.imported.kwh == 40
    assert found.imported.grid.kg / found.imported.kwh * 1000 == 114


def test_each_result_names_its_ledger() -> None:
    accounts = (account(METERS["electricity"], ["1"]), account(METERS["gas"], ["1"]))
    found = bill(*accounts, intensity=grid([100]))
    assert found.by_fuel[Fuel.ELECTRICITY].annual.ledger == (
        "UK GHG conversion factors 2023 v1.1, condensed (2023), UK electricity!E24, CO2e"
    )
    assert found.by_fuel[Fuel.ELECTRICITY].grid.ledger.startswith("half-hourly grid intensity, CO2, generation")
    assert found.by_fuel[Fuel.GAS].grid.ledger.endswith("Fuels!D42, CO2")
    assert found.imported.annual.ledger.count(" + ") == 1


def test_gas_is_of_the_same_gas_as_the_intensity() -> None:
    burnt = account(METERS["gas"], ["1000"])
    co2 = bill(burnt, intensity=grid([100])).imported.grid
    co2e = bill(burnt, intensity=grid([100], basis=Basis(gas=Gas.CO2E))).imported.grid
    assert (co2.kg, co2e.kg) == (D("182.56"), D("182.93"))


def test_cost_follows_the_tariff_of_each_half_hour() -> None:
    start = datetime(2023, 2, 6, 0, tzinfo=UTC)
    one = Ledger(SITE, None).statement(account(METERS["electricity"], ["1"] * 48, start))
    assert [line.rate for line in one.lines[:2]] == [D("0.25"), D("0.09")]
    assert one.totals.cost == 10 * D("0.09") + 6 * D("0.38") + 32 * D("0.25")


def test_sub_meters_are_no_part_of_the_sums() -> None:
    accounts = [account(METERS[name], ["10"]) for name in ("electricity", "gas", "heat_pump", "heat", "pv")]
    found = bill(*accounts, intensity=grid([100]))
    assert found.imported.kwh == 20
    assert found.imported.cost == D("2.5") + D("0.7")
    own = {one.meter.id: one.totals for one in found.statements}
    assert own["heat_pump"].cost == D("2.5")  # its share, for information
    assert own["heat"].cost == own["heat"].annual.kg == 0  # counted where its fuel is
    assert own["heat"].annual.unknown_kwh == 0


def test_pv_counts_as_zero_and_export_is_never_netted() -> None:
    export = Meter(id="out", fuel=Fuel.ELECTRICITY, point="a.b.c", export=True, main=True)
    found = bill(
        account(METERS["electricity"], ["10"]),
        account(METERS["pv"], ["4"]),
        account(export, ["2"]),
        intensity=grid([100]),
    )
    assert (found.pv.kwh, found.pv.annual.kg, found.pv.grid.kg, found.pv.cost) == (4, 0, 0, 0)
    assert (found.exported.kwh, found.exported.cost, found.exported.annual.kg) == (2, D("-0.10"), 0)
    assert found.imported.kwh == 10
    assert found.imported.grid.kg == 1
    assert found.cost == D("2.40")


def test_where_the_intensity_is_guessed_or_unknown_the_share_is_told() -> None:
    start = datetime(2023, 2, 6, tzinfo=UTC)
    values = [100.0, NONE, *[NONE] * 46, *[NONE] * 48]
    found = bill(account(METERS["electricity"], ["1"] * 96, start), intensity=grid(values)).imported.grid
    assert found.kg == D("4.8")  # the first day at its mean; the second is unknown, and not zero
    assert found.estimated_kwh == 47
    assert found.unknown_kwh == 48


def test_missing_energy_is_told_and_not_charged() -> None:
    one = bill(account(METERS["electricity"], ["1", None, "1", None])).imported
    assert (one.kwh, one.coverage.coverage, one.coverage.missing_share) == (2, D("0.5"), D("0.5"))
    filled = bill(account(METERS["electricity"], ["1", "1"], code=Code.SPREAD)).imported
    assert filled.coverage.estimated_share == 1


def test_a_year_without_factors_is_unknown_and_never_another_years() -> None:
    start = datetime(2031, 7, 1, tzinfo=UTC)
    found = bill(account(METERS["electricity"], ["5"], start), site=CALENDAR_YEARS).imported.annual
    assert (found.kg, found.unknown_kwh, found.ledger) == (0, 5, "")


def test_each_kwh_is_counted_at_its_own_local_year() -> None:
    start = datetime(2024, 12, 31, 23, tzinfo=UTC)
    found = bill(account(METERS["electricity"], ["1"] * 4, start), site=CALENDAR_YEARS).imported.annual
    assert found.kg == 2 * D("0.20705") + 2 * D("0.17700")
    assert "2024" in found.ledger
    assert "2025" in found.ledger


def test_a_site_may_fix_the_year_of_its_factors() -> None:
    start = datetime(2025, 7, 1, tzinfo=UTC)
    found = bill(account(METERS["electricity"], ["1"], start)).imported.annual  # the town hall fixes 2023
    assert found.kg == D("0.20707")
    assert "2023" in found.ledger


def test_without_a_tariff_or_an_intensity_nothing_is_made_up() -> None:
    bare = SITE.model_copy(update={"tariffs": ()})
    found = bill(account(METERS["electricity"], ["3"]), site=bare)
    assert (found.imported.cost, found.imported.unpriced_kwh) == (0, 3)
    assert (found.imported.grid.kg, found.imported.grid.unknown_kwh) == (0, 3)


@pytest.mark.parametrize(("day", "slots"), [("2023-03-26", 46), ("2023-02-06", 48), ("2023-10-29", 50)])
def test_a_standing_charge_is_of_the_local_day(day: str, slots: int) -> None:
    tariff = Tariff(fuel=Fuel.ELECTRICITY, rate=0.0, standing_charge_per_day=0.6)
    site = SITE.model_copy(update={"tariffs": (tariff,)})
    first = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=day == "2023-10-29")
    assert bill(account(METERS["electricity"], ["1"] * slots, first), site=site).standing == D("0.6")
    half = bill(account(METERS["electricity"], ["1"] * 24, START), site=site).standing
    assert half == D("0.3")


ENERGY = st.one_of(st.none(), st.integers(0, 10**7).map(lambda n: str(D(n) / 10_000)))


@settings(max_examples=25, deadline=None)
@given(
    energy=st.lists(ENERGY, min_size=2, max_size=100),
    cut=st.integers(1, 99),
    start=st.integers(0, 400 * 48),
    rate=st.floats(-1, 2).map(lambda x: round(x, 5)),
    grams=st.lists(st.one_of(st.just(NONE), st.integers(1, 400).map(float)), min_size=100, max_size=100),
    meter=st.sampled_from(["electricity", "gas", "pv", "heat_pump"]),
)
def test_cost_and_carbon_add_up_over_any_split(
    *, energy: list[str | None], cut: int, start: int, rate: float, grams: list[float], meter: str
) -> None:
    begin = datetime(2022, 12, 1, tzinfo=UTC) + start * HALF
    cut = min(cut, len(energy) - 1)
    night = Period(start=time(23), end=time(6), rate=rate)
    site = SITE.model_copy(
        update={
            "carbon": Carbon(),
            "tariffs": (
                Tariff(fuel=Fuel.ELECTRICITY, rate=0.3, periods=(night,)),
                Tariff(fuel=Fuel.GAS, rate=rate),
            ),
        }
    )
    ledger = Ledger(site, grid(grams, begin))
    whole = ledger.statement(account(METERS[meter], energy, begin))
    first = ledger.statement(account(METERS[meter], energy[:cut], begin))
    second = ledger.statement(account(METERS[meter], energy[cut:], begin + cut * HALF))
    assert first.lines + second.lines == whole.lines
    assert first.totals + second.totals == whole.totals
    assert EMPTY + whole.totals == whole.totals


class Memory:
    """A store that holds the windows it was given."""

    def __init__(self, windows: Mapping[str, Window]) -> None:
        self._windows = windows

    async def append(self, readings: Sequence[Reading]) -> None:
        raise NotImplementedError

    async def window(self, point: str, start: datetime, end: datetime) -> Window:
        kept = self._windows[point]
        inside = (kept.time_s >= start.timestamp()) & (kept.time_s < end.timestamp())
        return Window(
            time_s=kept.time_s[inside],
            value=kept.value[inside],
            quality=kept.quality[inside],
            flags=kept.flags[inside],
        )

    async def aggregate(
        self, point: str, start: datetime, end: datetime, step: timedelta = HALF
    ) -> Mapping[datetime, tuple[float, float, float, int]]:
        raise NotImplementedError

    async def newest(self) -> Mapping[str, Reading]:
        raise NotImplementedError


async def test_from_the_store_to_the_bill() -> None:
    minutes = np.arange(-600, 2000)
    seen = {
        meter.point: Window(
            time_s=START.timestamp() + 60.0 * minutes,
            value=np.full(len(minutes), -2.0) if meter.export else np.round(50_000 + minutes * (n + 1) / 60, 1),
            quality=np.zeros(len(minutes), dtype=np.int8),
            flags=np.zeros(len(minutes), dtype=np.int32),
        )
        for n, meter in enumerate(SITE.meters)
    }
    accounts = await read_accounts(Memory(seen), SITE, START, START + timedelta(days=1))
    assert [one.meter.id for one in accounts] == ["electricity", "export", "gas", "heat_pump", "heat", "pv"]
    assert [one.kwh for one in accounts] == [24, 48, 72, 96, 120, 144]
    assert {one.coverage.coverage for one in accounts} == {1}
    found = bill(*accounts, intensity=grid([200.0] * 48))
    assert found.imported.kwh == 24 + 72
    assert (found.exported.kwh, found.exported.cost) == (48, D("-2.4"))
    assert found.by_fuel[Fuel.ELECTRICITY].grid.kg == D("4.8")
    assert found.imported.annual.kg == 24 * D("0.20707") + 72 * D("0.18293")
