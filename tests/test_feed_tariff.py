"""Prices by the half-hour, from the pages of an API and from a file."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.base import Here, NotReachable, Quality
from drivers.clock import Clock
from drivers.feeds.tariff import TariffDriver, TariffOptions, read_rates
from tests.feed_bench import Bench, bench
from tests.feed_server import BROKEN, Answer, Asked, as_json, rate, rates

START = datetime(2023, 3, 25, 14, 10, tzinfo=UTC)
HALF = timedelta(minutes=30)
PRODUCT = {"product": "AGILE-23-12-06", "tariff": "E-1R-AGILE-23-12-06-E"}
PATH = "/v1/products/AGILE-23-12-06/electricity-tariffs/E-1R-AGILE-23-12-06-E/standard-unit-rates/"


def agile(until: datetime) -> list[dict[str, Any]]:
    """Newest first; the price is the number of half-hours since midnight of the 25th, in pence."""
    midnight = START.replace(hour=0, minute=0)
    numbers = reversed(range(26, int((until - midnight) / HALF)))
    return [rate(midnight + n * HALF, n, end=midnight + (n + 1) * HALF) for n in numbers]


async def price(b: Bench) -> float | None:
    async with b.driver() as driver:
        (reading,) = await driver.read([b.points["import"]])
    return reading.value


async def test_prices_are_per_kwh_and_without_tax_and_forecast_as_far_as_known() -> None:
    async with bench("tariff", Clock(START), PRODUCT) as b:
        b.server.reply = lambda _: as_json(rates(agile(START.replace(hour=23, minute=0))))
        async with b.driver() as driver:
            (reading,) = await driver.read([b.points["import"]])
            (forecast,) = driver.forecasts()
        (asked,) = b.server.asked
    assert (reading.value, reading.quality) == (0.28, Quality.GOOD)
    assert forecast.end == START.replace(hour=23, minute=0)
    assert (asked.path, asked.query["period_from"]) == (PATH, "2023-03-25T13:00Z")
    assert asked.query["period_to"] == "2023-03-27T14:00Z"
    assert "AGILE" in forecast.origin.attribution


async def test_tax_and_payment_are_as_the_options_say() -> None:
    rows = [rate(START - HALF, 20.0, method="DIRECT_DEBIT"), rate(START - HALF, 30.0, method="NON_DIRECT_DEBIT")]
    for options, wanted in (({}, 0.20), ({"vat": True}, 0.21), ({"payment_method": "NON_DIRECT_DEBIT"}, 0.30)):
        async with bench("tariff", Clock(START), {**PRODUCT, **options}) as b:
            b.server.reply = lambda _: as_json(rates(rows))
            assert await price(b) == pytest.approx(wanted)


async def test_every_page_is_asked_for() -> None:
    rows = agile(START.replace(day=27, hour=13, minute=0))
    assert len(rows) == 96

    async with bench("tariff", Clock(START), PRODUCT) as b:

        def reply(asked: Asked) -> Answer:
            page = int(asked.query.get("page", "1"))
            following = f"{b.server.address}{PATH}?page={page + 1}&page_size=40" if page < 3 else None
            return as_json(rates(rows[(page - 1) * 40 : page * 40], following=following))

        b.server.reply = reply
        async with b.driver() as driver:
            (forecast,) = driver.forecasts()
        assert [asked.query.get("page", "1") for asked in b.server.asked] == ["1", "2", "3"]
    assert forecast.values == pytest.approx([n / 100 for n in range(26, 122)])


async def test_half_the_pages_are_no_prices_at_all() -> None:
    async with bench("tariff", Clock(START), PRODUCT) as b:

        def reply(asked: Asked) -> Answer:
            if "page" in asked.query:
                return BROKEN
            return as_json(rates(agile(START.replace(hour=20)), following=f"{b.server.address}{PATH}?page=2"))

        b.server.reply = reply
        driver = b.driver()
        with pytest.raises(NotReachable, match="answered 500"):
            await driver.__aenter__()
        assert driver.forecasts() == []


@pytest.mark.parametrize(
    ("following", "why"),
    [
        ("{here}" + PATH + "?page=2", "round in a circle"),
        ("https://[::1", "which is no address"),
        ("https://prices.example.org" + PATH + "?page=2", "where we do not go"),
    ],
)
async def test_pages_that_lead_astray_are_not_followed(following: str, why: str) -> None:
    async with bench("tariff", Clock(START), PRODUCT) as b:
        link = following.replace("{here}", b.server.address)
        b.server.reply = lambda _: as_json(rates(agile(START.replace(hour=20)), following=link))
        with pytest.raises(NotReachable, match=why):
            await price(b)
        assert len(b.server.asked) <= 2


async def test_pages_without_end_are_given_up() -> None:
    async with bench("tariff", Clock(START), PRODUCT) as b:
        b.server.reply = lambda asked: as_json(
            rates([], following=f"{b.server.address}{PATH}?page={int(asked.query.get('page', '1')) + 1}")
        )
        with pytest.raises(NotReachable, match="more than 20 pages"):
            await price(b)


async def test_prices_may_be_negative_and_may_hold_for_ever() -> None:
    async with bench("tariff", Clock(START), PRODUCT) as b:
        b.server.reply = lambda _: as_json(rates([rate(START.replace(year=2020), -3.5)]))
        async with b.driver() as driver:
            (forecast,) = driver.forecasts()
    assert set(forecast.values) == {-0.035}
    assert forecast.end == START.replace(minute=0) + timedelta(hours=48)


async def test_the_clock_change_day_has_its_46_half_hours() -> None:
    clock = Clock(START.replace(hour=23, minute=40))
    async with bench("tariff", clock, PRODUCT) as b:
        b.server.reply = lambda _: as_json(rates(agile(START.replace(day=26, hour=23, minute=0))))
        async with b.driver() as driver:
            seen = []
            for _ in range(46):
                (reading,) = await driver.read([b.points["import"]])
                seen.append(reading.value)
                await clock.sleep_until(clock.now() + HALF)
    assert seen == pytest.approx([n / 100 for n in range(47, 93)])


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "no price for the next two days"),
        ([rate(START - timedelta(days=9), 20.0, end=START - timedelta(days=8))], "no price for the next two days"),
        ([rate(START - HALF, 20.0), rate(START - HALF, 25.0)], "two prices for 2023-03-25"),
        ([rate(START - HALF, 2500.0)], "no value that could be so"),
        ([{"value_exc_vat": 20.0}], "not the shape of unit rates"),
        ([{**rate(START, 20.0), "valid_from": "2023-03-25T14:00:00"}], "not the shape of unit rates"),
    ],
)
async def test_prices_that_cannot_be_are_refused(rows: list[dict[str, Any]], why: str) -> None:
    async with bench("tariff", Clock(START), PRODUCT) as b:
        b.server.reply = lambda _: as_json(rates(rows))
        with pytest.raises(NotReachable, match=f"not believed: .*{why}"):
            await price(b)


async def test_tomorrows_prices_are_news_and_the_same_again_is_none() -> None:
    clock = Clock(START)
    async with bench("tariff", clock, PRODUCT) as b:
        known = START.replace(hour=23, minute=0)
        b.server.reply = lambda _: as_json(rates(agile(known)))
        async with b.driver() as driver:
            await clock.sleep_until(START.replace(hour=16, minute=20))
            await driver.read([b.points["import"]])
            assert driver.forecasts()[0].issued_at == START
            b.server.reply = lambda _: as_json(rates(agile(known + timedelta(days=1))))
            await clock.sleep_until(START.replace(hour=16, minute=50))
            await driver.read([b.points["import"]])
            assert driver.forecasts()[0].issued_at == clock.now()


# --- the file ------------------------------------------------------------------------------------------------------


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(["from,rate", *lines]) + "\n", encoding="utf-8")
    return path


def a_day(rate_: float) -> list[str]:
    first = START.replace(hour=0, minute=0)
    return [f"{first + n * HALF:%Y-%m-%dT%H:%MZ},{rate_ + n / 1000:.3f}" for n in range(48)]


async def test_a_file_is_read_and_read_again_when_it_changes(tmp_path: Path) -> None:
    clock, path = Clock(START), written(tmp_path / "prices.csv", a_day(0.2))
    options = {"url": "http://127.0.0.1:9", "file": "prices.csv"}
    async with bench("tariff", clock, options, here=Here(base=tmp_path, keep=tmp_path / "feeds")) as b:
        async with b.driver() as driver:
            (reading,) = await driver.read([b.points["import"]])
            (forecast,) = driver.forecasts()
            assert reading.value == pytest.approx(0.228)
            assert forecast.end == START.replace(day=26, hour=0, minute=0)
            written(path, a_day(0.3))
            os.utime(path, (0, 1))
            await clock.sleep_until(START + timedelta(minutes=2))
            (reading,) = await driver.read([b.points["import"]])
            assert reading.value == pytest.approx(0.328)
            assert driver.forecasts()[0].issued_at == clock.now()
            path.write_text("from,rate\n")
            await clock.sleep_until(START + timedelta(hours=1))
            (reading,) = await driver.read([b.points["import"]])
            assert reading.value == pytest.approx(0.330), "what was read last goes on"
        assert b.server.asked == []
    assert not (tmp_path / "feeds").exists(), "a file needs no other file"


async def test_a_file_of_another_year_has_no_price(tmp_path: Path) -> None:
    written(tmp_path / "prices.csv", ["2019-01-01T00:00Z,0.2"])
    async with bench("tariff", Clock(START), {"file": "prices.csv"}, here=Here(base=tmp_path)) as b:
        with pytest.raises(NotReachable, match="no price for these days"):
            await price(b)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["2023-03-25T00:00,0.2"], "line 2: .*with their zone"),
        (["2023-03-25T00:00Z,0.2", "2023-03-25T00:10Z,0.2"], "line 3: .*write half-hours"),
        (["2023-03-25T00:00Z,0,2"], "line 2"),
        (["2023-03-25T00:00Z,cheap"], "line 2: .*write a time and a rate"),
        (["yesterday,0.2"], "line 2: .*write a time and a rate"),
        (["2023-03-25T00:00Z,28.5"], "line 2: .*not pence"),
        (["2023-03-25T00:00Z,nan"], "line 2: .*cannot be"),
        (["2023-03-25T00:00Z,0.2", "2023-03-25T01:00+01:00,0.2"], "line 3: .*twice"),
        ([], "no prices"),
    ],
)
def test_a_file_with_a_mistake_names_line_and_cure(tmp_path: Path, lines: list[str], why: str) -> None:
    path = written(tmp_path / "prices.csv", lines)
    if lines == ["2023-03-25T00:00Z,0,2"]:
        assert read_rates(path)  # a further column is somebody's remark
        return
    with pytest.raises(ValueError, match=why):
        read_rates(path)


def test_a_file_without_a_header_is_told_how_it_begins(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("2023-03-25T00:00Z,0.2\n")
    with pytest.raises(ValueError, match="let the first line read: from,rate"):
        read_rates(tmp_path / "prices.csv")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"prices\.csv cannot be read"):
        TariffDriver.check_options(TariffOptions(file=Path("prices.csv")), Here(base=tmp_path))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"product": "AGILE-23-12-06"},
        {"file": "prices.csv", **PRODUCT},
        {**PRODUCT, "tariff": "E-1R-AGILE-23-12-06-I"},
        {**PRODUCT, "tariff": "agile"},
        {**PRODUCT, "url": "api.octopus.energy"},
        {**PRODUCT, "url": "ftp://api.octopus.energy"},
        {**PRODUCT, "url": "https://api octopus.energy"},
        {**PRODUCT, "url": "https://[::1"},
        {**PRODUCT, "url": "https://api.octopus.energy?key=1"},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TariffOptions.model_validate(options)
