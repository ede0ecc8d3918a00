"""The ladder: down at once, up after a while, and no flapping."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.hub import Buffer, Hub
from controller.ladder import Ladder, Level, LevelChange, Trouble
from drivers.clock import Clock
from site_sims.virtual_time import VirtualTimeLoop
from tests.conftest import EPOCH

MINUTE = 60.0


@contextmanager
def ladder_of(clock: Clock) -> Iterator[tuple[Ladder, Buffer[LevelChange]]]:
    hub: Hub[LevelChange] = Hub()
    with hub.subscribe(size=10_000) as heard:
        yield Ladder(clock, changes=hub), heard


def test_the_order_of_rungs_is_by_how_little_is_still_done() -> None:
    assert [level.label for level in Level] == ["0", "1", "1b", "2", "0a", "3", "4", "5"]
    assert [level.label for level in Level if level.writes] == ["0", "1", "1b", "2"]
    assert [level.label for level in Level if level.releases] == ["0a", "4", "5"]


async def test_a_stale_feed_degrades_at_once_and_recovers_after_ten_fresh_minutes(clock: Clock) -> None:
    with ladder_of(clock) as (ladder, heard):
        ladder.report(Trouble.FORECAST, present=True, text="weather is 7 h old")
        assert (ladder.level, ladder.why) == (Level.DEGRADED, "weather is 7 h old")
        ladder.report(Trouble.FORECAST, present=False)
        await asyncio.sleep(10 * MINUTE - 1)
        ladder.settle()
        assert ladder.level is Level.DEGRADED
        await asyncio.sleep(1)
        ladder.settle()
        assert (ladder.level, ladder.why) == (Level.OPTIMISING, "")
        assert [(c.old.label, c.new.label) for c in heard.take()] == [("0", "1"), ("1", "0")]


async def test_a_relapse_begins_the_wait_anew(clock: Clock) -> None:
    with ladder_of(clock) as (ladder, _):
        ladder.report(Trouble.FORECAST, present=True)
        ladder.report(Trouble.FORECAST, present=False)
        await asyncio.sleep(9 * MINUTE)
        ladder.report(Trouble.FORECAST, present=True)
        ladder.report(Trouble.FORECAST, present=False)
        await asyncio.sleep(9 * MINUTE)
        ladder.settle()
        assert ladder.level is Level.DEGRADED


async def test_a_failed_solver_leads_to_the_rules_until_three_good_solves(clock: Clock) -> None:
    with ladder_of(clock) as (ladder, _):
        ladder.report(Trouble.SOLVER, present=False)
        assert ladder.level is Level.OPTIMISING
        ladder.report(Trouble.PLAN_SHIFTED, present=True)
        assert ladder.level is Level.SHIFTED
        ladder.report(Trouble.SOLVER, present=True, text="infeasible")
        ladder.report(Trouble.PLAN_SHIFTED, present=False)
        assert ladder.level is Level.RULES
        for present in (False, False, True, False, False):  # a failure begins the count anew
            ladder.report(Trouble.SOLVER, present=present)
            assert ladder.level is Level.RULES
        ladder.report(Trouble.SOLVER, present=False)
        assert ladder.level is Level.OPTIMISING


async def test_a_lost_device_holds_that_device_only(clock: Clock) -> None:
    with ladder_of(clock) as (ladder, heard):
        ladder.report(Trouble.DEVICE, present=True, text="no answer", device="ahu")
        assert ladder.level is Level.OPTIMISING
        assert ladder.device_level("ahu") is Level.HOLD
        assert ladder.device_level("plant") is Level.OPTIMISING
        ladder.report(Trouble.DEVICE, present=False, device="ahu")
        await asyncio.sleep(5 * MINUTE)
        ladder.settle()
        assert ladder.device_level("ahu") is Level.OPTIMISING
        assert [(c.device, c.new.label) for c in heard.take()] == [("ahu", "3"), ("ahu", "0")]
        ladder.report(Trouble.OPERATOR_STOP, present=True)
        assert ladder.device_level("ahu") is Level.RELEASED
    with pytest.raises(ValueError, match="name a device"):
        ladder.report(Trouble.DEVICE, present=True)


async def test_the_worst_trouble_rules(clock: Clock) -> None:
    with ladder_of(clock) as (ladder, _):
        ladder.report(Trouble.FORECAST, present=True)
        ladder.report(Trouble.OPERATOR_STOP, present=True, text="stopped by hand")
        ladder.report(Trouble.ADVISORY_MODE, present=True)
        assert (ladder.level, ladder.why) == (Level.RELEASED, "stopped by hand")
        ladder.report(Trouble.OPERATOR_STOP, present=False)
        assert ladder.level is Level.ADVISORY
        ladder.report(Trouble.ADVISORY_MODE, present=False)
        assert ladder.level is Level.DEGRADED


async def test_it_stays_down_and_says_so_when_it_changed_too_often(clock: Clock) -> None:
    with ladder_of(clock) as (ladder, heard):
        for _ in range(3):
            ladder.report(Trouble.PLAN_SHIFTED, present=True, text="infeasible")
            ladder.report(Trouble.PLAN_SHIFTED, present=False)
            await asyncio.sleep(MINUTE)
        assert ladder.level is Level.SHIFTED
        assert ladder.flapping
        changes = heard.take()
        assert [(c.old.label, c.new.label) for c in changes] == [
            ("0", "1b"),
            ("1b", "0"),
            ("0", "1b"),
            ("1b", "0"),
            ("0", "1b"),
            ("1b", "1b"),
        ]
        assert changes[-1].flapping
        assert "within an hour" in ladder.why
        ladder.report(Trouble.STORE, present=True)
        assert ladder.level is Level.RELEASED  # down is never blocked
        ladder.report(Trouble.STORE, present=False)
        await asyncio.sleep(55 * MINUTE)
        ladder.settle()
        assert ladder.level is Level.RELEASED
        await asyncio.sleep(10 * MINUTE)
        ladder.settle()
        assert (ladder.level, ladder.flapping) == (Level.OPTIMISING, False)


async def test_a_person_is_followed_however_often(clock: Clock) -> None:
    with ladder_of(clock) as (ladder, _):
        for _ in range(10):
            ladder.report(Trouble.OPERATOR_STOP, present=True)
            assert ladder.level is Level.RELEASED
            ladder.report(Trouble.OPERATOR_STOP, present=False)
            assert ladder.level is Level.OPTIMISING


async def test_run_rises_by_itself_when_the_time_has_come(clock: Clock) -> None:
    with ladder_of(clock) as (ladder, heard):
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(ladder.run())
            await asyncio.sleep(1)
            ladder.report(Trouble.DISK, present=True, text="80 MB left")
            await asyncio.sleep(3600)
            assert ladder.level is Level.RELEASED
            ladder.report(Trouble.DISK, present=False)
            await asyncio.sleep(3600)
            task.cancel()
        down, up = heard.take()
    assert (down.time - clock.epoch).total_seconds() == 1
    assert (up.time - clock.epoch).total_seconds() == 3601 + 60


STEPS = st.lists(
    st.tuples(st.sampled_from([c for c in Trouble if c is not Trouble.DEVICE]), st.booleans(), st.integers(0, 900)),
    max_size=40,
)


@given(STEPS)
def test_it_is_never_above_a_trouble_that_is_there_and_rises_rarely(steps: list[tuple[Trouble, bool, int]]) -> None:
    async def walk() -> list[LevelChange]:
        clock = Clock(EPOCH)
        with ladder_of(clock) as (ladder, heard):
            present: dict[Trouble, bool] = {}
            for trouble, there, wait_s in steps:
                ladder.report(trouble, present=there)
                present[trouble] = there
                if any(there for c, there in present.items() if c not in (Trouble.FORECAST, Trouble.PLAN_SHIFTED)):
                    assert ladder.level >= Level.RULES
                if present.get(Trouble.OPERATOR_STOP):
                    assert ladder.level is Level.RELEASED
                await asyncio.sleep(wait_s)
                ladder.settle()
            return heard.take()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        changes = runner.run(walk())
    by_itself = [c.time for c in changes if c.new < c.old]
    hands = sum(trouble in (Trouble.OPERATOR_STOP, Trouble.ADVISORY_MODE) for trouble, _, _ in steps)
    for time in by_itself:
        assert sum(0 <= (time - other).total_seconds() < 3600 for other in by_itself) <= 4 + hands
