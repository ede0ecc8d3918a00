"""Files of every released format are opened by this program, and everything in them is still there."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.audit import verify
from controller.leases import Leases
from controller.store.control import CONTROL, CONTROL_FILE, control_database
from controller.store.readings import READINGS, READINGS_FILE, every_reading
from controller.store.schema import migrate
from controller.store.sqlite import SqliteStore
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock

DATA = Path(__file__).parent / "data"
START = datetime(2023, 2, 6, tzinfo=UTC)
ROWS = """SELECT point, time, value, state FROM recent JOIN series ON id = series UNION ALL
SELECT point, time, value, state FROM reading JOIN series ON id = series
WHERE (time, series) NOT IN (SELECT time, series FROM recent)"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A directory as the first release left it."""
    shutil.copy(DATA / "readings_format_1.db", tmp_path / READINGS_FILE)
    shutil.copy(DATA / "control_format_1.db", tmp_path / CONTROL_FILE)
    return tmp_path


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute(query).fetchall()


def test_the_kept_files_are_of_the_first_format() -> None:
    for name in ("readings", "control"):
        assert rows(DATA / f"{name}_format_1.db", "PRAGMA user_version") == [(1,)]
        assert rows(DATA / f"{name}_format_1.db", "PRAGMA integrity_check") == [("ok",)]


async def test_readings_of_the_first_format_are_all_there_and_are_sealed(old: Path) -> None:
    kept = sorted(rows(DATA / "readings_format_1.db", ROWS))
    assert len(kept) == 865
    moved = Clock(START + timedelta(days=5))
    async with SqliteStore(old, clock=moved) as store:
        temperature = await store.window("hall.zone.temperature", START, START + timedelta(days=4))
        assert len(temperature.value) == 432
        assert temperature.value[1] == 99.0, "what came again stood in the first tier"
        newest = await store.newest()
        await store.upkeep.tend()
        assert await store.newest() == newest
        found = await store._database.read(lambda db: sorted(every_reading(db)))
        left = await store._database.read(lambda db: db.execute("SELECT count(*) FROM reading").fetchone())
    assert (found, left) == (kept, (0,))
    door = Reading(point="hall.zone.door", time=START, received=START, value=1.0, flags=Flags.PUSHED)
    assert newest["hall.zone.door"] == door
    assert newest["hall.zone.temperature"].received - newest["hall.zone.temperature"].time == timedelta(milliseconds=3)
    assert newest["hall.zone.co2"].quality is Quality.GOOD
    assert rows(old / READINGS_FILE, "PRAGMA user_version") == [(READINGS.version,)]
    assert sorted(rows(old / f"{READINGS_FILE}.format-1", ROWS)) == kept, "the copy made before"


async def test_leases_commands_overrides_and_audit_of_the_first_format_hold(old: Path) -> None:
    async with control_database(old) as database:
        leases = Leases(database, clock=Clock(START + timedelta(days=3)))
        assert await leases.begin() == 2
        assert [(one.point, one.value, one.decision) for one in await leases.all()] == [
            ("hall.zone.setpoint", 20.5, "plan 1")
        ]
        assert [one.intent.decision for one in await leases.unresolved()] == ["plan 2"]
        assert [(one.actor, one.value) for one in await leases.overrides()] == [("ann", 21.0)]
    assert verify(old) is None
    assert rows(old / CONTROL_FILE, "PRAGMA user_version") == [(CONTROL.version,)]


def test_a_copy_that_cannot_be_finished_leaves_nothing_behind(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, target: Path) -> Path:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Path, "replace", refused)
    with (
        closing(sqlite3.connect(old / READINGS_FILE, isolation_level=None)) as db,
        pytest.raises(sqlite3.OperationalError, match="disk I/O error"),
    ):
        migrate(db, old / READINGS_FILE, READINGS)
    assert sorted(path.name for path in old.iterdir() if "format" in path.name) == []
    assert rows(old / READINGS_FILE, "PRAGMA user_version") == [(1,)]
