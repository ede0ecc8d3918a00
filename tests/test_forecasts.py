"""Forecasts given to the controller: how wrong they are, and how they agree with one another."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from config.site import Location
from site_sims.forecasts import Forecasts
from site_sims.weather import Column, Weather, minute_of

NOW = datetime(2023, 2, 6, 12, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)
WEATHER = Weather(Location(latitude=52.5, longitude=-1.9), seed=1)


def forecasts(seed: int = 1) -> Forecasts:
    return Forecasts(WEATHER, seed=seed)


def truth(column: Column, start: datetime, steps: int, minutes: int) -> np.ndarray:
    first = minute_of(start)
    rows = WEATHER.between(first, first + steps * minutes)[:, column]
    return rows.reshape(steps, minutes).mean(axis=1)


def errors(kind: str, hours: range) -> np.ndarray:
    """(issues, half-hours ahead)."""
    told, found = forecasts(), []
    for hour in hours:
        now = datetime(2023, 1, 10, tzinfo=UTC) + timedelta(hours=hour)
        series = getattr(told, kind)(now, start=now, steps=96, step=HALF_HOUR).series
        if kind == "carbon":
            true = told.intensity.actual_g_per_kwh(now, HALF_HOUR, 96)
        else:
            true = truth(Column.OUTDOOR, now, 96, 30)
        found.append(np.array(series.values) - true)
    return np.array(found)


def test_temperature_errors_grow_to_about_a_kelvin_in_a_day() -> None:
    error = errors("outdoor", range(0, 24 * 40, 7))
    rmse = np.sqrt((error**2).mean(axis=0))
    assert rmse[0] < 0.25
    assert 0.8 < rmse[47] < 1.25
    assert rmse[95] > rmse[24] > rmse[4]


def test_carbon_errors_are_twenty_five_grams_on_average() -> None:
    error = np.abs(errors("carbon", range(0, 24 * 40, 7)))
    assert error[:, 0].mean() < 6
    assert 20 < error.mean() < 30
    assert error[:, 60:].mean() > error[:, 4:10].mean()


def test_solar_is_never_negative_and_dark_stays_dark() -> None:
    series = forecasts().solar(NOW, start=NOW, steps=96, step=HALF_HOUR).series
    true = truth(Column.HORIZONTAL, NOW, 96, 30) / 1000
    told = np.array(series.values)
    assert (told >= 0).all()
    assert (told[true == 0] == 0).all()
    assert (np.abs(told - true)[true > 0.05] > 0).all()


def test_an_issue_is_always_the_same_and_lasts_an_hour() -> None:
    one, other = forecasts(), forecasts()
    other.outdoor(NOW - timedelta(days=3), start=NOW - timedelta(days=3), steps=8, step=HALF_HOUR)
    ask = {"start": NOW + timedelta(hours=1), "steps": 40, "step": HALF_HOUR}
    first = one.outdoor(NOW, **ask)
    assert first == other.outdoor(NOW, **ask)
    assert first == one.outdoor(NOW + timedelta(minutes=59), **ask)
    assert first.made_at == NOW
    assert first.series.values != one.outdoor(NOW + timedelta(hours=1), **ask).series.values
    assert first != forecasts(seed=2).outdoor(NOW, **ask)


def test_the_next_issue_revises_a_little_not_everything() -> None:
    told, start = forecasts(), NOW + timedelta(hours=12)
    ask = {"start": start, "steps": 24, "step": HALF_HOUR}
    now, later = (np.array(told.outdoor(NOW + timedelta(hours=h), **ask).series.values) for h in (0, 1))
    revision = np.abs(later - now).mean()
    error = np.abs(now - truth(Column.OUTDOOR, start, 24, 30)).mean()
    assert 0 < revision < max(error, 0.5)


def test_a_quarter_hour_grid_between_issues_starts_at_the_lead_it_has() -> None:
    start = NOW + timedelta(minutes=45)
    forecast = forecasts().carbon(start, start=start, steps=96, step=timedelta(minutes=15))
    assert forecast.made_at == NOW + timedelta(minutes=30)
    assert len(forecast.series.values) == 96
    assert min(forecast.series.values) >= 0
    assert "NESO" in forecast.source


def test_beyond_the_horizon_is_refused() -> None:
    with pytest.raises(ValueError, match="reaches 54 h"):
        forecasts().outdoor(NOW, start=NOW + timedelta(hours=50), steps=20, step=HALF_HOUR)


def test_beyond_the_carbon_data_the_last_half_hour_stands() -> None:
    told = forecasts()
    midnight = told.intensity.span[1]
    last = told.intensity.actual_g_per_kwh(midnight - HALF_HOUR, HALF_HOUR, 1)[0]
    series = told.carbon(midnight, start=midnight, steps=2, step=HALF_HOUR).series
    assert series.values[0] == pytest.approx(last, abs=25)
