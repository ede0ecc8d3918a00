"""Sensors that have stuck: found by their siblings, and what they told is taken back."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from math import sin
from pathlib import Path

import numpy as np
import pytest

from controller.history import History
from controller.hub import Hub
from controller.store.sqlite import SqliteStore
from controller.validation.take_back import Nonsense, take_back
from drivers.base import Flags, Reading
from drivers.clock import Clock
from tests.conftest import EPOCH
from tests.gate_bench import (
    GOOD,
    HALL,
    MINUTE,
    NEXT,
    NONE,
    SUSPECT,
    THIRD,
    Bench,
    reading,
)

HOURS = 60


def half_days(bench: Bench, minutes: int, *, first: int = 0, **frozen: float) -> dict[str, list[Reading]]:
    """Three rooms that warm up and cool down; those in `frozen` by their zone's name show that value all the time."""
    found: dict[str, list[Reading]] = {}
    for minute in range(first, first + minutes, 5):
        for n, point in enumerate((HALL, NEXT, THIRD)):
            true = round(20.0 + 2.0 * sin(minute / 200 + n), 1)
            value = frozen.get(point.split(".")[1], true)
            (out,) = bench.passed([reading(point, value, minute)])
            found.setdefault(point, []).append(out)
    return found


def test_a_sensor_that_has_stuck_is_found_while_its_siblings_move(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    half_days(bench, 2 * HOURS)
    stood = half_days(bench, 13 * HOURS, first=2 * HOURS, hall=20.3)
    said = [(r.quality, r.flags) for r in stood[HALL]]
    assert said[0] == (GOOD, NONE)
    assert said[-1] == (SUSPECT, Flags.STUCK)
    begun = said.index((SUSPECT, Flags.STUCK)) * 5
    assert 12 * HOURS < begun <= 12 * HOURS + 20
    assert bench.forgotten == [(HALL, EPOCH + 2 * HOURS * MINUTE)]
    assert {r.quality for point in (NEXT, THIRD) for r in stood[point]} == {GOOD}
    moving = half_days(bench, 1 * HOURS, first=15 * HOURS)
    assert {r.quality for r in moving[HALL][1:]} == {GOOD}
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert lines == [f"{HALL} shows 20.3, which is not believed: it has stuck"]


async def test_what_a_stuck_sensor_told_is_taken_back(tmp_path: Path, clock: Clock) -> None:
    readings: Hub[Reading] = Hub()
    nonsense: Hub[Nonsense] = Hub()
    history = History([HALL, NEXT])
    told = [reading(HALL, 20.3 if 30 <= minute < 90 else 21.0, minute) for minute in range(0, 120, 10)]
    beside = [replace(each, point=NEXT) for each in told]
    for one, other in zip(told, beside, strict=True):
        history.add([one, other], one.time)
    async with SqliteStore(tmp_path, clock=clock) as store, asyncio.TaskGroup() as tasks:
        await store.append([*told, *beside])
        work = take_back(nonsense, readings, history=history, store=store, after=timedelta(seconds=4))
        task = tasks.create_task(work, name="take back")
        await asyncio.sleep(0)
        with readings.subscribe() as buffer:
            nonsense.publish(Nonsense(point=HALL, value=20.3, since=EPOCH + 30 * MINUTE, until=EPOCH + 110 * MINUTE))
            await asyncio.sleep(0)
            assert np.isnan(history.column(HALL)[2:]).all()
            async with asyncio.timeout(60):
                again = await buffer.batch()
        task.cancel()
        assert [(r.time, r.value, r.quality, r.flags) for r in again] == [
            (r.time, 20.3, SUSPECT, Flags.STUCK) for r in told[3:9]
        ]
        await store.append(again)
        means = await store.aggregate(HALL, EPOCH, EPOCH + 120 * MINUTE, 30 * MINUTE)
        assert {when: count for when, (*_, count) in means.items()} == {EPOCH: 3, EPOCH + 90 * MINUTE: 3}
    assert history.column(NEXT).tolist()[:3] == [21.0, 21.0, 20.3]


def test_a_sensor_that_never_moved_since_we_began_is_found_by_its_siblings_resolution() -> None:
    stood = half_days(Bench(), 13 * HOURS, hall=20.3)
    assert stood[HALL][-1].flags is Flags.STUCK


def test_a_quiet_building_has_no_stuck_sensor() -> None:
    bench = Bench()
    found = half_days(bench, 30 * HOURS, hall=20.3, next=20.4, third=20.5)
    assert {r.quality for rs in found.values() for r in rs} == {GOOD}
    assert bench.forgotten == []


def test_a_coarse_sensor_beside_fine_ones_has_not_stuck() -> None:
    bench = Bench()
    for minute in range(0, 30 * HOURS, 5):
        rough = 20.0 if minute > 2 * HOURS else float(20 + minute // 5 % 2)  # whole degrees, in a steady room
        said = bench.passed(
            [
                reading(HALL, rough, minute),
                reading(NEXT, round(20.0 + 0.9 * sin(minute / 200), 1), minute),
                reading(THIRD, round(20.0 + 0.9 * sin(minute / 220), 1), minute),
            ]
        )
        assert {r.quality for r in said} == {GOOD}


def test_a_sensor_that_falls_silent_has_not_stuck() -> None:
    bench = Bench()
    half_days(bench, 2 * HOURS)
    for minute in range(2 * HOURS, 15 * HOURS, 5):
        bench.passed(reading(p, round(20.0 + 2.0 * sin(minute / 200), 1), minute) for p in (NEXT, THIRD))
    assert bench.shown(HALL, [20.3], first=15 * HOURS) == [(GOOD, NONE)]
    assert bench.forgotten == []
