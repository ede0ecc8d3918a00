"""Days of 23, 24 and 25 hours and the leap day, exact in windows and half-hours, before and after sealing."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from config.site import StoreOptions
from controller.store.sqlite import SqliteStore
from drivers.base import Reading
from drivers.clock import Clock

MINUTE, HALF_HOUR, DAY = timedelta(minutes=1), timedelta(minutes=30), timedelta(days=1)
POINT = "hall.meter.power"

DAYS = [  # zone, local day, half-hours
    ("Europe/London", (2023, 3, 26), 46),
    ("Europe/London", (2023, 10, 29), 50),
    ("Europe/London", (2024, 2, 29), 48),
    ("Europe/London", (2024, 3, 31), 46),
    ("Europe/London", (2023, 12, 31), 48),
    ("America/New_York", (2024, 11, 3), 50),
    ("Australia/Lord_Howe", (2024, 4, 7), 49),  # moves by half an hour
    ("Australia/Lord_Howe", (2024, 10, 6), 47),
    ("Asia/Kolkata", (2024, 2, 29), 48),
]


@pytest.mark.parametrize(("zone", "date", "half_hours"), DAYS, ids=[f"{zone} {date}" for zone, date, _ in DAYS])
@pytest.mark.parametrize("kept", ["as they came", "sealed", "as half-hours"])
async def test_a_local_day_has_its_own_number_of_half_hours(
    tmp_path: Path, zone: str, date: tuple[int, int, int], half_hours: int, kept: str
) -> None:
    local = datetime(*date, tzinfo=ZoneInfo(zone))
    start = local.astimezone(UTC)
    end = (local + DAY).astimezone(UTC)  # wall time, a day later
    assert (end - start) / HALF_HOUR == half_hours
    clock = Clock(end + (20 if kept == "as half-hours" else 2) * DAY)
    options = StoreOptions(keep_days=7 if kept == "as half-hours" else 800)
    async with SqliteStore(tmp_path, clock=clock, options=options) as store:
        first = start - 2 * HALF_HOUR
        minutes = range(30 * (half_hours + 4))  # an hour more on both sides
        times = [first + n * MINUTE for n in minutes]
        await store.append([Reading(point=POINT, time=t, received=t, value=float(n)) for n, t in enumerate(times)])
        later = [end + n * DAY for n in range(3, 20)]  # by which the age of the day is believed
        await store.append([Reading(point=POINT, time=t, received=t, value=1.0) for t in later if t < clock.now()])
        if kept != "as they came":
            await store.upkeep.tend()
        if kept != "as half-hours":
            window = await store.window(POINT, start, end)
            assert len(window.value) == 30 * half_hours
            assert window.value[0] == 60.0
            assert window.time_s[-1] == (end - MINUTE).timestamp()
        found = await store.aggregate(POINT, start, end)
        by_utc_day = await store.aggregate(POINT, start, end, DAY)
    assert list(found) == [start + n * HALF_HOUR for n in range(half_hours)]
    for n, row in enumerate(found.values()):
        assert row == (74.5 + 30 * n, 60.0 + 30 * n, 89.0 + 30 * n, 30)
    assert sum(count for *_, count in by_utc_day.values()) == 30 * half_hours
    assert set(by_utc_day) == {start.replace(hour=0, minute=0), (end - MINUTE).replace(hour=0, minute=0)}


async def test_a_leap_year_has_its_day(tmp_path: Path) -> None:
    start, end = datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)
    async with SqliteStore(tmp_path, clock=Clock(end)) as store:
        hours = [start + timedelta(hours=n) for n in range(int((end - start) / timedelta(hours=1)))]
        await store.append([Reading(point=POINT, time=t, received=t, value=1.0) for t in hours])
        await asyncio.sleep(3600)
        await store.upkeep.tend()
        days = await store.aggregate(POINT, start, end, DAY)
        blocks = await store._database.read(lambda db: db.execute("SELECT count(*) FROM block").fetchone())
    assert list(days) == [start + n * DAY for n in range(29)]
    assert set(days.values()) == {(1.0, 1.0, 1.0, 24)}
    assert blocks == (29,)
