"""Weather in the shape of its source: which hour a value belongs to, and what is refused."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.intensity import Kind
from config.site import Location
from drivers.base import Here, NotReachable
from drivers.clock import Clock
from drivers.feeds.weather import WeatherDriver, WeatherOptions
from tests.feed_bench import Bench, bench
from tests.feed_server import Answer, Asked, as_json, weather

START = datetime(2023, 3, 26, 0, 20, tzinfo=UTC)  # the night in which the clocks change
HOUR = timedelta(hours=1)


def degc(at: datetime) -> float:
    return float(at.hour)


def sun(at: datetime) -> float:
    """Mean of the hour that ends at `at`: 100 W/m2 for each hour after six, until four."""
    return 100.0 * (at.hour - 6) if 6 < at.hour <= 16 else 0.0


def sky(asked: Asked) -> Answer:
    return as_json(weather(asked, degc=degc, sun=sun))


def spoilt(change: Callable[[dict[str, Any]], None]) -> Callable[[Asked], Answer]:
    def reply(asked: Asked) -> Answer:
        answer = weather(asked, degc=degc, sun=sun)
        change(answer)
        return as_json(answer)

    return reply


async def both(b: Bench) -> tuple[float | None, float | None]:
    async with b.driver() as driver:
        temperature, solar = await driver.read([b.points["temperature"], b.points["solar"]])
    return temperature.value, solar.value


async def test_values_belong_to_the_hour_in_which_they_are_true() -> None:
    async with bench("weather", Clock(START.replace(hour=9))) as b:
        b.server.reply = sky
        assert await both(b) == (9.5, 400.0), "the mean of 9:00 and 10:00, and what the source calls 10:00"
        async with b.driver() as driver:
            temperature, solar = driver.forecasts()
    assert temperature.start == solar.start == START.replace(hour=9, minute=0)
    assert temperature.step == HOUR
    assert temperature.values[:3] == (9.5, 10.5, 11.5)
    assert temperature.values[14] == 11.5, "from eleven in the evening to midnight, 23 and 0 degrees"
    assert solar.values[:3] == (400.0, 500.0, 600.0)
    assert temperature.end - temperature.start > timedelta(hours=72)
    assert (temperature.origin.source, temperature.origin.licence) == ("Open-Meteo", "CC BY 4.0")


async def test_times_are_asked_for_without_a_zone_of_their_own() -> None:
    async with bench("weather", Clock(START)) as b:
        b.server.reply = sky
        await both(b)
        (asked,) = b.server.asked
    assert asked.path == "/v1/forecast"
    assert asked.query == {
        "latitude": "52.4800",
        "longitude": "-1.9000",
        "hourly": "temperature_2m,shortwave_radiation",
        "timezone": "GMT",
        "past_days": "1",
        "forecast_days": "4",
    }


async def test_no_hour_is_lost_when_the_clocks_change() -> None:
    clock = Clock(START)
    async with bench("weather", clock) as b:
        b.server.reply = sky
        async with b.driver() as driver:
            seen = []
            for _ in range(24):
                (reading,) = await driver.read([b.points["temperature"]])
                seen.append(reading.value)
                await clock.sleep_until(clock.now() + HOUR)
    assert seen == [n + 0.5 for n in range(23)] + [11.5]


def _units(answer: dict[str, Any]) -> None:
    answer["hourly_units"]["temperature_2m"] = "°F"


def _offset(answer: dict[str, Any]) -> None:
    answer["utc_offset_seconds"] = 3600


def _hole(answer: dict[str, Any]) -> None:
    for column in answer["hourly"].values():
        del column[30]


def _short(answer: dict[str, Any]) -> None:
    answer["hourly"]["temperature_2m"].pop()


def _times(answer: dict[str, Any]) -> None:
    answer["hourly"]["time"][3] = "half past three"


def _no_column(answer: dict[str, Any]) -> None:
    del answer["hourly"]["shortwave_radiation"]


def _past(answer: dict[str, Any]) -> None:
    for name, column in answer["hourly"].items():
        answer["hourly"][name] = column[:20]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_units, "hourly_units.temperature_2m"),
        (_offset, "utc_offset_seconds"),
        (_hole, "hour by hour"),
        (_short, "different lengths"),
        (_times, "times that are none"),
        (_no_column, "hourly.shortwave_radiation"),
        (_past, "nothing of the future"),
        (dict.clear, "utc_offset_seconds"),
    ],
)
async def test_another_shape_is_refused_in_words(change: Callable[[dict[str, Any]], None], why: str) -> None:
    async with bench("weather", Clock(START)) as b:
        b.server.reply = spoilt(change)
        with pytest.raises(NotReachable, match=f"not believed: .*{why}"):
            await both(b)


async def test_what_cannot_be_is_refused_by_itself_and_the_rest_is_used() -> None:
    async with bench("weather", Clock(START.replace(hour=9))) as b:
        b.server.reply = lambda asked: as_json(weather(asked, degc=degc, sun=lambda at: 0.0))
        assert await both(b) == (9.5, None), "four days without sun cannot be"


async def test_missing_hours_are_bridged_and_too_many_are_refused() -> None:
    def gappy(at: datetime) -> float | None:
        return None if at.hour in (12, 20, 21, 22) else degc(at)

    def cloudy(at: datetime) -> float | None:
        return None if at.hour == 12 else sun(at)

    async with bench("weather", Clock(START.replace(hour=9))) as b:
        b.server.reply = lambda asked: as_json(weather(asked, degc=gappy, sun=cloudy))
        async with b.driver() as driver:
            (solar,) = driver.forecasts()
    assert (solar.point, solar.values[2], solar.kinds[2]) == ("hall.grid.solar", 600.0, Kind.SUBSTITUTED)


async def test_it_learns_from_its_own_past() -> None:
    """The source's hour that has come true, against what it had said the day before: here always 2 K warmer."""
    clock = Clock(START)

    def reply(asked: Asked) -> Answer:
        return as_json(weather(asked, degc=lambda at: 10.0 if at <= asked.time else 8.0, sun=sun))

    async with bench("weather", clock) as b:
        b.server.reply = reply
        async with b.driver() as driver:
            for _ in range(5 * 24):
                await driver.read([b.points["temperature"]])
                await clock.sleep_until(clock.now() + HOUR)
            await driver.read([b.points["temperature"]])
            temperature, solar = driver.forecasts()
    assert temperature.values[6] == pytest.approx(10.0, abs=0.2)
    assert temperature.errors is not None
    assert solar.errors is None


async def test_a_key_goes_along(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("abc123\n")
    here = Here(location=Location(latitude=1, longitude=2), base=tmp_path)
    async with bench(
        "weather", Clock(START), {"api_key_file": "key.txt", "latitude": 50, "longitude": 3}, here=here
    ) as b:
        b.server.reply = sky
        await both(b)
        assert (b.server.asked[0].query["apikey"], b.server.asked[0].query["latitude"]) == ("abc123", "50.0000")


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"latitude": 50}, "write both"),
        ({}, "write both"),
        ({"latitude": 50, "longitude": 3, "api_key_file": "gone.txt"}, "write the key into it"),
        ({"latitude": 50, "longitude": 3, "api_key_file": "empty.txt"}, "write the key into its first line"),
    ],
)
def test_options_that_cannot_be_used_name_their_cure(options: dict[str, Any], cure: str, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match=cure):
        WeatherDriver.check_options(WeatherOptions.model_validate(options), Here(base=tmp_path))
