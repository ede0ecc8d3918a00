"""A machine whose clock is set while it controls a building."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.backend.vitals import EVERY, Vitals
from drivers.clock import Clock
from tests.system.house import House, house

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

START = datetime(2023, 2, 7, 8, tzinfo=UTC)


class MachineClock(Clock):
    """A clock beside a machine's that can be set."""

    def __init__(self, epoch: datetime) -> None:
        super().__init__(epoch)
        self.machine = epoch

    def drift_s(self) -> float:
        return (self.machine - self.epoch).total_seconds()


def vitals(home: House, directory: Path) -> Vitals:
    service = home.service
    return Vitals(
        directory, home.clock, service.ladder, service.hubs.triggers, service.state, real=True, made_in=START.year
    )


@pytest.mark.parametrize("minutes", [4, -4])
async def test_a_clock_that_was_set_makes_one_plan_and_nothing_is_made_up_for(minutes: int, tmp_path: Path) -> None:
    clock = MachineClock(START)
    async with house(tmp_path, START, clock=clock) as home, asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(vitals(home, tmp_path).run(), name="vitals")
        await home.until("09:08")
        before = clock.now()
        with home.service.hubs.plans.subscribe() as plans, home.service.hubs.commands.subscribe() as commands:
            clock.machine += timedelta(minutes=minutes)
            await asyncio.sleep(2 * EVERY.total_seconds())
            assert clock.now() == before + timedelta(minutes=minutes + 1)
            assert [plan.trigger.partition(":")[0] for plan in plans.take()] == ["clock"]
            written = Counter(command.point for command in commands.take())
            assert max(written.values(), default=0) <= 1, "no command twice"
            assert len(written) <= len(home.occupied_slots())
        assert home.level == "0"
        state, zones = home.service.state, home.building.site.by_role("zone_temperature")
        assert all(state.value(point.id, clock.now()) is not None for point in zones), "nothing is taken for stale"
        looking.cancel()


async def test_a_clock_that_jumps_by_an_hour_releases_the_building(tmp_path: Path) -> None:
    clock = MachineClock(START)
    async with house(tmp_path, START, clock=clock) as home, asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(vitals(home, tmp_path).run(), name="vitals")
        await home.until("08:40")
        assert home.occupied_slots()
        clock.machine += timedelta(hours=1)
        await home.until("08:42")
        assert home.level == "4"
        assert home.occupied_slots() == []
        clock.machine -= timedelta(hours=1)
        await home.until("09:01")
        assert home.level == "0"
        assert home.occupied_slots()
        looking.cancel()
