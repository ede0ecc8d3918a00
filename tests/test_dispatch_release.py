"""Dispatch: handing back, and what is left after a crash or a loss of authority."""

import asyncio
from datetime import timedelta

import pytest

from controller.arbiter import Source
from controller.ladder import Level
from controller.outcome import Holder, Result
from controller.state import State
from controller.store.base import Lease, StoreError
from controller.supervisor import Link
from drivers.base import Can
from drivers.clock import Clock
from tests.control_bench import BEAT, FLOW, LIGHT, SETPOINT, ZONES, Bench, running
from tests.controlled import field_of, small_site


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock)


async def test_release_all_gives_everything_back_in_parallel_and_names_what_it_could_not(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(*(bench.wish(p, 30.0, Source.MANUAL, minutes=600) for p in (SETPOINT, LIGHT, FLOW)))
        await asyncio.sleep(1)
        for driver in bench.drivers.values():
            driver.delay_s = 0.5
        bench.field.devices["plant"].reachable = False
        begun = bench.clock.now()
        assert await dispatch.release_all("stopped by hand") == [FLOW, BEAT]
        assert bench.clock.now() - begun == timedelta(seconds=2)  # two points, each given and read
        assert (bench.slot(SETPOINT), bench.slot(LIGHT)) == (None, None)
        assert sorted(bench.leases.rows) == [BEAT, FLOW]
        dispatch.submit(bench.wish(SETPOINT, 21.0, Source.MANUAL, minutes=600))
        await asyncio.sleep(300)
        assert bench.slot(SETPOINT) is None
        bench.field.devices["plant"].reachable = True
        await asyncio.sleep(120)
        assert (bench.slot(FLOW), bench.slot(BEAT)) == (None, None)
        assert bench.leases.rows == {}


async def test_release_all_gives_up_after_five_seconds(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0))
        await asyncio.sleep(1)
        bench.drivers["zones"].delay_s = 60.0
        begun = bench.clock.now()
        assert await dispatch.release_all("stop") == [SETPOINT]
        assert bench.clock.now() - begun == timedelta(seconds=5)


async def test_handing_back_does_not_wait_for_devices_that_are_slow_to_report(clock: Clock) -> None:
    bench = Bench(clock)
    points = [f"b.hall.light{n}" for n in range(10)]
    bench.site = small_site(
        {"zones": [ZONES[2] | {"id": point} for point in points]}, control={"mode": "control", "change_share": 1}
    )
    bench.field, bench.state = field_of(bench.site), State(bench.site)
    bench.links = {"zones": Link(bench.site.devices[0])}
    bench.has_arrays = False
    bench.dispatch = bench.make_dispatch()
    async with running(bench) as dispatch:
        bench.drivers["zones"].back_delay_s = 2.0
        dispatch.submit(*(bench.wish(point, 40.0, Source.MANUAL) for point in points))
        await asyncio.sleep(1)
        assert [bench.slot(point) for point in points] == [40.0] * 10  # all are written before one is read
        begun = clock.now()
        assert await dispatch.release_all("stop") == []
        assert [bench.slot(point) for point in points] == [None] * 10
        assert clock.now() - begun < timedelta(seconds=2)
        assert bench.leases.rows == {}


async def test_two_hundred_points_are_free_within_five_seconds(clock: Clock) -> None:
    bench = Bench(clock)
    points = [ZONES[2] | {"id": f"b.hall.light{n}"} for n in range(200)]
    bench.site = small_site({"zones": points}, control={"mode": "control", "change_share": 1})
    bench.field, bench.state = field_of(bench.site), State(bench.site)
    bench.links = {"zones": Link(bench.site.devices[0])}
    bench.dispatch = bench.make_dispatch()
    async with running(bench) as dispatch:
        dispatch.submit(*(bench.wish(f"b.hall.light{n}", 40.0) for n in range(200)))
        await asyncio.sleep(1)
        assert len(bench.leases.rows) == 200
        bench.drivers["zones"].delay_s = 0.01
        assert await dispatch.release_all("stop") == []
        assert bench.leases.rows == {}


