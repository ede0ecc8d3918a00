"""Forecasts without feeds, their age, and prices that change while we run."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from controller.carbon.intensity import read_intensity
from controller.events import Cause, Trigger
from controller.history import STEP, History
from controller.hub import Hub
from controller.outlook import TYPICAL_G_PER_KWH, Expected, LocalOutlook, Prices, words
from drivers.base import Reading
from drivers.clock import Clock
from site_sims.forecasts import INTENSITY
from tests.conftest import EPOCH
from tests.town_hall import town_hall_site

SITE = town_hall_site()
OUTDOOR, SOLAR = "townhall.outdoor.temperature", "townhall.outdoor.solar"


def history(hours: float) -> History:
    """So long before EPOCH: outdoors as many degrees as the hour of the day, sun 100 W/m2 above."""
    made = History([OUTDOOR, SOLAR])
    for step in range(int(hours * 4), 0, -1):
        when = EPOCH - step * STEP
        hour = float(when.hour)
        made.add(
            [Reading(point=p, time=when, received=when, value=v) for p, v in ((OUTDOOR, hour), (SOLAR, 100.0 + hour))],
            when,
        )
    made.close(EPOCH)
    return made


def test_the_last_day_is_repeated_at_the_same_hours() -> None:
    outlook = LocalOutlook(SITE, history(48), None)
    degc = outlook.outdoor_degc(EPOCH, STEP, 192)
    np.testing.assert_array_equal(degc.values, [n // 4 % 24 for n in range(192)])
    assert (degc.made_at, degc.source) == (EPOCH, "the last day repeated")
    sun = outlook.solar_kw_m2(EPOCH + timedelta(hours=1), STEP, 4)
    np.testing.assert_allclose(sun.values, 0.101)


def test_a_forecast_made_from_an_old_history_is_stale() -> None:
    degc = LocalOutlook(SITE, history(24), None).outdoor_degc(EPOCH + timedelta(hours=9), STEP, 4)
    np.testing.assert_array_equal(degc.values, 9.0)
    assert not degc.is_stale(EPOCH + timedelta(hours=6))
    assert degc.is_stale(EPOCH + timedelta(hours=6, seconds=1))


def test_gaps_of_the_last_day_are_filled_with_its_mean() -> None:
    made = history(24)
    made.add([], EPOCH + 8 * STEP)
    values = LocalOutlook(SITE, made, None).outdoor_degc(EPOCH + 8 * STEP, STEP, 96).values
    assert np.isfinite(values).all()
    assert values[-8:].tolist() == pytest.approx([values[:88].mean()] * 8)


def test_without_a_history_the_forecast_says_that_it_is_none() -> None:
    degc = LocalOutlook(SITE, History([]), None).outdoor_degc(EPOCH, STEP, 4)
    assert degc.values.tolist() == [8.0] * 4
    assert degc.source == "none"
    assert degc.is_stale(EPOCH)


def test_intensity_comes_from_the_file_and_beyond_it_is_typical_and_stale() -> None:
    outlook = LocalOutlook(SITE, History([]), read_intensity(INTENSITY))
    known = outlook.intensity_g_per_kwh(EPOCH, STEP, 96)
    assert not known.is_stale(EPOCH)
    assert 10 < known.values.min() < known.values.max() < 500
    later = datetime(2031, 1, 1, tzinfo=UTC)
    unknown = outlook.intensity_g_per_kwh(later, STEP, 4)
    assert unknown.values.tolist() == [TYPICAL_G_PER_KWH] * 4
    assert unknown.is_stale(later)
    assert LocalOutlook(SITE, History([]), None).intensity_g_per_kwh(EPOCH, STEP, 1).source == "none"


def test_words_name_only_what_is_too_old() -> None:
    old = Expected(values=np.zeros(1), made_at=EPOCH - timedelta(hours=7), source="the county")
    new = Expected(values=np.zeros(1), made_at=EPOCH, source="the country")
    assert words([("weather", old), ("carbon", new)], EPOCH) == "weather from the county"
    assert words([("carbon", new)], EPOCH) == ""


def test_prices_are_the_tariffs(clock: Clock) -> None:
    prices = Prices(SITE, clock=clock, triggers=Hub())
    hourly = prices.electricity(EPOCH, timedelta(hours=1), 24)
    assert (hourly[1], hourly[12], hourly[17]) == (0.09, 0.25, 0.38)
    assert set(prices.gas(EPOCH, STEP, 4)) == {0.07}
    assert set(prices.export(EPOCH, STEP, 4)) == {0.05}


def test_a_fuel_without_a_tariff_costs_nothing(clock: Clock) -> None:
    bare = SITE.model_copy(update={"tariffs": ()})
    prices = Prices(bare, clock=clock, triggers=Hub())
    assert prices.electricity(EPOCH, STEP, 3).tolist() == prices.export(EPOCH, STEP, 3).tolist() == [0.0] * 3


async def test_a_new_price_holds_in_its_span_and_is_a_trigger(clock: Clock) -> None:
    triggers: Hub[Trigger] = Hub()
    prices = Prices(SITE, clock=clock, triggers=triggers)
    with triggers.subscribe() as heard:
        prices.replace(EPOCH + 2 * STEP, EPOCH + 4 * STEP, 1.5)
        (trigger,) = heard.take()
    before = Prices(SITE, clock=clock, triggers=Hub()).electricity(EPOCH, STEP, 6)
    after = prices.electricity(EPOCH, STEP, 6)
    assert after[2:4].tolist() == [1.5, 1.5]
    assert after[[0, 1, 4, 5]].tolist() == before[[0, 1, 4, 5]].tolist()
    assert trigger.cause is Cause.PRICE
