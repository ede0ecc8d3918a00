"""Prices over time, across both clock changes of Great Britain."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.hours import Weekday
from config.localtime import day_bounds_s, epoch_s, instant_s, utc
from config.site import Fuel, Period, Tariff
from config.tariff import export_series, next_change, price_at, price_series

LONDON = "Europe/London"
HALF = timedelta(minutes=30)
QUARTER = timedelta(minutes=15)
TARIFF = Tariff(
    fuel=Fuel.ELECTRICITY,
    rate=0.25,
    export_rate=0.05,
    periods=(
        Period(start=time(0, 30), end=time(5, 30), rate=0.09),
        Period(start=time(16), end=time(19), rate=0.38),
    ),
)
CHANGES = [(year, kind) for year in range(2020, 2035) for kind in ("spring", "autumn", "summer")]


def last_sunday(year: int, month: int) -> date:
    day = date(year, month, 31)
    return day - timedelta(days=(day.weekday() + 1) % 7)


def charged(tariff: Tariff, day: date, tz: str = LONDON, step: timedelta = HALF) -> dict[float, timedelta]:
    """How long each rate holds on a local day."""
    first, last = day_bounds_s(day, tz)
    prices = price_series(tariff, utc(first), step, (last - first) // int(step.total_seconds()), tz)
    return {rate: step * int(count) for rate, count in zip(*np.unique(prices, return_counts=True), strict=True)}


@pytest.mark.parametrize(("year", "kind"), CHANGES)
def test_each_rate_holds_as_long_as_the_local_clock_says(year: int, kind: str) -> None:
    day = {"spring": last_sunday(year, 3), "autumn": last_sunday(year, 10), "summer": date(year, 7, 1)}[kind]
    lost = {"spring": timedelta(hours=-1), "autumn": timedelta(hours=1), "summer": timedelta(0)}[kind]
    # Both changes fall at 01:00 UTC, inside the night rate
    assert charged(TARIFF, day) == {
        0.09: timedelta(hours=5) + lost,
        0.25: timedelta(hours=16),
        0.38: timedelta(hours=3),
    }


def test_the_gap_hour_is_charged_nowhere_and_the_repeated_hour_twice_alike() -> None:
    inside = Tariff(fuel=Fuel.ELECTRICITY, rate=0.2, periods=(Period(start=time(1), end=time(2), rate=0.1),))
    assert charged(inside, date(2023, 3, 26)) == {0.2: timedelta(hours=23)}
    assert charged(inside, date(2023, 10, 29)) == {0.1: timedelta(hours=2), 0.2: timedelta(hours=23)}


def test_a_period_over_midnight_belongs_to_the_weekday_on_which_it_begins() -> None:
    night = Period(start=time(22), end=time(6), rate=0.1, days=(Weekday.SUN, Weekday.WED))
    tariff = Tariff(fuel=Fuel.ELECTRICITY, rate=0.3, periods=(night,))
    cheap = {
        (day.strftime("%a"), hour)
        for day in (date(2023, 2, 6) + timedelta(days=n) for n in range(7))
        for hour in range(24)
        if price_at(tariff, utc(instant_s(day, time(hour), LONDON)), LONDON) == 0.1
    }
    evenings = {(day, hour) for day in ("Sun", "Wed") for hour in (22, 23)}
    assert cheap == evenings | {(day, hour) for day in ("Mon", "Thu") for hour in range(6)}


def test_weekday_periods_hold_on_their_days_only() -> None:
    peak = Period(start=time(16), end=time(19), rate=0.4, days=(Weekday.MON, Weekday.FRI))
    tariff = Tariff(fuel=Fuel.ELECTRICITY, rate=0.2, periods=(peak,))
    found = [charged(tariff, date(2023, 2, 6) + timedelta(days=n)).get(0.4) for n in range(7)]
    three = timedelta(hours=3)
    assert found == [three, None, None, None, three, None, None]


def test_a_step_with_a_change_inside_has_the_mean_over_time() -> None:
    start = datetime(2023, 2, 6, 15, 40, tzinfo=UTC)
    assert price_series(TARIFF, start, timedelta(hours=1), 1, LONDON)[0] == pytest.approx((0.25 * 20 + 0.38 * 40) / 60)


def test_rates_are_exactly_as_written() -> None:
    prices = price_series(TARIFF, datetime(2023, 2, 6, tzinfo=UTC), QUARTER, 96, LONDON)
    assert set(prices.tolist()) == {0.09, 0.25, 0.38}
    assert prices[:2].tolist() == [0.25, 0.25]
    assert prices[2] == 0.09


def test_adjacent_periods_hand_over_without_a_gap() -> None:
    tariff = Tariff(
        fuel=Fuel.GAS,
        rate=0.5,
        periods=(
            Period(start=time(0), end=time(8), rate=0.1),
            Period(start=time(8), end=time(16), rate=0.2),
            Period(start=time(16), end=time(0), rate=0.3),
        ),
    )
    assert charged(tariff, date(2023, 2, 6)) == {rate: timedelta(hours=8) for rate in (0.1, 0.2, 0.3)}


@pytest.mark.parametrize(
    ("after", "change"),
    [
        ("2023-02-06T12:00", "2023-02-06T16:00"),
        ("2023-02-06T16:00", "2023-02-06T19:00"),
        ("2023-03-26T00:45", "2023-03-26T04:30"),  # 05:30 summer time
        ("2023-10-28T23:45", "2023-10-29T05:30"),
    ],
)
def test_the_next_change(after: str, change: str) -> None:
    found = next_change(TARIFF, datetime.fromisoformat(after).replace(tzinfo=UTC), LONDON)
    assert found == datetime.fromisoformat(change).replace(tzinfo=UTC)


def test_a_flat_tariff_never_changes() -> None:
    flat = Tariff(fuel=Fuel.GAS, rate=0.07)
    assert next_change(flat, datetime(2023, 2, 6, tzinfo=UTC), LONDON) is None
    assert price_at(flat, datetime(2023, 2, 6, tzinfo=UTC), LONDON) == 0.07


def test_export_is_paid_at_its_own_rate() -> None:
    assert export_series(TARIFF, datetime(2023, 2, 6, tzinfo=UTC), HALF, 3, LONDON).tolist() == [0.05] * 3


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
    minutes=st.integers(0, 60 * 24 * 400),
    begin=st.integers(0, 1439),
    length=st.integers(1, 1439),
    days=st.sets(st.sampled_from(list(Weekday)), min_size=1),
)
def test_the_price_is_what_the_reading_of_the_local_clock_says(
    zone: str, minutes: int, begin: int, length: int, days: set[Weekday]
) -> None:
    end = (begin + length) % 1440
    period = Period(
        start=time(begin // 60, begin % 60), end=time(end // 60, end % 60), rate=2.0, days=tuple(sorted(days))
    )
    tariff = Tariff(fuel=Fuel.ELECTRICITY, rate=1.0, periods=(period,))
    when = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    local = when.astimezone(ZoneInfo(zone))
    names = list(Weekday)
    minute = local.hour * 60 + local.minute
    today, yesterday = names[local.weekday()] in days, names[local.weekday() - 1] in days
    inside = (
        begin <= minute < end and today if begin < end else (minute >= begin and today) or (minute < end and yesterday)
    )
    assert price_at(tariff, when, zone) == (2.0 if inside else 1.0)
    assert price_series(tariff, when, timedelta(minutes=1), 1, zone)[0] == (2.0 if inside else 1.0)


@settings(max_examples=40, deadline=None)
@given(first=st.integers(1, 95), start=st.integers(0, 60 * 24 * 370))
def test_a_series_is_the_same_whole_or_in_parts(first: int, start: int) -> None:
    begin = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(minutes=start)
    whole = price_series(TARIFF, begin, QUARTER, 96, LONDON)
    parts = [
        price_series(TARIFF, begin, QUARTER, first, LONDON),
        price_series(TARIFF, begin + first * QUARTER, QUARTER, 96 - first, LONDON),
    ]
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_naive_times_and_empty_series_are_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        epoch_s(datetime(2023, 2, 6))  # noqa: DTZ001  that is the point
    with pytest.raises(ValueError, match="positive"):
        price_series(TARIFF, datetime(2023, 2, 6, tzinfo=UTC), HALF, 0, LONDON)
