"""150 simulated power cuts: no file is corrupt, no acknowledged command, lease, override or audit row is lost."""

from pathlib import Path
from random import Random

import pytest

from bench.power import BATCHES, POINTS, TIMES, cut_often, lived, readings_left
from bench.power_disk import NEVER, PowerDisk
from controller.store.control import CONTROL_FILE
from controller.store.database import Database
from controller.store.readings import READINGS, READINGS_FILE
from tests.system.test_kill import table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_nothing_acknowledged_is_lost_in_150_power_cuts() -> None:
    toll = cut_often(TIMES)
    assert toll.cuts == TIMES
    assert toll.corrupt == []
    assert toll.lost == []
    assert 0 < toll.behind < toll.batches / 2, "readings lose their latest at most, and some do"


def test_the_same_cuts_would_show_a_weaker_promise() -> None:
    weaker = cut_often(10, synchronous="NORMAL")
    assert weaker.lost != []
    assert weaker.corrupt == []
    none = cut_often(10, synchronous="OFF")
    assert none.corrupt != []


def test_without_a_cut_all_is_written_sealed_and_shrunk(tmp_path: Path) -> None:
    disk, said = lived(tmp_path, NEVER)
    assert not disk.dark
    assert (said.batches, len(said.results), len(said.audit)) == (BATCHES, BATCHES, BATCHES)
    disk.remains(tmp_path, Random(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [CONTROL_FILE, READINGS_FILE]
    for kind in ("block", "half_hours"):
        ((count,),) = table(tmp_path / READINGS_FILE, f"SELECT count(*) FROM {kind}")  # noqa: S608  constants
        assert isinstance(count, int)
        assert count > 10, kind
    assert readings_left(tmp_path) == (BATCHES, [])


async def test_the_disk_keeps_what_was_synced_and_only_that(tmp_path: Path) -> None:
    with PowerDisk().mounted() as disk:
        async with Database(tmp_path / "a.sqlite", READINGS, synchronous="FULL") as database:
            for point in POINTS:
                await database.write(lambda db, p=point: db.execute("INSERT INTO series (point) VALUES (?)", (p,)))
        assert all(not file.pending and file.named for file in disk.files.values())
        before = {name: bytes(file.safe) for name, file in disk.files.items()}
        assert before == {name: bytes(file.now) for name, file in disk.files.items()}
