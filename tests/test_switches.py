"""Machines are spared: a program leaves one on, or off, for ten minutes and starts it four times an hour at most."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.arbiter import Source
from controller.envelope import MOST_STARTS, STARTS_WINDOW, SWITCH_WINDOW, Allowed, Facts, check
from controller.switches import Switches
from drivers.clock import Clock
from tests.conftest import EPOCH
from tests.control_bench import Bench, running
from tests.test_envelope import ENABLE

BOILER = "b.boiler.enable"
MINUTE = timedelta(minutes=1)


@st.composite
def switchings(draw: st.DrawFn) -> list[tuple[int, bool, float]]:
    """Seconds since the last wish, whether a program has it, and what is wished."""
    wish = st.tuples(st.integers(1, 900), st.booleans(), st.sampled_from([0.0, 1.0]))
    return draw(st.lists(wish, max_size=80))


@given(switchings())
def test_no_program_switches_a_machine_too_often_whatever_people_do_meanwhile(
    wishes: list[tuple[int, bool, float]],
) -> None:
    switches, now, value = Switches(), EPOCH, 0.0
    switches.see(value, now)
    changes: list[tuple[datetime, float]] = []
    for after_s, automatic, wish in wishes:
        now += timedelta(seconds=after_s)
        facts = Facts(
            automatic=automatic,
            heat_source=True,
            outdoor_degc=9.0,
            recent=switches.since(now - SWITCH_WINDOW),
            starts=switches.starts(now - STARTS_WINDOW),
        )
        verdict = check(ENABLE, wish, facts)
        assert isinstance(verdict, Allowed)
        assert check(ENABLE, verdict.value, facts) == Allowed(value=verdict.value), "asked again it stays so"
        if verdict.value == value:
            assert verdict.value == wish or (automatic and "must wait" in verdict.notes[0])
            continue
        assert verdict.value == wish
        if automatic:
            assert not changes or now - changes[-1][0] >= SWITCH_WINDOW
            starts = [when for when, to in changes if to == 1.0 and when > now - STARTS_WINDOW]
            assert wish == 0.0 or len(starts) < MOST_STARTS
        value = wish
        changes.append((now, value))
        switches.see(value, now)


@given(st.lists(st.tuples(st.integers(0, 1200), st.sampled_from([0.0, 1.0])), min_size=1, max_size=60))
def test_what_is_remembered_of_an_hour_is_what_was(seen: list[tuple[int, float]]) -> None:
    switches, now, values = Switches(), EPOCH, list[tuple[datetime, float]]()
    for after_s, value in seen:
        now += timedelta(seconds=after_s)
        switches.see(value, now)
        values.append((now, value))
    begin = now - STARTS_WINDOW
    starts = sum(a == 0.0 and b == 1.0 and when > begin for (_, a), (when, b) in pairwise(values))
    assert switches.starts(begin) == starts
    assert switches.since(begin)[-1] == values[-1][1]
    assert len(switches._changes) <= len([when for when, _ in values if when > begin]) + 1


def test_news_of_the_past_change_nothing() -> None:
    switches = Switches()
    switches.see(0.0, EPOCH)
    switches.see(1.0, EPOCH + MINUTE)
    switches.see(0.0, EPOCH)
    assert switches.since(EPOCH) == (0.0, 1.0)
    assert Switches().since(EPOCH) == ()


@pytest.fixture
def bench(clock: Clock) -> Bench:
    bench = Bench(clock)
    bench.field["b.outdoor.temperature"].sensed = 9.0
    return bench


async def test_a_nervous_plan_switches_every_ten_minutes_at_most(bench: Bench) -> None:
    changes: list[datetime] = []
    async with running(bench) as dispatch:
        bench.field[BOILER].watchers.append(lambda obj: changes.append(bench.clock.now()))
        for n in range(240):
            dispatch.submit(bench.wish(BOILER, float(n % 2)))
            await asyncio.sleep(60)
        assert dispatch.status[BOILER].note == "" or "must wait" in dispatch.status[BOILER].note
    assert len(changes) > 15
    assert all(later - earlier >= SWITCH_WINDOW for earlier, later in pairwise(changes))


async def test_a_person_and_the_building_are_free_and_count(bench: Bench) -> None:
    async with running(bench) as dispatch:
        for n in range(8):  # an operator at the panel: four starts in sixteen minutes
            bench.field[BOILER].write(float((n + 1) % 2), 8)
            await asyncio.sleep(120)
        bench.field[BOILER].write(None, 8)
        await asyncio.sleep(11 * 60)
        dispatch.submit(bench.wish(BOILER, 1.0))
        await asyncio.sleep(60)
        assert bench.field[BOILER].value == 0.0
        assert "4 times an hour" in dispatch.status[BOILER].note
        dispatch.submit(bench.wish(BOILER, 1.0, Source.MANUAL, minutes=1))
        await asyncio.sleep(1)
        assert bench.field[BOILER].value == 1.0, "a person may"
        await asyncio.sleep(11 * 60)
        dispatch.submit(bench.wish(BOILER, 0.0))
        await asyncio.sleep(11 * 60)
        assert bench.field[BOILER].value == 0.0
        dispatch.submit(bench.wish(BOILER, 1.0))
        await asyncio.sleep(60)
        assert bench.field[BOILER].value == 0.0, "five starts within the hour"
        await asyncio.sleep(1200)
        assert bench.field[BOILER].value == 1.0


async def test_what_the_building_just_switched_stays_for_ten_minutes(bench: Bench) -> None:
    async with running(bench) as dispatch:
        await asyncio.sleep(60)
        bench.field[BOILER].write(1.0, 15)  # its own controls
        await asyncio.sleep(180)
        dispatch.submit(bench.wish(BOILER, 0.0))
        await asyncio.sleep(300)
        assert bench.field[BOILER].value == 1.0
        assert "for 10 minutes" in dispatch.status[BOILER].note
        await asyncio.sleep(300)
        assert bench.field[BOILER].value == 0.0
