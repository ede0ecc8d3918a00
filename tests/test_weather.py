"""Sun, clouds and the real temperature series."""

import gzip
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from config.site import Location
from site_sims import sun
from site_sims.weather import TEMPERATURES, Column, Weather, minute_of

MIDLANDS = Location(latitude=52.5, longitude=-1.9)


def weather(seed: int = 1) -> Weather:
    return Weather(MIDLANDS, seed=seed, pv_tilt_deg=20, pv_azimuth_deg=190)


def day_minutes(year: int, month: int, day: int) -> np.ndarray:
    return minute_of(datetime(year, month, day, tzinfo=UTC)) + np.arange(1440.0)


@pytest.mark.parametrize(
    ("month", "day", "noon_elevation"), [(6, 21, 60.9), (12, 21, 14.1), (3, 21, 37.7)]
)  # 90 - latitude + declination
def test_the_sun_stands_as_high_at_noon_as_the_almanac_says(month: int, day: int, noon_elevation: float) -> None:
    where = sun.position(day_minutes(2023, month, day), latitude=52.5, longitude=-1.9)
    assert np.degrees(np.arcsin(where.up.max())) == pytest.approx(noon_elevation, abs=0.3)
    assert where.up.argmax() / 60 == pytest.approx(12.13, abs=0.3)  # 7.6 minutes west, and the equation of time


def test_the_sun_rises_in_the_east_and_stands_in_the_south() -> None:
    where = sun.position(day_minutes(2023, 3, 21), latitude=52.5, longitude=-1.9)
    risen = np.flatnonzero(where.up > 0)
    assert where.east[risen[0]] > 0.99
    assert where.east[risen[-1]] < -0.99
    assert where.north[where.up.argmax()] < -0.7


def test_split_and_flat_surface_give_back_the_horizontal_irradiance() -> None:
    where = sun.position(day_minutes(2023, 5, 1), latitude=52.5, longitude=-1.9)
    horizontal = sun.clear_sky(where)
    direct, diffuse = sun.split(horizontal, where)
    flat = sun.on_surface(where, horizontal=horizontal, direct=direct, diffuse=diffuse, tilt_deg=0, azimuth_deg=0)
    assert np.allclose(flat, horizontal, atol=1.0)
    assert horizontal.max() == pytest.approx(830, abs=60)


def test_clouds_only_take_away() -> None:
    clear = np.array([800.0])
    assert sun.clouded(clear, np.array([0.0]))[0] == 800.0
    assert sun.clouded(clear, np.array([1.0]))[0] == pytest.approx(200.0)


def test_the_same_minute_is_the_same_whatever_was_asked_before() -> None:
    minute = minute_of(datetime(2023, 2, 6, 12, 34, tzinfo=UTC))
    one, other = weather(), weather()
    other.between(minute - 20_000, minute + 5)
    assert np.array_equal(one.at(minute), other.at(minute))
    assert not np.array_equal(one.at(minute), weather(seed=2).at(minute))
    assert one.at(minute)[Column.OUTDOOR] == weather(seed=2).at(minute)[Column.OUTDOOR]  # the series is real


def test_temperatures_run_through_the_recorded_hours() -> None:
    with gzip.open(TEMPERATURES, "rt") as file:
        rows = dict(line.strip().split(",") for line in file if line[0] == "2")
    at = datetime(2023, 2, 8, 5, tzinfo=UTC)
    hours = [float(rows[f"{at + timedelta(hours=n):%Y-%m-%dT%H:%MZ}"]) for n in (0, 1)]
    minute = minute_of(at)
    assert weather().at(minute)[Column.OUTDOOR] == pytest.approx(hours[0])
    assert weather().at(minute + 30)[Column.OUTDOOR] == pytest.approx(sum(hours) / 2)


def test_a_range_is_the_rows_one_by_one() -> None:
    start = minute_of(datetime(2023, 2, 6, 23, 55, tzinfo=UTC))
    block = weather().between(start, start + 10)
    assert np.array_equal(block, np.array([weather().at(start + n) for n in range(10)]))


def test_days_beyond_the_series_are_refused_by_name() -> None:
    with pytest.raises(LookupError, match="2031-05-01"):
        weather().day(minute_of(datetime(2031, 5, 1, tzinfo=UTC)) // 1440)


def test_monthly_irradiation_is_that_of_the_english_midlands() -> None:
    found = {}
    for month, days in ((1, 31), (6, 30)):
        start = minute_of(datetime(2023, month, 1, tzinfo=UTC))
        rows = [weather(seed).between(start, start + days * 1440)[:, Column.HORIZONTAL].mean() for seed in (1, 2, 3)]
        found[month] = float(np.mean(rows)) * 24 / 1000  # kWh/m2 a day
    assert 0.5 < found[1] < 0.9
    assert 4.5 < found[6] < 5.8
