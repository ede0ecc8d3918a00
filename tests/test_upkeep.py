"""Days are sealed, shrink and go; what can be asked stays the same, and appends never wait for it."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from config.site import StoreOptions
from controller.store.base import StoreError, Window
from controller.store.control import control_database
from controller.store.readings import every_reading, key
from controller.store.sqlite import SqliteStore
from controller.store.stamp import micros
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock

START = datetime(2023, 2, 6, tzinfo=UTC)  # when the virtual clock begins
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
POINTS = ("hall.a.temperature", "hall.b.temperature", "hall.c.co2")


def reading(when: datetime, value: float | None, point: str = POINTS[0], **more: object) -> Reading:
    return Reading(point=point, time=when, received=when + timedelta(milliseconds=4), value=value, **more)  # type: ignore[arg-type]


def some_days(days: int, *, before: datetime = START, every: timedelta = 10 * MINUTE) -> list[Reading]:
    """Three points with gaps, flags and a failed read now and then."""
    found = []
    for n in range(round(days * DAY / every)):
        when = before - days * DAY + n * every
        found += [reading(when, 20 + n % 13 / 10, POINTS[0]), reading(when, 19 + n % 7 / 10, POINTS[1])]
        if n % 5:
            bad = n % 11 == 0
            quality = Quality.BAD if bad else Quality.STALE if n % 17 == 0 else Quality.GOOD
            flags = Flags.NO_ANSWER if bad else Flags.PUSHED if n % 3 else Flags.NONE
            found.append(reading(when, None if bad else 400.0 + n, POINTS[2], quality=quality, flags=flags))
    return found


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path, clock=clock) as opened:
        yield opened


async def count(store: SqliteStore, table: str) -> int:
    return int(await store._database.read(lambda db: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))  # noqa: S608  constants


async def blocks(store: SqliteStore) -> dict[int, bytes]:
    return dict(await store._database.read(lambda db: db.execute("SELECT id, data FROM block").fetchall()))


def columns(window: Window) -> tuple[list[float], ...]:
    return tuple(
        column.tolist() for column in (window.time_s, np.nan_to_num(window.value, nan=-1), window.quality, window.flags)
    )


async def answers(store: SqliteStore) -> list[object]:
    """All that can be asked, in odd windows too."""
    found: list[object] = [await store.newest()]
    for point in POINTS:
        for start, end in (
            (START - 40 * DAY, START + DAY),
            (START - 3 * DAY + 7 * MINUTE, START - DAY - 3 * MINUTE),
            (START - 2 * DAY, START - 2 * DAY),
            (START - 2 * DAY, START - 3 * DAY),
        ):
            found.append(columns(await store.window(point, start, end)))
            found += [await store.aggregate(point, start, end, step * MINUTE) for step in (15, 30, 60, 1440)]
    return found


async def test_sealing_changes_no_answer(store: SqliteStore) -> None:
    await store.append([*some_days(5), reading(START + 5 * MINUTE, 21.0)])
    before = await answers(store)
    everything = await store._database.read(lambda db: sorted(every_reading(db), key=lambda row: row[:2]))
    await asyncio.sleep(3600)
    await store.upkeep.tend()
    assert await answers(store) == before
    assert await store._database.read(lambda db: sorted(every_reading(db), key=lambda row: row[:2])) == everything
    assert (await count(store, "block"), await count(store, "reading"), await count(store, "recent")) == (15, 1, 0)
    assert store.upkeep.used_bytes > 10_000


async def test_a_quarter_of_a_day_is_sealed_an_hour_after_its_end(store: SqliteStore) -> None:
    await store.append(some_days(2, before=START + DAY))
    left = []
    for _ in range(28):
        await store.upkeep.tend()
        left.append(await count(store, "reading"))
        await asyncio.sleep(3600)
    assert [hour for hour in range(1, 28) if left[hour] != left[hour - 1]] == [1, 7, 13, 19, 25]
    assert (left[-1], await count(store, "block")) == (0, 6)
    everything = await store._database.read(lambda db: sum(1 for _ in every_reading(db)))
    assert everything == len(some_days(2))


async def test_late_readings_rewrite_their_day_alone_and_replace_their_twins(store: SqliteStore) -> None:
    await asyncio.sleep(3600)
    await store.append(some_days(5))
    await store.upkeep.tend()
    before = await blocks(store)
    late = START - 3 * DAY + 20 * MINUTE
    await store.append([reading(late, 99.0), reading(late + MINUTE, 77.0, flags=Flags.PUSHED), reading(late, 98.0)])
    unsealed = columns(await store.window(POINTS[0], late, late + 5 * MINUTE))
    assert unsealed[1] == [98.0, 77.0]
    await store.upkeep.tend()
    assert columns(await store.window(POINTS[0], late, late + 5 * MINUTE)) == unsealed
    after = await blocks(store)
    series = store._series[POINTS[0]]
    assert {id_ for id_ in after if after[id_] != before[id_]} == {key(micros(late) // micros_of_day(), series)}
    assert len(after) == len(before)


def micros_of_day() -> int:
    return 86_400_000_000


async def test_the_newest_reading_is_found_in_a_sealed_day_with_its_flags(tmp_path: Path, clock: Clock) -> None:
    door = reading(START - 4 * DAY, 1.0, "hall.door.open", flags=Flags.PUSHED, quality=Quality.SUSPECT)
    async with SqliteStore(tmp_path, clock=clock) as store:
        await store.append([reading(START - 5 * DAY, 0.0, "hall.door.open"), door])
        await asyncio.sleep(3600)
        await store.upkeep.tend()
        await store.append([reading(START - 6 * DAY, 0.5, "hall.door.open")])
        await store.upkeep.tend()
        assert await count(store, "reading") == 0
    async with SqliteStore(tmp_path, clock=clock) as store:
        assert await store.newest() == {"hall.door.open": door}
        corrected = reading(START - 4 * DAY, 2.0, "hall.door.open")
        await store.append([corrected])
        assert await store.newest() == {"hall.door.open": corrected}


async def test_an_append_gets_its_turn_between_the_steps(store: SqliteStore) -> None:
    await asyncio.sleep(3600)
    await store.append(some_days(20, every=60 * MINUTE))
    async with asyncio.TaskGroup() as tasks:
        tending = tasks.create_task(store.upkeep.tend(), name="tend")
        sealed = [0]
        while not tending.done():
            await store.append([reading(START, float(len(sealed)))])
            sealed.append(await count(store, "block"))
            await asyncio.sleep(0.1)
    assert sealed[-1] == 60
    assert max(np.diff(sealed)) <= 2, "a step seals one day of one point"


async def test_a_day_of_very_many_readings_is_sealed_in_parts(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.store.sealing.SEAL_AT_ONCE", 100)
    await asyncio.sleep(3600)
    await store.append([reading(START - DAY + n * MINUTE, float(n)) for n in range(1440)])
    await store.upkeep.tend()
    assert (await count(store, "block"), await count(store, "reading")) == (1, 0)
    assert (await store.window(POINTS[0], START - DAY, START)).value.tolist() == [float(n) for n in range(1440)]


# --- what goes ---------------------------------------------------------------------------------------------------


async def test_readings_shrink_to_half_hours_and_those_go_too(tmp_path: Path, clock: Clock) -> None:
    options = StoreOptions(keep_days=7, keep_half_hours_days=10)
    async with SqliteStore(tmp_path, clock=clock, options=options) as store:
        await asyncio.sleep(3600)
        await store.append(some_days(14))
        half_hours = await store.aggregate(POINTS[2], START - 14 * DAY, START)
        days = await store.aggregate(POINTS[2], START - 14 * DAY, START, DAY)
        await store.upkeep.tend()
        left = await store.window(POINTS[2], START - 14 * DAY, START)
        assert left.time_s[0] == (START - 7 * DAY).timestamp()
        kept = {when: row for when, row in half_hours.items() if when >= START - 10 * DAY}
        assert await store.aggregate(POINTS[2], START - 14 * DAY, START) == kept
        by_day = await store.aggregate(POINTS[2], START - 14 * DAY, START, DAY)
        assert [when for when in days if when >= START - 10 * DAY] == list(by_day)
        for when, (mean, *rest) in by_day.items():
            assert (pytest.approx(mean), rest) == (days[when][0], list(days[when][1:]))
        assert min(await store.aggregate(POINTS[2], START - 14 * DAY, START, 15 * MINUTE)) == START - 7 * DAY
        part = await store.aggregate(POINTS[2], START - 9 * DAY + MINUTE, START - 9 * DAY + 90 * MINUTE)
        assert list(part) == [START - 9 * DAY + 30 * MINUTE, START - 9 * DAY + 60 * MINUTE], "whole half-hours only"


async def test_what_is_older_than_what_shrank_is_left_out_and_said_once(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    options = StoreOptions(keep_days=7)
    async with SqliteStore(tmp_path, clock=clock, options=options) as store:
        await asyncio.sleep(3600)
        await store.append(some_days(10))
        await store.upkeep.tend()
    async with SqliteStore(tmp_path, clock=clock, options=options) as store:
        before = await answers(store)
        await store.append([reading(START - 8 * DAY + n * MINUTE, 99.0) for n in range(5)])
        await store.upkeep.tend()
        assert await answers(store) == before
    assert [line for line in caplog.messages if "older than what is kept" in line] == [
        f"{POINTS[0]}: a reading of {START - 8 * DAY} is older than what is kept, and left out"
    ]


async def test_readings_on_their_way_when_their_day_shrinks_do_not_spoil_its_half_hours(
    tmp_path: Path, clock: Clock
) -> None:
    async with SqliteStore(tmp_path, clock=clock, options=StoreOptions(keep_days=7)) as store:
        await asyncio.sleep(3600)
        await store.append(some_days(10))
        await store.upkeep.tend()
        before = await answers(store)
        store.upkeep.horizon = -(1 << 62)  # as if they had been asked in just before
        await store.append([reading(START - 8 * DAY + n * MINUTE, 99.0) for n in range(5)])
        await store.upkeep.tend()
        assert await answers(store) == before


async def test_a_clock_gone_wrong_throws_nothing_away_for_a_week(tmp_path: Path, clock: Clock) -> None:
    async with SqliteStore(tmp_path, clock=clock, options=StoreOptions(keep_days=30)) as store:
        await asyncio.sleep(3600)
        await store.append(some_days(7))
        await store.upkeep.tend()
        kept = (await store.window(POINTS[0], START - 40 * DAY, START)).value
        future = datetime(2099, 1, 1, tzinfo=UTC)
        for day in range(9):
            clock.epoch = future + day * DAY - timedelta(seconds=asyncio.get_running_loop().time())
            await store.append(some_days(1, before=future + day * DAY))
            await asyncio.sleep(7200)
            await store.upkeep.tend()
            left = (await store.window(POINTS[0], START - 40 * DAY, START)).value
            assert len(left) == (len(kept) if day < 6 else 0), day


@pytest.fixture
async def full(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    """Thirty sealed days and a control file, counted in kilobytes of budget instead of megabytes."""
    monkeypatch.setattr("controller.store.upkeep.MB", 1000)
    monkeypatch.setattr("controller.store.sealing.THIN_AT_ONCE", 6)
    monkeypatch.setattr("controller.store.sealing.FORGET_AT_ONCE", 6)
    options = StoreOptions(keep_days=100, budget_mb=100_000)
    async with control_database(tmp_path), SqliteStore(tmp_path, clock=clock, options=options) as store:
        await asyncio.sleep(3600)
        noise = np.random.default_rng(1).normal(20, 1, (2, 30 * 480)).tolist()
        for point, values in zip(POINTS, noise, strict=False):
            await store.append([reading(START - 30 * DAY + n * 3 * MINUTE, v, point) for n, v in enumerate(values)])
        await store.upkeep.tend()
        yield store


def budget(store: SqliteStore, kb: float) -> None:
    store.upkeep._options = StoreOptions(keep_days=100).model_copy(update={"budget_mb": round(kb)})


async def test_a_budget_takes_the_oldest_readings_first(full: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    used, half_hours = full.upkeep.used_bytes, await full.aggregate(POINTS[0], START - 30 * DAY, START)
    budget(full, used / 1000 * 0.8)
    await full.upkeep.tend()
    assert full.upkeep.used_bytes <= used * 0.8 + 1000
    left = await full.window(POINTS[0], START - 30 * DAY, START)
    oldest = datetime.fromtimestamp(left.time_s[0], UTC)
    assert START - 29 * DAY < oldest < START - 5 * DAY
    assert len(left.value) == (START - oldest) / (3 * MINUTE), "what is left is whole"
    assert await full.aggregate(POINTS[0], START - 30 * DAY, START) == half_hours
    assert "made room" in caplog.text


async def test_then_the_oldest_half_hours_and_never_commands(full: SqliteStore, tmp_path: Path) -> None:
    control = (tmp_path / "control.sqlite").read_bytes()
    budget(full, full.upkeep.used_bytes / 1000 * 0.35)
    await full.upkeep.tend()
    left = await full.window(POINTS[0], START - 30 * DAY, START)
    assert left.time_s[0] == (START - DAY).timestamp(), "yesterday stays as it came"
    kept = await full.aggregate(POINTS[0], START - 30 * DAY, START)
    assert START - 30 * DAY < min(kept) < START - 3 * DAY
    assert len(kept) == (START - min(kept)) / (30 * MINUTE)
    assert (tmp_path / "control.sqlite").read_bytes() == control


async def test_a_budget_that_cannot_be_met_says_what_to_do(full: SqliteStore) -> None:
    budget(full, 30)
    with pytest.raises(StoreError, match=r"the budget is 30 MB: raise store\.budget_mb"):
        await full.upkeep.tend()
    assert len((await full.window(POINTS[0], START - 30 * DAY, START)).value) == 480


async def test_upkeep_goes_on_after_a_failure_and_says_it_once_each_way(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await store.append(some_days(3))

    await store._database.read(lambda db: db.execute("PRAGMA busy_timeout = 1").fetchone())
    async with asyncio.TaskGroup() as tasks:
        with closing(sqlite3.connect(tmp_path / "readings.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            tending = tasks.create_task(store.retain(), name="retain")
            await asyncio.sleep(4 * 3600)
            assert "another program holds the file" in store.upkeep.trouble
            assert await count(store, "block") == 0
        await asyncio.sleep(3600)
        assert (store.upkeep.trouble, await count(store, "block")) == ("", 9)
        tending.cancel()
    assert [line.split(",")[0] for line in caplog.messages] == [
        "the store could not be tended",
        "the store is tended again",
    ]


async def test_the_file_stops_growing_when_days_go_as_they_come(tmp_path: Path, clock: Clock) -> None:
    sizes = []
    options = StoreOptions(keep_days=7, keep_half_hours_days=7)
    async with SqliteStore(tmp_path, clock=clock, options=options) as store:
        for _ in range(30):
            await asyncio.sleep(DAY.total_seconds())
            await store.append(some_days(1, before=clock.now(), every=5 * MINUTE))
            await store.upkeep.tend()
            sizes.append(store.upkeep.used_bytes)
    assert max(sizes[10:]) == pytest.approx(sizes[10], rel=0.1)
