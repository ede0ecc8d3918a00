"""What feeds expect, on the planner's grid: their own word, then what is usual, and how old it is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from config.intensity import Basis, Boundary, Kind
from config.roles import Role
from config.site import Device, Site
from controller.backend.health import _feeds
from controller.events import Cause
from controller.feeds import FeedOutlook, Feeds, is_feed, on_grid
from controller.history import STEP, History
from controller.hub import Hub
from controller.naming import Names
from controller.outlook import Expected, LocalOutlook, Prices
from controller.supervisor import Link
from drivers.base import Reading
from drivers.clock import Clock
from drivers.forecast import Origin, PointForecast
from tests.conftest import EPOCH
from tests.town_hall import town_hall_site

HALF, HOUR = timedelta(minutes=30), timedelta(hours=1)
NESO = Origin(source="NESO", licence="CC BY 4.0", attribution="NESO, CC BY 4.0", basis=Basis())
SKY = Origin(source="sky", licence="CC BY 4.0", attribution="the sky, CC BY 4.0")
CARBON, PRICE, WARMTH, SUN = (f"townhall.feeds.{name}" for name in ("carbon", "price", "temperature", "solar"))
DEVICES = [
    {"id": "carbon", "driver": "carbon_intensity", "points": [
        {"id": CARBON, "role": "carbon_intensity", "unit": "g/kWh", "address": "forecast"}]},
    {"id": "prices", "driver": "tariff", "options": {"file": "p.csv"}, "points": [
        {"id": PRICE, "role": "electricity_price", "unit": "money/kWh", "address": "import"}]},
    {"id": "sky", "driver": "weather", "points": [
        {"id": WARMTH, "role": "temperature_forecast", "unit": "degC", "address": "temperature"},
        {"id": SUN, "role": "solar_forecast", "unit": "W/m2", "address": "solar"}]},
]  # fmt: skip


class Other:
    """The outlook without feeds: 9 degC, no sun, 111 g."""

    def __init__(self, basis: Basis | None = None) -> None:
        self.basis = basis

    def _all(self, value: float, start: datetime, steps: int) -> Expected:
        return Expected(values=np.full(steps, value), made_at=start, source="elsewhere", basis=self.basis)

    def outdoor_degc(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return self._all(9.0, start, steps)

    def solar_kw_m2(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return self._all(0.0, start, steps)

    def intensity_g_per_kwh(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return self._all(111.0, start, steps)

    def issued(self) -> Mapping[Cause, datetime]:
        return {Cause.CARBON: EPOCH, Cause.OCCUPANCY: EPOCH}


def site_with(*devices: str) -> Site:
    site = town_hall_site()
    added = [Device.model_validate(device) for device in DEVICES if device["id"] in devices]
    return site.model_copy(update={"devices": (*site.devices, *added)})


def forecast(
    point: str, values: Sequence[float | None], *, step: timedelta = HALF, origin: Origin = NESO, age: timedelta = HALF
) -> PointForecast:
    return PointForecast(
        point=point,
        start=EPOCH,
        step=step,
        values=tuple(values),
        kinds=(Kind.FORECAST,) * len(values),
        errors=None,
        issued_at=EPOCH - 2 * age,
        checked_at=EPOCH - age,
        origin=origin,
    )


class Desk:
    """Feeds of a site and what they said."""

    def __init__(self, *devices: str, basis: Basis | None = None, history: History | None = None) -> None:
        self.site = site_with(*devices)
        self.links = {device.id: Link(device) for device in self.site.devices}
        self.feeds = Feeds(self.site, self.links)
        self.outlook = FeedOutlook(self.feeds, Other(basis), history or History([]))

    def say(self, device: str, *forecasts: PointForecast) -> None:
        self.links[device].forecasts = forecasts

    def carbon(self, steps: int = 96) -> Expected:
        return self.outlook.intensity_g_per_kwh(EPOCH, STEP, steps)


def test_a_site_without_feeds_hears_the_other_outlook_as_it_is() -> None:
    desk = Desk()
    assert desk.feeds.links == []
    assert desk.carbon().values.tolist() == [111.0] * 96
    assert desk.outlook.issued() == Other().issued()
    assert desk.feeds.import_price(EPOCH, STEP, 4) is None


def test_a_forecast_is_laid_on_the_planners_grid() -> None:
    desk = Desk("carbon")
    desk.say("carbon", forecast(CARBON, [100.0 + n for n in range(96)]))
    found = desk.carbon(8)
    assert found.values.tolist() == [100, 100, 101, 101, 102, 102, 103, 103]
    assert (found.source, found.made_at, found.basis) == ("NESO", EPOCH - HALF, Basis())
    assert not found.is_stale(EPOCH)
    assert desk.outlook.outdoor_degc(EPOCH, STEP, 2).source == "elsewhere", "only of what it speaks"


def test_weather_runs_smoothly_and_sun_is_in_kilowatts() -> None:
    desk = Desk("sky")
    hours = [0.0, 4.0, 8.0, 8.0]
    desk.say(
        "sky",
        forecast(WARMTH, hours, step=HOUR, origin=SKY),
        forecast(SUN, [100 * v for v in hours], step=HOUR, origin=SKY),
    )
    degc = desk.outlook.outdoor_degc(EPOCH, STEP, 16).values
    assert degc[:2].tolist() == [0.0, 0.0], "before the middle of the first hour there is nothing to lean on"
    assert degc[2:10].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5]
    assert degc[4:8].mean() == pytest.approx(4.0)
    assert desk.outlook.solar_kw_m2(EPOCH, STEP, 16).values[6:8].tolist() == pytest.approx([0.45, 0.55])


def test_an_old_forecast_is_used_and_called_old() -> None:
    desk = Desk("carbon")
    desk.say("carbon", forecast(CARBON, [100.0] * 96, age=timedelta(hours=7)))
    found = desk.carbon()
    assert set(found.values) == {100.0}
    assert found.is_stale(EPOCH)


def test_a_forecast_that_has_run_out_is_old_however_often_it_is_repeated() -> None:
    desk = Desk("carbon")
    ended = replace(forecast(CARBON, [100.0] * 4), start=EPOCH - timedelta(hours=10))
    desk.say("carbon", replace(ended, checked_at=EPOCH))
    assert desk.carbon().is_stale(EPOCH)


def week(point: str) -> History:
    """Seven days of the hour's number."""
    made = History([point])
    for n in range(7 * 96, 0, -1):
        when = EPOCH - n * STEP
        made.add([Reading(point=point, time=when, received=when, value=float(when.hour))], when)
    made.close(EPOCH)
    return made


