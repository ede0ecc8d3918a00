"""Points whose memory wears out: few writes a day, counted for life, over restarts, and at the end none."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.site import Point
from controller.arbiter import Source
from controller.leases import Leases
from controller.reconcile import hand_back
from controller.state import State
from controller.store.control import control_database
from controller.supervisor import Link
from controller.wear import A_DAY, BURST, Wear, wears
from drivers.base import Can, ReadBack, Rejected, priority
from drivers.clock import Clock
from tests.conftest import EPOCH
from tests.control_bench import BEAT, LIGHT, PLANT, ZONES, Bench, running
from tests.controlled import FieldDriver, field_of, small_site

DAY = timedelta(days=1)
SAFE = ZONES[2] | {"safe_value": 80.0}
POINT = Point.model_validate(SAFE | {"endurance_writes": 1000})


@given(st.lists(st.integers(0, 7200), max_size=300))
def test_no_day_sees_more_writes_than_allowed_and_no_moment_more_than_a_burst(gaps_s: list[int]) -> None:
    now, wear, made = EPOCH, Wear(), list[datetime]()
    for gap in gaps_s:
        now += timedelta(seconds=gap)
        if not wear.refusal(POINT, now, automatic=True):
            wear = wear.after_write(now)
            made.append(now)
    assert wear.writes == len(made)
    for first in made:
        assert sum(first <= when < first + DAY for when in made) <= A_DAY
        assert sum(first <= when < first + timedelta(minutes=10) for when in made) <= BURST


@given(st.integers(0, 1100), st.booleans())
def test_the_end_of_its_endurance_binds_everybody(writes: int, automatic: bool) -> None:  # noqa: FBT001  hypothesis
    wear = Wear(writes=writes)
    assert bool(wear.refusal(POINT, EPOCH, automatic=automatic)) == (writes >= 1000)


def test_after_a_rest_a_burst_is_free_again_but_not_more() -> None:
    wear = Wear()
    for n in range(20):
        wear = wear.after_write(EPOCH + n * timedelta(hours=2))
    later = EPOCH + timedelta(days=400)
    for _ in range(BURST):
        assert wear.refusal(POINT, later, automatic=True) == ""
        wear = wear.after_write(later)
    assert "24 writes a day" in wear.refusal(POINT, later, automatic=True)
    assert wear.refusal(POINT, later, automatic=False) == "", "a person need not wait"


def test_which_points_wear() -> None:
    no_slots, slots = ReadBack(present=1.0, slot=None), ReadBack(present=1.0, slot=None, array=(None,) * 16)
    plain = Point.model_validate(ZONES[2])
    assert wears(POINT, Can.READ | Can.WRITE, None)
    assert wears(POINT, Can.WRITE | Can.RELINQUISH, no_slots)
    assert not wears(POINT, Can.WRITE | Can.RELINQUISH, slots)
    assert not wears(plain, Can.WRITE | Can.RELINQUISH, no_slots), "a message that hands back is enough"


@pytest.fixture
def bench(clock: Clock) -> Bench:
    """One light on a device that knows no slots."""
    bench = Bench(clock)
    bench.site = small_site({"zones": [SAFE | {"endurance_writes": 1000}]}, control={"mode": "control"})
    bench.field, bench.state = field_of(bench.site), State(bench.site)
    bench.links = {"zones": Link(bench.site.devices[0])}
    bench.can, bench.has_arrays = Can.READ | Can.WRITE, False
    bench.dispatch = bench.make_dispatch()
    return bench


async def test_a_restless_plan_is_written_24_times_a_day_and_a_person_at_once(bench: Bench) -> None:
    async with running(bench) as dispatch:
        for n in range(4 * 24):
            dispatch.submit(bench.wish(LIGHT, 10.0 + 30.0 * (n % 3)))
            await asyncio.sleep(900)
        assert A_DAY - 1 <= len(bench.writes()) == bench.leases.wear[LIGHT].writes <= A_DAY
        status = dispatch.status[LIGHT]
        assert status.worn == len(bench.writes()) / 1000
        for value in (25.0, 60.0):
            dispatch.submit(bench.wish(LIGHT, value))
            await asyncio.sleep(60)
        assert "at most 24 writes a day" in dispatch.status[LIGHT].note
        dispatch.submit(bench.wish(LIGHT, 99.0, Source.MANUAL))
        await asyncio.sleep(1)
        assert bench.field[LIGHT].value == 99.0


async def test_handing_back_is_never_refused_and_counts(bench: Bench) -> None:
    bench.leases.wear[LIGHT] = Wear(writes=999)
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(LIGHT, 40.0, Source.MANUAL, minutes=600))
        await asyncio.sleep(1)
        assert bench.field[LIGHT].value == 40.0
        dispatch.submit(bench.wish(LIGHT, 50.0, Source.MANUAL, minutes=600))
        await asyncio.sleep(3600)
        assert bench.writes() == ["write hall 40"]
        assert "the 1000 writes it bears" in dispatch.status[LIGHT].note
        assert await dispatch.release_all("stop") == []
        assert bench.field[LIGHT].value == 80.0
    assert bench.leases.wear[LIGHT].writes == 1001


async def test_a_heartbeat_does_not_wear_out_a_memory(clock: Clock) -> None:
    bench = Bench(clock)
    bench.site = small_site({"plant": [PLANT[3] | {"safe_value": 0.0}]}, control={"mode": "control"})
    bench.field, bench.state = field_of(bench.site), State(bench.site)
    bench.links = {"plant": Link(bench.site.devices[0])}
    bench.can, bench.has_arrays = Can.READ | Can.WRITE, False
    bench.dispatch = bench.make_dispatch()
    async with running(bench):
        await asyncio.sleep(600)
    assert [what for what in bench.asked if what.startswith("write")] == []
    assert bench.dispatch.status[BEAT].ours is None


async def test_wear_outlives_a_restart(tmp_path: Path, clock: Clock) -> None:
    worn = Wear(writes=7, due=EPOCH + timedelta(hours=3))
    async with control_database(tmp_path) as database:
        leases = Leases(database, clock=clock)
        await leases.begin()
        assert await leases.worn() == {}
        await leases.intend([], wear={LIGHT: Wear(writes=6), BEAT: worn})
        await leases.drop(wear={LIGHT: worn})
    async with control_database(tmp_path) as database:
        assert await Leases(database, clock=clock).worn() == {LIGHT: worn, BEAT: worn}


async def test_a_point_without_slots_on_a_device_that_has_them_gets_its_safe_value(clock: Clock) -> None:
    class Plain(FieldDriver):
        async def relinquish(self, point: Point, priority: int) -> None:
            raise Rejected(f"{point.id}: not commandable, {priority} means nothing")

    site = small_site({"zones": [SAFE, ZONES[1]]})
    box = field_of(site).devices["zones"]
    async with Plain(site.devices[0], box, clock) as driver:
        await hand_back(driver, site.points[LIGHT], priority(13))
        assert box.objects[LIGHT].value == 80.0
        with pytest.raises(Rejected, match="not commandable"):
            await hand_back(driver, site.points["b.hall.setpoint"], priority(13))
