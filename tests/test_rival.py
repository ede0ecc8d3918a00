"""Two supervisors of one building: at most one of them writes, and the other takes over when it dies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from config.site import Point
from controller.ladder import Level
from controller.learned import priors
from controller.outlook import LocalOutlook
from controller.pulse import first_beat
from controller.rival import QUIET, Rival
from controller.service import Service, Settings, running
from controller.store.base import Lease
from drivers.clock import Clock
from site_sims.building import SimulatedBuilding
from site_sims.simulated_driver import simulated_drivers
from tests.conftest import EPOCH
from tests.control_bench import PLANT, Bench
from tests.control_bench import running as running_bench
from tests.test_service import SOLVER
from tests.town_hall import town_hall_site

SITE = town_hall_site()
BEAT = Point.model_validate(PLANT[3])
SECOND = timedelta(seconds=1)


def test_what_stands_still_is_dead_after_two_beats_and_a_half() -> None:
    rival = Rival(BEAT)
    assert not rival.beats(None, (), EPOCH, slotted=True)
    assert rival.beats(7.0, (), EPOCH, slotted=True)
    assert rival.beats(7.0, (), EPOCH + QUIET - SECOND, slotted=True)
    assert not rival.beats(7.0, (), EPOCH + QUIET, slotted=True)
    assert rival.beats(8.0, (), EPOCH + QUIET + SECOND, slotted=True)
    assert rival.beats(None, (), EPOCH + QUIET + 2 * SECOND, slotted=True), "it may be between two beats"


def test_our_own_beats_are_no_rival() -> None:
    rival = Rival(BEAT)
    for n in range(100):
        assert not rival.beats(float(n), (float(n), float(n - 1)), EPOCH + n * SECOND, slotted=True)


def test_without_slots_only_a_value_that_changes_is_a_rival() -> None:
    rival = Rival(BEAT)
    assert not rival.beats(7.0, (), EPOCH, slotted=False)
    assert not rival.beats(7.0, (), EPOCH + SECOND, slotted=False)
    assert rival.beats(8.0, (), EPOCH + 2 * SECOND, slotted=False)


def test_a_data_directory_begins_to_count_where_it_once_began(tmp_path: Path) -> None:
    begin = first_beat(tmp_path)
    assert 0 <= begin < 65536
    assert first_beat(tmp_path) == begin
    (tmp_path / "instance").write_text("what?", encoding="ascii")
    assert 0 <= first_beat(tmp_path) < 65536


@pytest.fixture
def building(clock: Clock) -> SimulatedBuilding:
    made = SimulatedBuilding(SITE, seed=1, start=clock.epoch)
    made.step()
    return made


@asynccontextmanager
async def supervisor(building: SimulatedBuilding, clock: Clock, directory: Path, begin: int) -> AsyncIterator[Service]:
    settings = Settings(
        directory=directory,
        make_driver=simulated_drivers(building.field, clock=clock),
        outlook=lambda site, history: LocalOutlook(site, history, None),
        solver=SOLVER,
        learned=priors(SITE),
        optimise=False,
        first_beat=begin,
        durable=False,
    )
    async with running(SITE, settings, clock) as service:
        yield service


def ours(service: Service) -> set[str]:
    return {name for name, status in service.dispatch.status.items() if status.ours is not None}


async def test_a_second_supervisor_writes_nothing_until_the_first_has_gone(
    building: SimulatedBuilding, clock: Clock, tmp_path: Path
) -> None:
    async with supervisor(building, clock, tmp_path / "a", 10) as first:
        await asyncio.sleep(300)
        held = ours(first)
        assert len(held) > 10
        before = [list(o.writes) for o in building.field]
        beats = building.field["bms.heartbeat"]
        async with supervisor(building, clock, tmp_path / "b", 30_000) as second:
            for _ in range(60):
                await asyncio.sleep(10)
                assert second.ladder.level is Level.RELEASED
                assert ours(second) == set()
            assert "another supervisor" in second.ladder.why
            assert second.ladder.why.endswith("bms.heartbeat counts without us")
            written = {o.key for o, was in zip(building.field, before, strict=True) if o.writes != was}
            assert written <= {key.split(".", 1)[1] for key in held}, "only what the first one writes"
            assert beats.array[12] is not None
            assert beats.array[12] < 100
        assert ours(first) == held
        assert first.ladder.level is not Level.RELEASED


async def test_the_second_takes_over_when_the_first_has_gone(
    building: SimulatedBuilding, clock: Clock, tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as tasks:
        gone = asyncio.Event()

        async def first() -> None:
            async with supervisor(building, clock, tmp_path / "a", 10):
                await gone.wait()

        tasks.create_task(first(), name="first")
        await asyncio.sleep(100)
        async with supervisor(building, clock, tmp_path / "b", 30_000) as second:
            await asyncio.sleep(600)
            assert ours(second) == set()
            gone.set()
            await asyncio.sleep(600)
            assert len(ours(second)) > 10
            assert second.ladder.level is not Level.RELEASED


async def test_of_two_that_begin_together_one_withdraws_within_seconds(
    building: SimulatedBuilding, clock: Clock, tmp_path: Path
) -> None:
    async with (
        supervisor(building, clock, tmp_path / "a", 10) as one,
        supervisor(building, clock, tmp_path / "b", 30_000) as other,
    ):
        await asyncio.sleep(10)
        for _ in range(60):
            await asyncio.sleep(10)
            assert not (ours(one) and ours(other)), "never both"
        assert ours(one) or ours(other), "but one"


async def test_a_value_that_a_dead_one_left_is_taken_over_after_a_while(
    building: SimulatedBuilding, clock: Clock, tmp_path: Path
) -> None:
    building.field["bms.heartbeat"].write(777.0, 13)
    async with supervisor(building, clock, tmp_path / "a", 10) as service:
        await asyncio.sleep(120)
        assert ours(service) == set()
        await asyncio.sleep(180)
        assert len(ours(service)) > 10


async def test_what_we_left_ourselves_when_we_were_killed_holds_nothing_up(clock: Clock) -> None:
    bench = Bench(clock)
    bench.leases.rows[BEAT.id] = Lease(
        point=BEAT.id,
        device="plant",
        priority=13,
        value=65_530.0,
        expires=clock.now() + timedelta(minutes=11),
        decision="",
        epoch=0,
    )
    bench.field[BEAT.id].write(5.0, 13)  # eleven beats later
    async with running_bench(bench):
        assert bench.field[BEAT.id].array[12] == 1.0
        assert bench.ladder.level is Level.OPTIMISING
