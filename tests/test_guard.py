"""The guard: hands back what a dead service held, and never what a living one holds."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from config.site import Device
from controller.guard import Files, Guard, Heartbeat, Staleness, own_way
from controller.leases import Fenced
from controller.store.base import AuditEntry, Lease, StoreError
from drivers.clock import Clock
from site_sims.field import Field
from tests.control_bench import FLOW, LIGHT, PLANT, SETPOINT, ZONES, Bench, running
from tests.controlled import FieldDriver, MemoryLeases, field_of, small_site

SITE = small_site({"zones": ZONES, "plant": PLANT})


@dataclass
class MemoryTable:
    """What the guard sees of the data directory."""

    leases_: MemoryLeases
    beats: int = 0
    entries: list[AuditEntry] = field(default_factory=list)
    fail: bool = False

    def _disk(self) -> None:
        if self.fail:
            raise StoreError("input/output error")

    def mark(self) -> str | None:
        self._disk()
        return str(self.beats)

    def leases(self) -> list[Lease]:
        self._disk()
        return list(self.leases_.rows.values())

    def raise_epoch(self) -> int:
        self._disk()
        self.leases_.disk_epoch += 1
        return self.leases_.disk_epoch

    def forget(self, *points: str) -> None:
        self._disk()
        for point in points:
            del self.leases_.rows[point]

    def record(self, *entries: AuditEntry) -> None:
        self.entries.extend(entries)

    async def beat(self) -> None:
        while True:
            self.beats += 1
            await asyncio.sleep(5)


class Scene:
    """A building with two values of ours in it, the table that says so, and a guard."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.field = clock, field_of(SITE)
        self.table = MemoryTable(MemoryLeases(clock, epoch=4, disk_epoch=4))
        self.opened: list[str] = []
        self.guard = Guard(SITE, self.table, self.open_driver, clock=clock)

    def open_driver(self, device: Device) -> FieldDriver:
        self.opened.append(device.id)
        return FieldDriver(device, self.field.devices[device.id], self.clock)

    def take(self, point: str, value: float, epoch: int = 4) -> None:
        device = "zones" if "hall" in point else "plant"
        self.field[point].write(value, 13)
        self.table.leases_.rows[point] = Lease(
            point=point,
            device=device,
            priority=13,
            value=value,
            expires=self.clock.now() + timedelta(minutes=30),
            decision="plan-1",
            epoch=epoch,
        )

    def slots(self, field: Field | None = None) -> list[float | None]:
        return [(field or self.field)[point].array[12] for point in (SETPOINT, FLOW)]


@pytest.fixture
async def scene(clock: Clock) -> Scene:
    made = Scene(clock)
    made.take(SETPOINT, 22.0)
    made.take(FLOW, 40.0)
    return made


@asynccontextmanager
async def guarding(scene: Scene, *, beating: bool = False) -> AsyncIterator["asyncio.Task[None]"]:
    """The guard runs; the service beats as long as the task given lives."""
    async with asyncio.TaskGroup() as tasks:
        beats = tasks.create_task(scene.table.beat() if beating else asyncio.sleep(0))
        guard = tasks.create_task(scene.guard.run())
        yield beats
        guard.cancel()
        beats.cancel()


async def test_a_service_that_beats_is_left_alone(scene: Scene) -> None:
    async with guarding(scene, beating=True):
        await asyncio.sleep(2 * 3600)
        assert scene.slots() == [22.0, 40.0]
        assert scene.table.leases_.disk_epoch == 4
        assert scene.opened == []


async def test_everything_is_handed_back_a_minute_after_the_last_beat(scene: Scene) -> None:
    async with guarding(scene, beating=True) as beats:
        await asyncio.sleep(601)
        beats.cancel()
        await asyncio.sleep(58)
        assert scene.slots() == [22.0, 40.0]
        await asyncio.sleep(4)
        assert scene.slots() == [None, None]
        assert scene.table.leases_.rows == {}
        assert scene.table.leases_.disk_epoch == 5
        with pytest.raises(Fenced):
            await scene.table.leases_.take_many([])
        assert [(e.actor, e.subject, e.old, e.result) for e in scene.table.entries] == [
            ("guard", SETPOINT, "22", "applied"),
            ("guard", FLOW, "40", "applied"),
        ]


async def test_what_others_hold_stays(scene: Scene) -> None:
    scene.field[SETPOINT].write(17.0, 8)
    scene.field[SETPOINT].write(19.0, 15)
    scene.field[LIGHT].write(30.0, 13)  # ours by its slot, but no lease says so
    async with guarding(scene):
        await asyncio.sleep(70)
    held = {n: v for n, v in enumerate(scene.field[SETPOINT].array, 1) if v is not None}
    assert held == {8: 17.0, 15: 19.0}
    assert scene.field[LIGHT].array[12] == 30.0


async def test_a_device_out_of_reach_is_tried_until_it_is_back_and_delays_no_other(scene: Scene) -> None:
    scene.field.devices["zones"].reachable = False
    async with guarding(scene):
        await asyncio.sleep(62)
        assert scene.slots() == [22.0, None]
        assert list(scene.table.leases_.rows) == [SETPOINT]
        await asyncio.sleep(3600)
        scene.field.devices["zones"].reachable = True
        await asyncio.sleep(61)
        assert scene.slots() == [None, None]
        assert scene.table.leases_.rows == {}


