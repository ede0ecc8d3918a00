"""Dispatch: whoever else writes: operators, other supervisors, devices that forget or say no."""

import asyncio
from datetime import timedelta

import pytest

from config.site import Point
from controller.arbiter import Source
from controller.ladder import Level
from controller.outcome import Holder, Result
from drivers.base import Priority
from drivers.clock import Clock
from tests.control_bench import FLOW, LIGHT, SETPOINT, Bench, running
from tests.controlled import FieldDriver


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock)


async def test_an_operator_is_respected_and_control_resumes_when_he_lets_go(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        bench.field[SETPOINT].write(17.0, 8)
        await asyncio.sleep(63)  # one poll and one round
        status = dispatch.status[SETPOINT]
        assert (status.holder, status.slot, status.value, status.result) == (Holder.OPERATOR, 8, 17.0, Result.HELD)
        assert dispatch.held() == {SETPOINT: 17.0}
        dispatch.submit(bench.wish(SETPOINT, 19.0, minutes=600))
        await asyncio.sleep(3600)
        assert bench.writes() == ["write hall 22"]  # we wait
        bench.field[SETPOINT].write(None, 8)
        await asyncio.sleep(63)
        assert bench.slot(SETPOINT) == 19.0
        assert dispatch.held() == {}
        assert [line.split()[0] for line in bench.audit.lines()] == ["write", "held", "freed", "write"]


async def test_an_operator_hidden_behind_an_equal_value_is_found_by_the_next_write(bench: Bench) -> None:
    async with running(bench) as dispatch:
        bench.field[SETPOINT].write(20.0, 8)  # the value that was there anyway: no poll shows it
        await asyncio.sleep(400)
        dispatch.submit(bench.wish(SETPOINT, 22.0))
        await asyncio.sleep(1)
        assert dispatch.status[SETPOINT].result is Result.HELD
        assert dispatch.status[SETPOINT].holder is Holder.OPERATOR
        assert bench.writes() == []


async def test_another_supervisor_in_our_slot_makes_the_point_advisory_until_it_is_gone(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        bench.field[SETPOINT].write(18.0, 13)
        await asyncio.sleep(63)
        status = dispatch.status[SETPOINT]
        assert (status.result, status.holder, status.ours) == (Result.FOREIGN, Holder.UNKNOWN, None)
        assert SETPOINT not in bench.leases.rows
        assert [o.result for o in bench.heard.take()] == [Result.APPLIED, Result.FOREIGN]
        await asyncio.sleep(3600)
        assert bench.slot(SETPOINT) == 18.0
        assert bench.writes() == ["write hall 22"]  # nothing relinquished, nothing fought over
        assert await dispatch.release_all("stop") == []
        assert bench.slot(SETPOINT) == 18.0
        dispatch.allow(Level.OPTIMISING)
        bench.field[SETPOINT].write(None, 13)
        await asyncio.sleep(400)
        assert bench.slot(SETPOINT) == 22.0


async def test_values_lost_in_a_restart_are_asserted_again(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600), bench.wish(LIGHT, 40.0, minutes=600))
        await asyncio.sleep(1)
        box = bench.field.devices["zones"]
        box.reachable = False
        await asyncio.sleep(600)
        for obj in box.objects.values():
            obj.array[12] = None  # slots 9 to 16 live in memory only
        box.reachable = True
        await asyncio.sleep(61)
        assert (bench.slot(SETPOINT), bench.slot(LIGHT)) == (22.0, 40.0)


async def test_a_restart_so_short_that_no_poll_failed_is_seen_by_the_value(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        bench.field[SETPOINT].array[12] = None
        await asyncio.sleep(63)
        assert bench.slot(SETPOINT) == 22.0
        assert [line.split()[0] for line in bench.audit.lines()] == ["write", "lost", "write"]


async def test_a_dead_device_costs_its_neighbours_nothing_and_is_served_when_it_is_back(bench: Bench) -> None:
    async with running(bench) as dispatch:
        bench.field.devices["plant"].reachable = False
        bench.drivers["plant"].delay_s = 3.0
        dispatch.submit(bench.wish(FLOW, 40.0, minutes=600))
        await asyncio.sleep(0.1)
        begun = bench.clock.now()
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(0.001)
        assert bench.slot(SETPOINT) == 22.0
        assert bench.clock.now() - begun < timedelta(seconds=0.01)
        await asyncio.sleep(600)
        assert bench.slot(FLOW) is None
        bench.field.devices["plant"].reachable = True
        await asyncio.sleep(120)
        assert bench.slot(FLOW) == 40.0
        assert dispatch.status[FLOW].result is Result.APPLIED


async def test_a_write_whose_answer_was_lost_is_found_out_by_reading_not_by_writing_again(bench: Bench) -> None:
    async with running(bench) as dispatch:
        obj, box = bench.field[SETPOINT], bench.field.devices["zones"]

        def cut(_: object) -> None:  # the value arrives, the answer does not
            box.reachable = False

        bench.drivers["zones"].delay_s = 0.0
        obj.watchers.append(cut)
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        assert dispatch.status[SETPOINT].result is Result.UNKNOWN
        assert SETPOINT in bench.leases.rows  # the guard would hand it back
        obj.watchers.remove(cut)
        box.reachable = True
        await asyncio.sleep(180)
        assert dispatch.status[SETPOINT].result is Result.APPLIED
        assert bench.writes() == ["write hall 22"]


async def test_what_the_device_refuses_is_told_and_not_tried_again_at_once(bench: Bench) -> None:
    async with running(bench) as dispatch:
        bench.field[SETPOINT].high = 21.0
        dispatch.submit(bench.wish(SETPOINT, 20.5, minutes=600))
        await asyncio.sleep(1)
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(200)
        assert dispatch.status[SETPOINT].result is Result.REJECTED
        assert "outside" in dispatch.status[SETPOINT].note
        assert bench.writes() == ["write hall 20.5", "write hall 22"]
        assert bench.leases.rows[SETPOINT].value == 20.5  # still there
        assert await dispatch.release_all("stop") == []
        assert bench.slot(SETPOINT) is None


async def test_without_a_priority_array_another_value_means_another_hand(bench: Bench) -> None:
    bench.has_arrays = False
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(LIGHT, 40.0, minutes=600))
        await asyncio.sleep(1)
        bench.field[LIGHT].write(100.0, 8)  # a switch on the wall
        await asyncio.sleep(63)
        assert dispatch.status[LIGHT].result is Result.HELD
        assert dispatch.held() == {LIGHT: 100.0}
        await asyncio.sleep(600)
        assert bench.writes() == ["write hall 40"]
        bench.field[LIGHT].write(None, 8)
        await asyncio.sleep(63)
        assert dispatch.status[LIGHT].result is Result.APPLIED


async def test_a_clamped_value_is_told_and_is_ours(bench: Bench) -> None:
    class Coarse(FieldDriver):
        async def write(self, point: Point, value: float, priority: Priority) -> None:
            await super().write(point, round(value * 2) / 2, priority)

    def make(name: str) -> FieldDriver:
        device = next(d for d in bench.site.devices if d.id == name)
        return Coarse(device, bench.field.devices[name], bench.clock, asked=bench.asked)

    bench.make_driver = make  # type: ignore[method-assign]  # this bench alone
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 21.3, minutes=600))
        await asyncio.sleep(3600)
        status = dispatch.status[SETPOINT]
        assert (status.result, status.holder, status.ours, status.value) == (Result.CLAMPED, Holder.WE, 21.3, 21.5)
        assert len(bench.writes()) == 1


async def test_a_hand_that_let_go_while_nothing_was_asked_is_no_obstacle(bench: Bench) -> None:
    async with running(bench) as dispatch:
        bench.field[SETPOINT].write(21.0, 8)
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=2))
        await asyncio.sleep(300)
        bench.field[SETPOINT].write(None, 8)
        bench.field[SETPOINT].write(21.0, 15)  # the value stays as it was: no poll tells
        await asyncio.sleep(3600)
        dispatch.submit(bench.wish(SETPOINT, 22.0, Source.MANUAL))
        await asyncio.sleep(1)
        assert bench.field[SETPOINT].value == 22.0
