"""A full disk: writes to the building stop, its slots are free within a minute, and all comes back by itself."""

import asyncio
import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from controller.audit import verify
from controller.store.control import CONTROL_FILE
from controller.store.readings import READINGS_FILE
from site_sims import live
from tests.system.house import House, house
from tests.system.test_kill import table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

START = datetime(2023, 2, 7, 5, tzinfo=UTC)
POINT = "townhall.hall.temperature"
WITHIN_S = 60
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def stored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in production, where a simulation gathers ten minutes."""
    monkeypatch.setattr(live, "STORED_EVERY", timedelta(seconds=2))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk; the test with a limited file runs everywhere")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(disk: Path) -> None:
    """Leave no free byte."""
    with (disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(4096))


async def seconds_until_free(home: House) -> int:
    """How long our slots stay occupied."""
    for seconds in range(10 * WITHIN_S):
        if not home.occupied_slots():
            return seconds
        await asyncio.sleep(1)
    return 10 * WITHIN_S


async def test_on_a_full_disk_the_building_has_itself_within_a_minute(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with house(small_disk, START) as home:
        with home.service.hubs.levels.subscribe() as levels:
            await home.until("07:31")
            assert (home.level, len(home.occupied_slots()) > 10) == ("0", True)
            fill(small_disk)
            assert await seconds_until_free(home) <= WITHIN_S
            assert home.level == "4"
            assert "the disk is full: free some space" in home.service.ladder.why
            given_back = home.clock.now()
            await home.until("08:01")
            late = [write for write in home.notary.writes if write.time > given_back and write.slot != 15]
            assert late == [], "nothing is written while nothing can be written down"
            (small_disk / "ballast").unlink()
            await home.until("08:06")
            assert (home.level, len(home.occupied_slots()) > 10) == ("0", True)
            assert [change.new.label for change in levels.take()] == ["4", "0"]
            window = await home.service.store.window(POINT, START + MINUTE, home.clock.now() - MINUTE)
            assert np.diff(window.time_s).max() <= 60, "readings waited in memory"
    assert verify(small_disk) is None
    for name in (READINGS_FILE, CONTROL_FILE):
        assert table(small_disk / name, "SELECT 1") == [(1,)]
    assert len([line for line in caplog.messages if "lease table" in line and "cannot" in line]) == 1


async def test_a_readings_file_that_may_not_grow_does_the_same(tmp_path: Path) -> None:
    async with house(tmp_path, START) as home:
        database = home.service.store._database

        async def limit(pages: int) -> None:
            await database.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())

        await home.until("06:31")
        await limit(1)  # not below what it has
        assert await seconds_until_full(home)
        assert await seconds_until_free(home) <= WITHIN_S
        assert "the disk is full" in home.service.ladder.why
        before = home.clock.now()
        await asyncio.sleep(600)
        assert home.occupied_slots() == []
        await limit(1_000_000)
        await asyncio.sleep(300)
        assert (home.level, len(home.occupied_slots()) > 10) == ("0", True)
        window = await home.service.store.window(POINT, START + MINUTE, home.clock.now() - MINUTE)
        assert window.time_s[-1] > before.timestamp()
        assert np.diff(window.time_s).max() <= 60


async def seconds_until_full(home: House) -> bool:
    """Wait until the first readings are refused; they go into pages that are there already for a while."""
    for _ in range(3 * 3600):
        if home.level == "4":
            return True
        await asyncio.sleep(1)
    return False