def test_beyond_its_end_comes_what_is_usual_at_that_hour() -> None:
    desk = Desk("carbon", history=week(CARBON))
    desk.say("carbon", forecast(CARBON, [100.0] * 24))
    found = desk.carbon()
    assert found.values[:48].tolist() == [100.0] * 48
    assert found.values[48:].tolist() == [float(n // 4) for n in range(48, 96)]
    assert found.source == "NESO"
    late = desk.outlook.intensity_g_per_kwh(EPOCH + timedelta(hours=14), STEP, 4)
    assert late.values.tolist() == [14.0] * 4
    assert late.source == "what is usual then, after NESO"


def test_before_anything_is_usual_another_outlook_fills_the_rest() -> None:
    desk = Desk("carbon", basis=Basis())
    desk.say("carbon", forecast(CARBON, [100.0] * 24))
    assert desk.carbon().values[48:].tolist() == [111.0] * 48


def test_grams_of_another_kind_are_never_mixed_in() -> None:
    desk = Desk("carbon", basis=Basis(boundary=Boundary.LIFECYCLE))
    desk.say("carbon", forecast(CARBON, [100.0] * 23 + [120.0]))
    values = desk.carbon().values
    assert 111.0 not in values
    assert values[48:].tolist() == [120.0] * 48, "the last word holds"


def test_what_is_no_forecast_fills_no_gap() -> None:
    desk = Desk("carbon", "sky")
    desk.outlook = FeedOutlook(desk.feeds, LocalOutlook(desk.site, History([]), None), History([]))
    desk.say("carbon", forecast(CARBON, [100.0] * 23 + [120.0]))
    desk.say("sky", forecast(WARMTH, [4.0] * 12, step=HOUR, origin=SKY))
    assert set(desk.carbon().values[48:]) == {120.0}, "not the typical 150"
    assert set(desk.outlook.outdoor_degc(EPOCH, STEP, 96).values) == {4.0}, "not the 8 degC of nowhere"
    desk.say("carbon", replace(forecast(CARBON, [100.0] * 4), start=EPOCH - timedelta(days=9)))
    assert desk.carbon().source == "none"
    assert desk.carbon().is_stale(EPOCH)


def test_a_feed_that_has_said_nothing_is_old_from_the_start() -> None:
    found = Desk("carbon").carbon()
    assert found.values.tolist() == [111.0] * 96
    assert found.is_stale(EPOCH)
    assert "said nothing yet" in found.source


def test_what_is_issued_comes_from_the_feeds_and_of_the_rest_from_elsewhere() -> None:
    desk = Desk("carbon", "sky", "prices")
    assert desk.outlook.issued() == {Cause.OCCUPANCY: EPOCH}
    desk.say("carbon", forecast(CARBON, [100.0] * 96))
    desk.say("sky", forecast(WARMTH, [1.0] * 48, step=HOUR), forecast(SUN, [1.0] * 48, step=HOUR, age=2 * HOUR))
    desk.say("prices", forecast(PRICE, [0.2] * 48))
    assert desk.outlook.issued() == {
        Cause.OCCUPANCY: EPOCH,
        Cause.CARBON: EPOCH - HOUR,
        Cause.WEATHER: EPOCH - HOUR,
        Cause.PRICE: EPOCH - HOUR,
    }


def test_prices_of_the_feed_hold_and_where_it_knows_none_the_tariff(clock: Clock) -> None:
    desk = Desk("prices")
    prices = Prices(desk.site, clock=clock, triggers=Hub(), feed=desk.feeds)
    tariff = Prices(desk.site, clock=clock, triggers=Hub()).electricity(EPOCH, STEP, 96)
    nothing = prices.expected(EPOCH, STEP, 96)
    assert nothing.values.tolist() == tariff.tolist()
    assert nothing.is_stale(EPOCH)
    desk.say("prices", forecast(PRICE, [0.1, -0.05, None, 0.3]))
    found = prices.expected(EPOCH, STEP, 96)
    assert found.values[:8].tolist() == [0.1, 0.1, -0.05, -0.05, tariff[4], tariff[5], 0.3, 0.3]
    assert found.values[8:].tolist() == tariff[8:].tolist()
    assert not found.is_stale(EPOCH)
    assert prices.gas(EPOCH, STEP, 1).tolist() == [0.07]


def test_errors_are_handed_on_to_whoever_plans() -> None:
    desk = Desk("carbon")
    desk.say("carbon", replace(forecast(CARBON, [100.0] * 48), errors=tuple(float(n) for n in range(48))))
    errors = desk.carbon(8).errors
    assert errors is not None
    assert errors.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_every_source_is_named_once() -> None:
    desk = Desk("carbon", "sky")
    desk.say("carbon", forecast(CARBON, [1.0]))
    desk.say("sky", forecast(WARMTH, [1.0], origin=SKY), forecast(SUN, [1.0], origin=SKY))
    assert [origin.attribution for origin in desk.feeds.origins()] == ["NESO, CC BY 4.0", "the sky, CC BY 4.0"]


def test_only_drivers_that_know_the_future_are_feeds() -> None:
    assert [is_feed(device) for device in site_with("carbon").devices[-2:]] == [False, True]
    assert not is_feed(site_with("carbon").devices[-1].model_copy(update={"driver": "unheard_of"}))


def test_a_feed_is_never_taken_for_a_sensor() -> None:
    site = site_with("carbon", "prices", "sky")
    for role in (Role.OUTDOOR_TEMPERATURE, Role.SOLAR_IRRADIANCE):
        assert [p.id for p in site.by_role(role)] == [p.id for p in town_hall_site().by_role(role)]


def test_holes_stay_holes_on_the_grid() -> None:
    found = on_grid(forecast(CARBON, [1.0, None, 3.0]), EPOCH - HALF, STEP, 10, smooth=True)
    assert np.isnan(found).tolist() == [True, True, False, False, True, True, False, False, True, True]


def test_health_says_when_each_feed_was_heard() -> None:
    desk = Desk("carbon", "sky")
    service = SimpleNamespace(feeds=desk.feeds, clock=SimpleNamespace(now=lambda: EPOCH))
    names = Names(desk.site)
    (check,) = _feeds(service, names)
    assert (check.ok, check.text) == (False, "carbon never heard, sky never heard")
    desk.say("carbon", forecast(CARBON, [1.0]))
    desk.say("sky", forecast(WARMTH, [1.0], age=timedelta(hours=1)))
    assert _feeds(service, names)[0].ok
    assert _feeds(service, names)[0].text == "carbon heard at 23:30, sky heard at 23:00"
    desk.say("sky", forecast(WARMTH, [1.0], age=timedelta(hours=7)))
    assert not _feeds(service, names)[0].ok
    assert _feeds(SimpleNamespace(feeds=Desk().feeds), names) == ()
