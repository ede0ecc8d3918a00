"""Readings in, windows, half-hours and the newest values out; errors in plain words; files that age."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.store.base import Store, StoreError
from controller.store.claim import Claimed, claim
from controller.store.database import Database
from controller.store.readings import READINGS
from controller.store.schema import Schema
from controller.store.sqlite import SqliteStore
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock
from site_sims.virtual_time import VirtualTimeLoop

START = datetime(2023, 2, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def reading(minute: float, value: float | None = 20.0, point: str = "hall.temperature", **more: object) -> Reading:
    when = START + minute * MINUTE
    return Reading(point=point, time=when, received=when, value=value, **more)  # type: ignore[arg-type]


def a_store(directory: Path, clock: Clock) -> SqliteStore:
    return SqliteStore(directory, clock=clock)


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    async with a_store(tmp_path, clock) as opened:
        yield opened


async def test_a_window_is_half_open_and_in_time_order(store: SqliteStore) -> None:
    contract: Store = store
    await contract.append([reading(minute, float(minute)) for minute in (3, 1, 0, 2)])
    window = await store.window("hall.temperature", START + MINUTE, START + 3 * MINUTE)
    assert window.time_s.tolist() == [START.timestamp() + 60, START.timestamp() + 120]
    assert window.value.tolist() == [1.0, 2.0]
    assert window.quality.tolist() == [0, 0]


async def test_an_unknown_point_has_an_empty_window(store: SqliteStore) -> None:
    window = await store.window("nowhere.temperature", START, START + DAY)
    assert (len(window.time_s), len(window.value), len(window.quality)) == (0, 0, 0)
    assert await store.aggregate("nowhere.temperature", START, START + DAY) == {}


async def test_a_bad_reading_is_kept_without_a_value(store: SqliteStore) -> None:
    await store.append([reading(0, None, quality=Quality.BAD, flags=Flags.NO_ANSWER | Flags.FAULT)])
    window = await store.window("hall.temperature", START, START + DAY)
    assert np.isnan(window.value[0])
    assert window.quality[0] == 3
    assert Flags(int(window.flags[0])) == Flags.NO_ANSWER | Flags.FAULT
    newest = await store.newest()
    assert newest["hall.temperature"].flags == Flags.NO_ANSWER | Flags.FAULT
    assert newest["hall.temperature"].value is None


async def test_flags_are_kept_beside_the_value_in_both_tiers(store: SqliteStore) -> None:
    doubted = Flags.SPIKE | Flags.UNIT_JUMP | Flags.PUSHED
    await store.append([reading(0, 99.0, quality=Quality.SUSPECT, flags=doubted), reading(1)])
    await store.append([reading(minute) for minute in range(2, 70)])  # an hour of one point: moved
    await store.append([reading(70, 98.0, quality=Quality.SUSPECT, flags=Flags.STUCK)])
    window = await store.window("hall.temperature", START, START + DAY)
    assert window.value[[0, 70]].tolist() == [99.0, 98.0]
    assert window.quality[[0, 1, 70]].tolist() == [1, 0, 1]
    assert [Flags(n) for n in window.flags[[0, 1, 70]].tolist()] == [doubted, Flags.NONE, Flags.STUCK]


async def test_the_same_point_and_time_again_replaces_the_value(store: SqliteStore) -> None:
    await store.append([reading(0, 1.0), reading(0, 2.0)])
    await store.append([reading(0, 3.0)])
    window = await store.window("hall.temperature", START, START + DAY)
    assert window.value.tolist() == [3.0]


async def test_a_late_correction_beats_the_value_moved_to_the_second_tier(store: SqliteStore) -> None:
    await store.append([reading(minute, 1.0) for minute in range(60)])  # an hour of one point: moved
    await store.append([reading(30, 9.0), reading(60, 2.0)])
    window = await store.window("hall.temperature", START, START + DAY)
    assert window.value.tolist() == [1.0] * 30 + [9.0] + [1.0] * 29 + [2.0]
    assert (np.diff(window.time_s) == 60).all()
    half_hours = await store.aggregate("hall.temperature", START, START + DAY)
    assert half_hours[START + 30 * MINUTE] == (38 / 30, 1.0, 9.0, 30)


async def test_half_hours_count_good_values_only(store: SqliteStore) -> None:
    await store.append(
        [
            reading(0, 1.0),
            reading(29.99, 3.0),
            reading(12, 3000.0, quality=Quality.SUSPECT, flags=Flags.SPIKE),
            reading(10, 99.0, quality=Quality.STALE),
            reading(11, None, quality=Quality.BAD),
            reading(30, 5.0),
            reading(95, 7.0, quality=Quality.STALE),
            reading(120, 8.0),
        ]
    )
    half_hours = await store.aggregate("hall.temperature", START, START + 120 * MINUTE)
    assert half_hours == {START: (2.0, 1.0, 3.0, 2), START + 30 * MINUTE: (5.0, 5.0, 5.0, 1)}
    whole = await store.aggregate("hall.temperature", START, START + DAY, step=timedelta(hours=2))
    assert whole == {START: (3.0, 1.0, 5.0, 3), START + timedelta(hours=2): (8.0, 8.0, 8.0, 1)}


async def test_the_newest_reading_of_each_point_survives_a_restart(tmp_path: Path, clock: Clock) -> None:
    seen = START + timedelta(days=1, microseconds=1)
    last = Reading(
        point="hall.co2", time=seen, received=seen + timedelta(milliseconds=40), value=800.0, flags=Flags.PUSHED
    )
    async with a_store(tmp_path, clock) as store:
        await store.append([last])
        await store.append([reading(minute, float(minute)) for minute in range(200)])
        await store.append([reading(5, -1.0)])
    async with a_store(tmp_path, clock) as store:
        newest = await store.newest()
        assert newest == {"hall.co2": last, "hall.temperature": reading(199, 199.0)}
        await store.append([reading(200, 1.0), reading(0, 1.0, "new.point")])
        assert len((await store.window("hall.temperature", START, START + DAY)).value) == 201


async def test_naive_times_are_refused(store: SqliteStore) -> None:
    with pytest.raises(TypeError):
        await store.window("hall.temperature", datetime(2023, 1, 1), START)  # noqa: DTZ001  that is the point


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["a.a", "b.b", "c.c"]),
                st.integers(0, 50),
                st.one_of(st.none(), st.floats(allow_nan=False)),
            ),
            max_size=40,
        ),
        max_size=8,
    )
)
def test_what_goes_in_comes_out(batches: list[list[tuple[str, int, float | None]]]) -> None:
    """Against a dictionary, with moves between the tiers happening every few batches."""

    async def check(directory: Path) -> None:
        model: dict[tuple[str, int], float | None] = {}
        async with SqliteStore(directory, clock=Clock(START), synchronous="OFF") as store:
            for batch in batches:
                await store.append(
                    [
                        reading(minute, value, point, quality=Quality.BAD if value is None else Quality.GOOD)
                        for point, minute, value in batch
                    ]
                )
                model |= {(point, minute): value for point, minute, value in batch}
            for point in ("a.a", "b.b", "c.c"):
                expected = sorted((minute, value) for (name, minute), value in model.items() if name == point)
                window = await store.window(point, START + 5 * MINUTE, START + 45 * MINUTE)
                got = [
                    (round((time - START.timestamp()) / 60), None if bad == 3 else value)
                    for time, value, bad in zip(window.time_s, window.value, window.quality, strict=True)
                ]
                assert got == [row for row in expected if 5 <= row[0] < 45]
                newest = (await store.newest()).get(point)
                assert (newest and newest.value) == (expected[-1][1] if expected else None)

    with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(check(Path(directory)))


# --- the file ------------------------------------------------------------------------------------------------------


async def ask(database: Database, pragma: str) -> object:
    return await database.read(lambda db: db.execute(f"PRAGMA {pragma}").fetchone()[0])


@pytest.mark.parametrize(("wanted", "number"), [("OFF", 0), ("NORMAL", 1), ("FULL", 2)])
async def test_the_promised_durability_is_in_force(tmp_path: Path, wanted: str, number: int) -> None:
    async with Database(tmp_path / "a.sqlite", READINGS, synchronous=wanted) as database:  # type: ignore[arg-type]
        assert await ask(database, "synchronous") == number
        assert await ask(database, "journal_mode") == "wal"


async def test_the_store_promises_no_less_than_normal(store: SqliteStore) -> None:
    assert await ask(store._database, "synchronous") == 1


async def test_a_full_disk_says_so_and_loses_nothing(store: SqliteStore) -> None:
    await store.append([reading(minute) for minute in range(50)])
    pages = await ask(store._database, "page_count")
    await ask(store._database, f"max_page_count = {pages}")
    with pytest.raises(StoreError, match="disk is full: free some space"):
        await store.append([reading(minute, point=f"p.{minute}") for minute in range(5_000)])
    assert len((await store.window("hall.temperature", START, START + DAY)).value) == 50
    await ask(store._database, "max_page_count = 1000000")
    await store.append([reading(50)])
    await store.append([reading(minute, point=f"p.{minute}") for minute in range(5_000)])
    assert len((await store.window("hall.temperature", START, START + DAY)).value) == 51
    assert len(await store.newest()) == 5_001


async def test_a_file_held_by_another_program_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    async with Database(path, READINGS, synchronous="NORMAL", busy_s=0.01) as database:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another program holds the file"):
                await database.write(lambda db: db.execute("DELETE FROM series"))
        await database.write(lambda db: db.execute("DELETE FROM series"))


async def test_a_file_of_another_kind_says_so(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "readings.sqlite").write_text("this is a letter, not a database" * 100)
    with pytest.raises(StoreError, match="not a database of ours"):
        async with a_store(tmp_path, clock):
            pass


async def test_a_directory_that_cannot_be_made_says_so(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make its directory"):
        async with a_store(tmp_path / "file" / "data", clock):
            pass


async def test_a_closed_database_says_so(tmp_path: Path, clock: Clock) -> None:
    async with a_store(tmp_path, clock) as store:
        pass
    with pytest.raises(StoreError, match="is closed"):
        await store.append([reading(0)])


async def test_a_failed_write_is_undone_and_its_neighbours_are_kept(tmp_path: Path) -> None:
    def good(db: sqlite3.Connection) -> str:
        db.execute("INSERT INTO series (point) VALUES ('good')")
        return "kept"

    def bad(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO series (point) VALUES ('bad')")
        db.execute("INSERT INTO series (point) VALUES ('bad')")

    async with Database(tmp_path / "a.sqlite", READINGS, synchronous="NORMAL") as database:

        async def refused() -> None:
            with pytest.raises(StoreError, match="UNIQUE"):
                await database.write(bad)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(refused(), name="bad")
            kept = tasks.create_task(database.write(good), name="good")
        assert kept.result() == "kept"
        assert await database.read(lambda db: db.execute("SELECT point FROM series").fetchall()) == [("good",)]


async def test_a_crash_in_one_write_fails_its_neighbours_and_leaves_no_transaction(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def bug(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO series (point) VALUES ('bug')")
        raise ZeroDivisionError

    async with Database(tmp_path / "a.sqlite", READINGS, synchronous="NORMAL") as database:

        async def attempt(call: object) -> None:
            try:
                await database.write(call)  # type: ignore[arg-type]
            except (ZeroDivisionError, StoreError) as err:
                errors.append(err)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(attempt(lambda db: db.execute("INSERT INTO series (point) VALUES ('a')") and None))
            tasks.create_task(attempt(bug))
        assert sorted(type(err).__name__ for err in errors) == ["StoreError", "ZeroDivisionError"]
        assert await database.read(lambda db: db.execute("SELECT count(*) FROM series").fetchone()) == (0,)
        assert not await database.read(lambda db: db.in_transaction)


async def test_more_writes_than_one_commit_carries_are_all_done_in_order(tmp_path: Path) -> None:
    def add(n: int) -> Callable[[sqlite3.Connection], int]:
        return lambda db: int(db.execute("INSERT INTO series (point) VALUES (?)", (f"p{n}",)).lastrowid or 0)

    async with Database(tmp_path / "a.sqlite", READINGS, synchronous="OFF") as database, asyncio.TaskGroup() as tasks:
        numbers = [tasks.create_task(database.write(add(n)), name=f"write {n}") for n in range(600)]
    assert [number.result() for number in numbers] == list(range(1, 601))


@pytest.mark.real_time
async def test_a_cancelled_write_does_not_hurt_its_neighbours(tmp_path: Path) -> None:
    def slow(db: sqlite3.Connection) -> None:
        db.execute("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 200000) SELECT max(x) FROM n")

    async with Database(tmp_path / "a.sqlite", READINGS, synchronous="OFF") as database:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(database.write(slow), name="slow")
            doomed = tasks.create_task(database.write(lambda db: db.execute("DELETE FROM series")), name="doomed")
            last = tasks.create_task(database.write(lambda db: db.execute("SELECT 7").fetchone()), name="last")
            await asyncio.sleep(0)
            doomed.cancel()
        assert doomed.cancelled()
        assert last.result() == (7,)
        assert await database.write(lambda db: db.execute("SELECT 8").fetchone()) == (8,)


# --- formats -------------------------------------------------------------------------------------------------------

FIRST = Schema(name="things", steps=(("CREATE TABLE thing (a)", "INSERT INTO thing VALUES (1)"),))
SECOND = Schema(name="things", steps=(*FIRST.steps, ("ALTER TABLE thing ADD COLUMN b", "UPDATE thing SET b = a + 1")))
BROKEN = Schema(name="things", steps=(*FIRST.steps, ("UPDATE thing SET a = 99", "CREATE TABLE thing (again)")))


def things(path: Path) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT * FROM thing").fetchall()


async def test_an_older_file_is_brought_up_to_date_beside_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    async with Database(path, FIRST, synchronous="FULL"):
        pass
    async with Database(path, SECOND, synchronous="FULL") as database:
        assert await ask(database, "user_version") == 2
    assert things(path) == [(1, 2)]
    assert things(tmp_path / "a.sqlite.format-1") == [(1,)]
    async with Database(path, SECOND, synchronous="FULL"):
        pass
    assert things(path) == [(1, 2)]


async def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    async with Database(path, FIRST, synchronous="FULL"):
        pass
    with pytest.raises(StoreError, match="already exists"):
        async with Database(path, BROKEN, synchronous="FULL"):
            pass
    assert things(path) == [(1,)]
    async with Database(path, FIRST, synchronous="FULL") as database:
        assert await ask(database, "user_version") == 1


async def test_a_file_of_a_later_program_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    async with Database(path, SECOND, synchronous="FULL"):
        pass
    with pytest.raises(StoreError, match=r"later program \(format 2, this one knows up to 1\).*format-N"):
        async with Database(path, FIRST, synchronous="FULL"):
            pass
    assert things(path) == [(1, 2)]


# --- one controller to a directory ---------------------------------------------------------------------------------


def test_a_directory_has_one_controller(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    with (
        claim(directory),
        pytest.raises(Claimed, match=f"process {os.getpid()} is already controlling"),
        claim(directory),
    ):
        pass
    with claim(directory):
        pass


def test_a_directory_that_cannot_be_claimed_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="cannot be used to keep data: Not a directory"),
        claim(tmp_path / "file" / "x"),
    ):
        pass
