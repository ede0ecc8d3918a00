"""Disk and clock under the service, and the beat that tells the guard."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from controller.backend.vitals import LEAST_BYTES, Vitals
from controller.events import Cause, Trigger
from controller.guard import HEARTBEAT_FILE, Heartbeat
from controller.guarding import keep_beating
from controller.hub import Hub
from controller.ladder import Ladder, Level, LevelChange
from controller.service import Service
from controller.state import State
from drivers.base import Reading
from drivers.clock import Clock
from tests.controlled import small_site

EPOCH = datetime.fromisoformat("2023-02-06T00:00:00+00:00")
POINT = "b.hall.temperature"
SITE = small_site({"zones": [{"id": POINT, "role": "zone_temperature", "unit": "degC", "address": "ai,1"}]})


class DriftingClock(Clock):
    """A clock whose machine was set by so much since the start."""

    set_by_s = 0.0

    def __init__(self, epoch: datetime) -> None:
        super().__init__(epoch)
        self.begun = epoch

    def drift_s(self) -> float:
        return self.set_by_s - (self.epoch - self.begun).total_seconds()


class Machine:
    """Vitals on a machine that does what the test says."""

    def __init__(self, directory: Path, epoch: datetime = EPOCH) -> None:
        self.clock = DriftingClock(epoch)
        self.free = 10 * LEAST_BYTES
        self.triggers: Hub[Trigger] = Hub()
        self.ladder = Ladder(self.clock, changes=Hub[LevelChange]())
        self.state = State(SITE)
        self.vitals = Vitals(
            directory,
            self.clock,
            self.ladder,
            self.triggers,
            self.state,
            real=True,
            made_in=2023,
            free_bytes=lambda _: self.free,
        )

    async def after(self, minutes: float) -> Level:
        """Let time pass, look, and give the level."""
        await asyncio.sleep(minutes * 60)
        self.vitals.look()
        self.ladder.settle()
        return self.ladder.level


async def test_a_full_disk_releases_the_building_until_there_is_room(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert await machine.after(1) is Level.OPTIMISING
    machine.free = LEAST_BYTES - 1
    assert await machine.after(1) is Level.RELEASED
    assert "MB left" in machine.ladder.why
    assert not machine.vitals.checks()[0].ok
    machine.free = 10 * LEAST_BYTES
    await machine.after(1)
    assert await machine.after(2) is Level.OPTIMISING
    assert machine.vitals.checks()[0].ok


async def test_a_clock_set_by_a_little_is_followed_and_planned_with(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.vitals.look()
    machine.clock.set_by_s = 90.0
    with machine.triggers.subscribe() as buffer:
        assert await machine.after(1) is Level.OPTIMISING
        (trigger,) = buffer.take()
    assert "set by 90 s" in trigger.text
    assert machine.clock.now() == EPOCH + timedelta(seconds=150)
    with machine.triggers.subscribe() as buffer:
        await machine.after(1)
        assert buffer.take() == []


async def test_a_clock_set_by_much_is_not_trusted(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.clock.set_by_s = 3600.0
    assert await machine.after(1) is Level.RELEASED
    assert "60 minutes" in machine.ladder.why
    assert not machine.vitals.checks()[1].ok
    assert machine.clock.epoch == EPOCH


async def test_a_clock_that_was_set_back_leaves_no_reading_in_the_future(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    await asyncio.sleep(3600)
    machine.vitals.look()
    seen = machine.clock.now()
    known = Reading(point=POINT, time=seen, received=seen, value=20.0)
    machine.state.update([known])
    machine.clock.set_by_s = -300.0
    assert await machine.after(1) is Level.OPTIMISING
    now = machine.clock.now()
    assert now == seen - timedelta(seconds=240)
    assert machine.state.value(POINT, now) == 20.0, "the building is not forgotten"
    machine.state.update([Reading(point=POINT, time=now, received=now, value=21.0)])
    assert machine.state.value(POINT, now) == 21.0


@pytest.mark.parametrize("years", [-1, -53])
async def test_a_clock_that_was_never_set_is_not_trusted_until_it_is(tmp_path: Path, years: int) -> None:
    machine = Machine(tmp_path, EPOCH.replace(year=EPOCH.year + years))
    assert await machine.after(1) is Level.RELEASED
    assert f"shows the year {EPOCH.year + years}" in machine.ladder.why
    assert not machine.vitals.checks()[1].ok
    with machine.triggers.subscribe() as buffer:
        machine.clock.set_by_s = (EPOCH - machine.clock.epoch).total_seconds()
        await machine.after(1)
        assert [trigger.cause for trigger in buffer.take()] == [Cause.CLOCK]
    assert machine.clock.now() == EPOCH + timedelta(minutes=2)
    assert await machine.after(2) is Level.OPTIMISING
    assert machine.vitals.checks()[1].ok


async def test_a_drift_of_a_moment_is_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.clock.set_by_s = 2.0
    with machine.triggers.subscribe() as buffer:
        assert await machine.after(1) is Level.OPTIMISING
        assert buffer.take() == []


async def test_the_heart_beats_while_plans_are_made_in_time(tmp_path: Path, clock: Clock) -> None:
    planner = SimpleNamespace(next_at=clock.now() + timedelta(minutes=15))
    service = cast("Service", SimpleNamespace(planner=planner, clock=clock))

    def beats() -> int:
        return int((tmp_path / HEARTBEAT_FILE).read_text().split()[1])

    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(keep_beating(service, Heartbeat(tmp_path)), name="heartbeat")
        await asyncio.sleep(60)
        assert beats() == pytest.approx(12, abs=1)
        await asyncio.sleep(31 * 60)  # the planner is stuck
        stuck = beats()
        await asyncio.sleep(300)
        assert beats() == stuck
        planner.next_at = clock.now() + timedelta(minutes=15)
        await asyncio.sleep(60)
        assert beats() > stuck
        beating.cancel()
