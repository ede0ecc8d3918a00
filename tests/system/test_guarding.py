"""The guard's process beside a service: kept alive, replaced after a restart, left behind only when it is needed."""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from controller.guarding import LOCK_FILE, GuardProcess
from controller.leases import Leases
from controller.store.base import Lease
from controller.store.control import control_database
from drivers.clock import Clock
from tests.shifted import shifted_site

pytestmark = [pytest.mark.slow, pytest.mark.real_time, pytest.mark.timeout(60)]


async def _until_alive(guard: GuardProcess, but: int | None) -> int:
    """Its process id, once it lives and is another one than `but`."""
    async with asyncio.timeout(20):
        while not guard.alive or guard.pid == but:
            await asyncio.sleep(0.1)
    assert guard.pid is not None
    return guard.pid


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.guarding.SETTLE_S", 2.0)


async def test_a_guard_of_an_earlier_run_goes_on_for_a_moment_and_is_replaced(tmp_path: Path) -> None:
    site = shifted_site(tmp_path, 800)
    with GuardProcess(tmp_path, site) as earlier:
        old = await _until_alive(earlier, None)
        await asyncio.sleep(2)  # until it listens to signals
        with GuardProcess(tmp_path, site) as ours:
            assert not ours.alive
            assert earlier.alive
            assert ours.check().ok, "somebody watches"
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(ours.run(), name="guard")
                new = await _until_alive(ours, old)
                assert not earlier.alive
                assert (tmp_path / LOCK_FILE).read_text().strip() == str(new)
                assert ours.check().ok
                watching.cancel()
    assert not ours.alive


async def test_a_guard_of_an_earlier_run_ends_with_a_service_that_stops_at_once(tmp_path: Path) -> None:
    site = shifted_site(tmp_path, 800)
    with GuardProcess(tmp_path, site) as earlier:
        await _until_alive(earlier, None)
        await asyncio.sleep(2)  # until it listens to signals
        with GuardProcess(tmp_path, site) as ours:
            assert not ours.alive
        async with asyncio.timeout(20):
            while earlier.alive:
                await asyncio.sleep(0.1)


async def test_a_dead_guard_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.guarding.LOOK_EVERY_S", 0.2)
    site = shifted_site(tmp_path, 800)
    with GuardProcess(tmp_path, site) as guard:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(guard.run(), name="guard")
            first = await _until_alive(guard, None)
            os.kill(first, signal.SIGKILL)
            await _until_alive(guard, first)
            assert guard.restarts == 1
            watching.cancel()


async def test_it_stays_behind_only_while_something_is_held(tmp_path: Path) -> None:
    site, clock = shifted_site(tmp_path, 800), Clock.real()
    async with control_database(tmp_path, synchronous="OFF") as database:
        leases = Leases(database, clock=clock)
        await leases.begin()
        lease = Lease(
            point="townhall.hall.heating_setpoint",
            device="zones_a",
            priority=13,
            value=20.0,
            expires=clock.now() + timedelta(minutes=30),
            decision="test",
            epoch=leases.epoch,
        )
        await leases.take(lease)
        with GuardProcess(tmp_path, site) as guard:
            left = await _until_alive(guard, None)
        assert guard.alive
        with GuardProcess(tmp_path, site, stays=False) as another:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(another.run(), name="guard")
                await _until_alive(another, left)
                watching.cancel()
        assert not another.alive
        assert not guard.alive