async def test_what_a_device_refuses_to_give_back_stays_in_the_table(scene: Scene) -> None:
    scene.field[SETPOINT].commandable = False
    async with guarding(scene):
        await asyncio.sleep(300)
    assert list(scene.table.leases_.rows) == [SETPOINT]
    assert {e.result for e in scene.table.entries if e.subject == SETPOINT} == {"rejected"}


async def test_when_the_service_is_back_the_guard_steps_back(scene: Scene) -> None:
    scene.field.devices["zones"].reachable = False
    async with guarding(scene):
        await asyncio.sleep(100)
        scene.table.leases_.disk_epoch = 6  # a new run, which kept the lease
        scene.take(SETPOINT, 21.0, epoch=6)
        scene.table.beats += 1
        scene.field.devices["zones"].reachable = True
        await asyncio.sleep(55)
        assert scene.slots() == [21.0, None]


async def test_a_lease_of_a_newer_run_is_never_touched_while_that_run_has_not_died_too(scene: Scene) -> None:
    scene.field.devices["zones"].reachable = False
    async with guarding(scene):
        await asyncio.sleep(100)
        scene.table.leases_.disk_epoch = 6
        scene.take(SETPOINT, 21.0, epoch=6)  # it writes already, but has not beaten yet
        scene.field.devices["zones"].reachable = True
        await asyncio.sleep(55)
        assert scene.slots() == [21.0, None]
        await asyncio.sleep(120)  # and never beats
        assert scene.slots() == [None, None]
        assert scene.table.leases_.disk_epoch == 7


async def test_without_leases_a_silent_service_is_nobodys_business(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.table.leases_.rows.clear()
    async with guarding(scene):
        await asyncio.sleep(600)
    assert (scene.opened, scene.table.leases_.disk_epoch) == ([], 4)
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []


async def test_a_disk_that_fails_for_a_while_only_delays(scene: Scene) -> None:
    async with guarding(scene):
        await asyncio.sleep(30)
        scene.table.fail = True
        await asyncio.sleep(600)
        assert scene.slots() == [22.0, 40.0]  # nobody can know what is leased
        scene.table.fail = False
        await asyncio.sleep(61)
        assert scene.slots() == [None, None]
        assert scene.table.leases_.rows == {}


async def test_a_service_that_was_only_stopped_looks_anew_and_goes_on(clock: Clock) -> None:
    bench = Bench(clock)
    table = MemoryTable(bench.leases)

    def open_driver(device: Device) -> FieldDriver:
        return FieldDriver(device, bench.field.devices[device.id], clock)

    guard = Guard(bench.site, table, open_driver, clock=clock)
    async with running(bench) as dispatch, asyncio.TaskGroup() as tasks:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        watching = tasks.create_task(guard.run())
        await asyncio.sleep(62)  # stopped: no beat, no write
        assert bench.slot(SETPOINT) is None
        beating = tasks.create_task(table.beat())
        dispatch.submit(bench.wish(LIGHT, 40.0, minutes=600))
        await asyncio.sleep(61)
        assert (bench.slot(SETPOINT), bench.slot(LIGHT)) == (22.0, 40.0)
        assert bench.leases.epoch == bench.leases.disk_epoch
        watching.cancel()
        beating.cancel()


def test_staleness_counts_only_time_in_which_it_looked() -> None:
    staleness = Staleness(timedelta(seconds=60))
    assert not any(staleness.look("7", second) for second in range(60))
    assert staleness.look("7", 60)
    assert not staleness.look("8", 61)
    assert not staleness.look("8", 10_000)  # the machine slept
    assert not any(staleness.look("8", 10_000 + second) for second in range(1, 58))
    assert staleness.look("8", 10_059)
    staleness.restart()
    assert not staleness.look("8", 10_060)
    assert not Staleness(timedelta(seconds=60)).look(None, 5)


def test_the_heartbeat_file_changes_with_each_beat_and_each_process(tmp_path: Path) -> None:
    files, heart = Files(tmp_path), Heartbeat(tmp_path)
    assert files.mark() is None
    marks = []
    for _ in range(3):
        heart.beat()
        marks.append(files.mark())
    assert len(set(marks)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["heartbeat"]
    with pytest.raises(StoreError):
        files.leases()


def device_of(driver: str, **options: object) -> Device:
    return Device(id="x", driver=driver, options=options, points=SITE.devices[0].points)


def test_the_guard_goes_its_own_way_to_the_devices() -> None:
    plant = device_of("bacnet", address="10.0.0.9:47808", instance=3, bind="10.0.0.1:47801", cov=True)
    assert own_way(plant).options == {"address": "10.0.0.9:47808", "instance": 3, "bind": "10.0.0.1:0"}
    assert own_way(plant, bind_port=47900).options["bind"] == "10.0.0.1:47900"
    assert own_way(device_of("bacnet", address="10.0.0.9:47808")).options["bind"] == "0.0.0.0:0"
    meters = device_of("mqtt", host="broker", identifier="plenum", will={"topic": "x", "payload": "gone"})
    assert own_way(meters).options == {"host": "broker"}


def test_the_guard_knows_nothing_of_optimiser_or_pages() -> None:
    heavy = "('optimiser', 'pyomo', 'highspy', 'scipy', 'fastapi', 'uvicorn')"
    code = f"import sys, controller.guard; print([m for m in sys.modules if m.split('.')[0] in {heavy}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=True)
    assert done.stdout.strip() == "[]"
