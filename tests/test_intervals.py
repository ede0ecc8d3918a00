"""Readings -> half-hours: registers, power, interval meters, labels, gaps and clock changes."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.site import Exchange, Fuel, Meter, MeterKind, Point
from config.units import Unit
from controller.carbon.intervals import account
from controller.carbon.registers import Rise, exchange_delta, gas_kwh, register_delta
from controller.carbon.slots import Code, coverage, labelled, local_day, slots_of_day
from controller.store.base import Window

LONDON = "Europe/London"
D = Decimal
START = datetime(2023, 2, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
METER = Meter(id="electricity", fuel=Fuel.ELECTRICITY, point="a.b.c", main=True)
POWER = Meter(id="power", fuel=Fuel.ELECTRICITY, point="a.b.c", kind=MeterKind.POWER)
KWH = Point(id="a.b.c", unit=Unit.KWH, address="x")
KW = Point(id="a.b.c", unit=Unit.KW, address="x")


def window(minutes: list[float] | np.ndarray, values: list[float] | np.ndarray, bad: tuple[int, ...] = ()) -> Window:
    quality = np.zeros(len(values), dtype=np.int8)
    quality[list(bad)] = 3
    return Window(
        time_s=START.timestamp() + 60.0 * np.asarray(minutes, dtype=float),
        value=np.asarray(values, dtype=float),
        quality=quality,
        flags=np.zeros(len(values), dtype=np.int32),
    )


def read(meter: Meter, point: Point, seen: Window, hours: float = 2) -> list[tuple[str | None, str]]:
    found = account(meter, point, seen, START, START + hours * HOUR)
    return [(None if i.kwh is None else f"{i.kwh.normalize():f}", str(i.code)) for i in found.intervals]


def test_w2_gas_volume_to_energy() -> None:
    kwh = gas_kwh(D(1234), calorific_value=D("39.5"))
    assert round(kwh, 6) == D("13846.261533")
    assert round(kwh * D("0.18296"), 6) == D("2533.312010")


def test_w3_imperial_meters_count_hundreds_of_cubic_feet() -> None:
    assert round(gas_kwh(D(250), calorific_value=D("39.5"), hundreds_of_ft3=True), 6) == D("7938.598083")


def test_w4_roll_over_and_reset() -> None:
    rolled = register_delta(D(99987), D(35), digits=5, multiplier=D(100))
    assert (rolled.kwh, rolled.rise) == (D(4800), Rise.ROLLED_OVER)
    reset = register_delta(D(51000), D(35), digits=5, multiplier=D(100))
    assert (reset.kwh, reset.rise) == (None, Rise.RESET)
    assert register_delta(D(99987), D(35)).rise is Rise.RESET  # a register that never rolls over
    assert register_delta(D(10), D("10.5")).kwh == D("0.5")


def test_a_rise_beyond_the_meters_capacity_is_refused() -> None:
    half_hour = timedelta(minutes=30)
    assert register_delta(D(0), D(60), capacity_kw=D(100), elapsed=half_hour).kwh == D(60)
    assert register_delta(D(0), D("60.1"), capacity_kw=D(100), elapsed=half_hour).rise is Rise.TOO_FAST


def test_w5_exchange_of_a_meter() -> None:
    assert exchange_delta(D("4210.0"), D("4268.5"), D("0.0"), D("31.2")) == D("89.7")
    with pytest.raises(ValueError, match=r"mend the exchange"):
        exchange_delta(D("4210.0"), D("4200.0"), D(0), D(1))


@pytest.mark.parametrize(
    ("day", "slots", "kwh"),
    [(date(2025, 3, 30), 46, D("23.0")), (date(2025, 10, 26), 50, D("25.0")), (date(2025, 6, 1), 48, D("24.0"))],
)
def test_w6_half_hours_of_a_day(day: date, slots: int, kwh: Decimal) -> None:
    found = local_day([D("0.5")] * slots, day, LONDON)
    assert len(slots_of_day(day, LONDON)) == slots
    assert sum(interval.kwh or D(0) for interval in found) == kwh
    assert all(a.end == b.start for a, b in pairwise(found))


@pytest.mark.parametrize(("year", "slots", "kwh"), [(2025, 17_520, D("8760.0")), (2024, 17_568, D("8784.0"))])
def test_w6_half_hours_of_a_year(year: int, slots: int, kwh: Decimal) -> None:
    days = [date(year, 1, 1) + timedelta(days=n) for n in range(365 + (year % 4 == 0))]
    starts = [start for day in days for start in slots_of_day(day, LONDON)]
    assert len(starts) == len(set(starts)) == slots
    assert slots * D("0.5") == kwh


def test_files_of_48_columns_on_the_days_of_the_change() -> None:
    spring = local_day([D(1), D(1), None, D(0), *[D(1)] * 44], date(2025, 3, 30), LONDON)
    assert len(spring) == 46
    assert spring[2].start == datetime(2025, 3, 30, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="clock skips"):
        local_day([D(1)] * 48, date(2025, 3, 30), LONDON)
    autumn = local_day([D(n) for n in range(48)], date(2025, 10, 26), LONDON)
    assert [i.code for i in autumn].count(Code.MISSING) == 2
    assert [i.start.hour for i in autumn if i.code is Code.MISSING] == [1, 1]  # the second pass, never invented
    assert autumn[-1].kwh == D(47)
    with pytest.raises(ValueError, match="47 columns"):
        local_day([D(1)] * 47, date(2025, 6, 1), LONDON)


def test_w19_a_label_by_end_in_summer_time() -> None:
    label = datetime(2019, 8, 26, 0, 30)  # noqa: DTZ001  as the file writes it
    found = labelled(label, by="end", tz=LONDON)
    assert found == (datetime(2019, 8, 25, 23, tzinfo=UTC), datetime(2019, 8, 25, 23, 30, tzinfo=UTC))


def test_labels_of_other_kinds() -> None:
    at = datetime(2023, 1, 1, 12, tzinfo=UTC)
    half = timedelta(minutes=30)
    assert labelled(at, by="start") == (at, at + half)
    assert labelled(at, by="end") == (at - half, at)
    repeated = datetime(2023, 10, 29, 1, 0)  # noqa: DTZ001
    assert labelled(repeated, by="start", tz=LONDON)[0] == datetime(2023, 10, 29, 0, tzinfo=UTC)
    assert labelled(repeated, by="start", tz=LONDON, second_pass=True)[0] == datetime(2023, 10, 29, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="skips"):
        labelled(datetime(2023, 3, 26, 1, 30), by="start", tz=LONDON)  # noqa: DTZ001
    with pytest.raises(ValueError, match="which time zone"):
        labelled(repeated, by="start")


def test_w20_coverage() -> None:
    found = coverage([Code.ACTUAL] * 45 + [Code.INTERPOLATED] * 3 + [Code.MISSING] * 2)
    assert found.expected == 50
    assert (found.coverage, found.estimated_share, found.missing_share) == (D("0.9"), D("0.06"), D("0.04"))


def test_a_register_read_every_minute() -> None:
    minutes = np.arange(-5, 130)
    assert read(METER, KWH, window(minutes, 1000 + minutes * 0.1)) == [("3", "A")] * 4


def test_a_register_read_off_the_half_hour_is_read_between() -> None:
    seen = window([-2.5, 27.5, 32.5, 57.5, 62.5, 87.5, 92.5, 117.5, 122.5], [0, 30, 35, 60, 65, 90, 95, 120, 125])
    patient = KWH.model_copy(update={"max_age": timedelta(minutes=31)})
    assert read(METER, patient, seen) == [("30", "A")] * 4


def test_a_gap_of_a_register_is_spread_and_loses_nothing() -> None:
    minutes = [*range(-5, 46), *range(105, 126)]
    seen = window(minutes, [1000 + m * 0.2 for m in minutes])
    assert read(METER, KWH, seen) == [("6", "A"), ("6", "R"), ("6", "R"), ("6", "R")]
    inside = [*range(-5, 36), *range(55, 126)]
    assert read(METER, KWH, window(inside, [m * 0.2 for m in inside]))[1] == ("6", "A")  # both borders were read


def test_what_does_not_divide_evenly_still_adds_up() -> None:
    found = read(METER, KWH, window([0, 90, 95], [100, 101, 101]), hours=1.5)
    assert found == [("0.3333", "R"), ("0.3334", "R"), ("0.3333", "R")]


def test_a_reading_a_moment_beside_the_border_counts_as_at_it() -> None:
    minutes = [*range(-5, 31), *range(60, 130)]
    seen = window(np.array(minutes) - 0.01, [m * 0.2 for m in minutes])  # every reading 0.6 s early, then a gap
    assert [code for _, code in read(METER, KWH, seen)] == ["A"] * 4


def test_bad_readings_are_a_gap() -> None:
    minutes = np.arange(-5, 130)
    seen = window(minutes, minutes * 0.1, bad=tuple(range(30, 60)))
    assert [code for _, code in read(METER, KWH, seen)] == ["R", "R", "A", "A"]


def test_a_reset_makes_the_half_hour_missing_and_no_other() -> None:
    minutes = np.arange(-5, 130)
    seen = window(minutes, np.where(minutes < 40, 51000 + minutes, minutes - 40.0))
    assert read(METER, KWH, seen) == [("30", "A"), (None, "M"), ("30", "A"), ("30", "A")]


def test_a_roll_over_costs_nothing() -> None:
    meter = METER.model_copy(update={"digits": 5, "multiplier": 10.0})
    minutes = np.arange(-5, 130)
    seen = window(minutes, (99_980.0 + minutes) % 100_000)
    assert read(meter, KWH, seen) == [("300", "A")] * 4


def test_an_exchange_of_the_meter_is_bridged() -> None:
    exchange = Exchange(time=START + timedelta(minutes=40, seconds=30), closing=5040.5, opening=10.0)
    meter = METER.model_copy(update={"exchanges": (exchange,)})
    minutes = np.arange(-5, 130)
    seen = window(minutes, np.where(minutes <= 40, 5000.0 + minutes, minutes - 40.5 + 10))
    assert read(meter, KWH, seen) == [("30", "A")] * 4


def test_an_impossible_rise_is_refused() -> None:
    meter = METER.model_copy(update={"capacity_kw": 60.0})
    minutes = np.arange(-5, 130)
    values = minutes * 0.5
    spike = values.copy()
    spike[50] += 1e6
    assert read(meter, KWH, window(minutes, spike)) == [("15", "A"), (None, "M"), ("15", "A"), ("15", "A")]


def test_outside_the_readings_energy_is_missing() -> None:
    minutes = np.arange(40, 80)
    assert [code for _, code in read(METER, KWH, window(minutes, minutes * 1.0))] == ["M", "M", "M", "M"]
    assert read(METER, KWH, window([], [])) == [(None, "M")] * 4
    assert read(METER, KWH, window([0], [5])) == [(None, "M")] * 4


def test_the_running_half_hour_is_counted_so_far() -> None:
    minutes = np.arange(-5, 46)
    found = account(METER, KWH, window(minutes, minutes * 0.1), START, START + timedelta(minutes=45))
    assert [i.kwh for i in found.intervals] == [D(3), D("1.5")]
    assert found.intervals[-1].end == START + timedelta(minutes=45)
    assert found.kwh == D("4.5")


def test_gas_in_cubic_metres_becomes_energy() -> None:
    gas = Meter(id="gas", fuel=Fuel.GAS, point="a.b.c", calorific_value=39.5)
    minutes = np.arange(-5, 130)
    found = account(gas, KWH.model_copy(update={"unit": Unit.M3}), window(minutes, minutes / 10), START, START + HOUR)
    assert found.kwh == round(gas_kwh(D(6), calorific_value=D("39.5")), 4)


def test_power_is_integrated() -> None:
    minutes = np.arange(-5, 130)
    assert read(POWER, KW, window(minutes, np.full(len(minutes), 12.0))) == [("6", "A")] * 4
    assert read(POWER, KW, window(minutes, np.maximum(minutes, 0) / 60.0))[:2] == [("0.125", "A"), ("0.375", "A")]


def test_gaps_of_power_are_bridged_up_to_ninety_minutes() -> None:
    bridged = [*range(-5, 31), *range(60, 130)]
    assert read(POWER, KW, window(bridged, [10.0] * len(bridged))) == [("5", "A"), ("5", "I"), ("5", "A"), ("5", "A")]
    broken = [*range(-5, 21), *range(115, 130)]
    assert [code for _, code in read(POWER, KW, window(broken, [10.0] * len(broken)))] == ["M"] * 4


def test_signed_power_is_split_into_import_and_export() -> None:
    minutes = np.arange(-5, 130)
    seen = window(minutes, np.where(minutes < 60, 8.0, -4.0))
    export = POWER.model_copy(update={"export": True})
    imported = account(POWER, KW, seen, START, START + 2 * HOUR).kwh
    exported = account(export, KW, seen, START, START + 2 * HOUR).kwh
    assert imported == pytest.approx(D(8), abs=D("0.1"))
    assert exported == pytest.approx(D(4), abs=D("0.1"))


def test_an_interval_meter_reports_at_the_end_of_its_half_hour() -> None:
    meter = Meter(id="amr", fuel=Fuel.ELECTRICITY, point="a.b.c", kind=MeterKind.INTERVAL)
    found = read(meter, KWH, window([0, 30, 60, 60.5, 120], [9, 1, 2, 2.5, 4]))
    assert found == [("1", "A"), ("2", "A"), ("2.5", "A"), ("4", "A")]
    assert read(meter, KWH, window([30, 90], [1, 3])) == [("1", "A"), (None, "M"), ("3", "A"), (None, "M")]


def test_an_empty_period_is_refused() -> None:
    with pytest.raises(ValueError, match="empty period"):
        account(METER, KWH, window([], []), START, START)


@settings(max_examples=60, deadline=None)
@given(
    rises=st.lists(st.integers(0, 50), min_size=190, max_size=190),
    lost=st.sets(st.integers(20, 170)),
    cut=st.integers(1, 3),
)
def test_energy_adds_up_over_any_split_and_gaps_conserve_it(rises: list[int], lost: set[int], cut: int) -> None:
    minutes = np.arange(-30, 160)
    register = 5000 + np.cumsum(rises) / 10
    keep = np.array([n not in lost for n in range(190)])
    seen = window(minutes[keep], register[keep])
    border = START + cut * timedelta(minutes=30)
    whole = account(METER, KWH, seen, START, START + 2 * HOUR)
    parts = [account(METER, KWH, seen, START, border), account(METER, KWH, seen, border, START + 2 * HOUR)]
    assert sum((part.intervals for part in parts), ()) == whole.intervals
    assert sum((part.kwh for part in parts), D(0)) == whole.kwh
    if {30, 150}.isdisjoint(lost):
        assert whole.kwh == D(round((register[150] - register[30]) * 10)) / 10
