"""What feeds said of the past, out of the store: intensity and prices by half-hour, and a report that uses them."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from report_site import ESTATE, estate, every, fill, rising, site_file, store

from config.intensity import Kind
from controller.carbon.heard import heard_intensity, heard_prices
from controller.cli import run
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock

D = Decimal
START = datetime(2024, 2, 29, tzinfo=UTC)
DAY = timedelta(days=1)
HALF = timedelta(minutes=30)
METERS = tuple(estate().points)
FEEDS = """
  - id: carbon
    driver: carbon_intensity
    options: {scope: national}
    points:
      - {id: hall.grid.carbon_forecast, role: carbon_intensity, unit: g/kWh, address: forecast}
      - {id: hall.grid.carbon_actual, role: carbon_intensity, unit: g/kWh, address: actual, max_age: 3 h}
  - id: prices
    driver: tariff
    options: {file: prices.csv}
    points:
      - {id: hall.grid.price, role: electricity_price, unit: money/kWh, address: import}
"""
WITH_FEEDS = ESTATE.replace("\nmeters:", f"{FEEDS}meters:", 1)


def said(point: str, at: datetime, value: float, *, instead: bool = False) -> Reading:
    quality, flags = (Quality.SUSPECT, Flags.SUBSTITUTED) if instead else (Quality.GOOD, Flags.NONE)
    return Reading(point=point, time=at, received=at + HALF, value=value, quality=quality, flags=flags)


async def told(directory: Path) -> None:
    """A day: 100 g actual before noon but for one substituted half-hour, 200 g forecast all day, a night price."""
    async with store(directory, Clock.real()) as kept:
        readings = []
        for n in range(48):
            at = START + n * HALF
            if n < 24:
                readings.append(said("hall.grid.carbon_actual", at, 150.0 if n == 3 else 100.0, instead=n == 3))
            for minute in (1, 11, 21):
                readings.append(said("hall.grid.carbon_forecast", at + timedelta(minutes=minute), 200.0))
                if n < 12:
                    readings.append(said("hall.grid.price", at + timedelta(minutes=minute), 0.055))
        await kept.append(readings)


async def test_what_was_goes_before_what_had_been_forecast(tmp_path: Path) -> None:
    await told(tmp_path)
    async with store(tmp_path, Clock.real()) as kept:
        found = await heard_intensity(kept, estate(WITH_FEEDS), START, START + DAY)
    assert found is not None
    known = [found.at(START + n * HALF) for n in (0, 3, 23, 24, 47)]
    assert [None if one is None else (one.g_per_kwh, one.kind) for one in known] == [
        (100.0, Kind.ACTUAL),
        (150.0, Kind.SUBSTITUTED),
        (100.0, Kind.ACTUAL),
        (200.0, Kind.SUBSTITUTED),
        (200.0, Kind.SUBSTITUTED),
    ]
    assert found.at(START + DAY) is None
    assert "NESO" in found.source


async def test_a_region_is_named(tmp_path: Path) -> None:
    await told(tmp_path)
    text = WITH_FEEDS.replace("scope: national", "scope: regional, postcode: B1")
    text = text.replace(
        "      - {id: hall.grid.carbon_actual, role: carbon_intensity, unit: g/kWh, address: actual, max_age: 3 h}\n",
        "",
    )
    async with store(tmp_path, Clock.real()) as kept:
        found = await heard_intensity(kept, estate(text), START, START + DAY)
    assert found is not None
    assert found.source.endswith("region of B1")


async def test_without_a_feed_or_a_word_of_it_there_is_nothing(tmp_path: Path) -> None:
    await told(tmp_path)
    async with store(tmp_path, Clock.real()) as kept:
        assert await heard_intensity(kept, estate(), START, START + DAY) is None
        assert await heard_intensity(kept, estate(WITH_FEEDS), START - 9 * DAY, START - 8 * DAY) is None
        assert await heard_prices(kept, estate(), START, START + DAY) == {}
        prices = await heard_prices(kept, estate(WITH_FEEDS), START, START + DAY)
    assert set(prices.values()) == {D("0.055")}
    assert len(prices) == 12


@pytest.mark.parametrize("file", [False, True])
def test_the_report_takes_a_file_before_the_feed(
    *, file: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def filled() -> None:
        await told(tmp_path)
        async with store(tmp_path, Clock.real()) as kept:
            await fill(kept, every(METERS, rising(1.0, 4000.0)), START - timedelta(hours=1), 26)

    asyncio.run(filled())
    (tmp_path / "prices.csv").write_text("from,rate\n2024-02-29T00:00Z,0.055\n", encoding="utf-8")
    grid = tmp_path / "grid.csv"
    rows = [f"2024-02-29T{n // 2:02}:{n % 2 * 30:02}Z,50,50" for n in range(48)]
    grid.write_text("\n".join(["from_utc,forecast_gco2_per_kwh,actual_gco2_per_kwh", *rows]), encoding="utf-8")
    given = ["--intensity", str(grid)] if file else []
    command = ["report", str(site_file(tmp_path, WITH_FEEDS)), "--from", "2024-02-29", "--to", "2024-02-29"]
    assert run([*command, "--format", "json", *given]) == 0
    shown = json.loads(capsys.readouterr().out)
    depot = shown["buildings"][1]["entries"][0]
    assert depot["grid"]["kg"] == pytest.approx(24 * 0.05 if file else (23 * 100 + 150 + 24 * 200) / 2 / 1000)
    assert depot["grid"]["estimated_kwh"] == (0.0 if file else 12.5)
    assert shown["half_hours_at_feed_prices"] == 12
    assert depot["cost"] == pytest.approx(6 * 0.055 + 18 * 0.3)
    assert ("feed" in shown["sources"]["intensity"]["name"]) is not file
    assert run([*command, *given]) == 0
    assert "12 half-hours is at the prices that the feed named" in capsys.readouterr().out