async def test_a_device_that_cannot_relinquish_gets_its_safe_value(clock: Clock) -> None:
    bench = Bench(clock)
    light = ZONES[2] | {"safe_value": 80.0}
    bench.site = small_site({"zones": [light]}, control={"mode": "control"})
    bench.field, bench.state = field_of(bench.site), State(bench.site)
    bench.field[LIGHT].array = [None] * 16
    bench.links = {"zones": Link(bench.site.devices[0])}
    bench.can, bench.has_arrays = Can.READ | Can.WRITE, False
    bench.dispatch = bench.make_dispatch()
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(LIGHT, 40.0, minutes=10))
        await asyncio.sleep(1)
        assert dispatch.status[LIGHT].result is Result.APPLIED
        await asyncio.sleep(600)
        assert bench.field[LIGHT].value == 80.0
        assert bench.leases.rows == {}
        assert dispatch.status[LIGHT].ours is None


async def test_a_fenced_service_takes_a_new_epoch_looks_and_writes_again(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600), bench.wish(FLOW, 40.0, minutes=600))
        await asyncio.sleep(1)
        # While we were stopped the guard raised the epoch and handed back one of the two devices.
        bench.leases.disk_epoch += 1
        bench.field[SETPOINT].write(None, 13)
        del bench.leases.rows[SETPOINT]
        dispatch.submit(bench.wish(LIGHT, 50.0, minutes=600))
        await asyncio.sleep(1)
        assert bench.leases.epoch == bench.leases.disk_epoch == 3
        await asyncio.sleep(61)
        assert [bench.slot(p) for p in (SETPOINT, LIGHT, FLOW)] == [22.0, 50.0, 40.0]
        ours = {p: row.epoch for p, row in bench.leases.rows.items()}
        assert ours == dict.fromkeys((SETPOINT, LIGHT, FLOW, BEAT), 3)


async def test_when_the_lease_table_fails_nothing_is_written_and_the_ladder_is_told(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        bench.leases.fail = StoreError("the disk is full")
        dispatch.submit(bench.wish(LIGHT, 40.0, minutes=600))
        await asyncio.sleep(1)
        assert bench.slot(LIGHT) is None
        assert (bench.ladder.level, bench.ladder.why) == (Level.RELEASED, "the disk is full")
        dispatch.allow(bench.ladder.level)
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) is None  # freed although the table could not be told
        bench.leases.fail = None
        await asyncio.sleep(130)
        bench.ladder.settle()
        assert bench.ladder.level is Level.OPTIMISING
        dispatch.allow(bench.ladder.level)
        await asyncio.sleep(61)
        assert (bench.slot(SETPOINT), bench.slot(LIGHT)) == (22.0, 40.0)


async def test_after_a_crash_live_leases_go_on_and_the_rest_is_handed_back(bench: Bench) -> None:
    def lease(point: str, value: float, minutes: float) -> Lease:
        expires = bench.clock.now() + timedelta(minutes=minutes)
        return Lease(
            point=point,
            device="zones" if "hall" in point else "plant",
            priority=13,
            value=value,
            expires=expires,
            decision="plan-0",
            epoch=1,
        )

    bench.field[SETPOINT].write(22.0, 13)
    bench.field[LIGHT].write(50.0, 13)
    bench.field[FLOW].write(40.0, 13)
    bench.leases.rows = {SETPOINT: lease(SETPOINT, 22.0, 20), LIGHT: lease(LIGHT, 50.0, -1)}
    bench.leases.disk_epoch = 1
    async with running(bench) as dispatch:
        assert await dispatch.wait_known(timedelta(seconds=10)) == []
        assert [bench.slot(p) for p in (SETPOINT, LIGHT, FLOW)] == [22.0, None, None]
        assert bench.leases.rows[SETPOINT].epoch == 2
        assert dispatch.status[SETPOINT].holder is Holder.WE
        await asyncio.sleep(600)
        assert bench.slot(SETPOINT) == 22.0
        await asyncio.sleep(660)
        assert bench.slot(SETPOINT) is None  # nobody asked for it again


async def test_known_devices_are_waited_for_but_not_for_ever(bench: Bench) -> None:
    bench.field.devices["plant"].reachable = False
    async with running(bench) as dispatch:
        assert await dispatch.wait_known(timedelta(seconds=20)) == ["plant"]
