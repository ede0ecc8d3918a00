"""Dispatch: what wins is written, read back, kept true and handed back; on a simulated field in virtual time."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from controller.arbiter import Source
from controller.outcome import Holder, Result
from drivers.clock import Clock
from tests.control_bench import SETPOINT, Bench, running


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock)


async def test_a_request_is_on_the_wire_at_once_read_back_leased_and_recorded(bench: Bench) -> None:
    async with running(bench) as dispatch:
        begun = bench.clock.now()
        dispatch.submit(bench.wish(SETPOINT, 22.0))
        await asyncio.sleep(0.001)
        assert bench.slot(SETPOINT) == 22.0
        (lease,) = [row for row in bench.leases.rows.values() if row.point == SETPOINT]
        assert (lease.value, lease.priority, lease.device, lease.decision) == (22.0, 13, "zones", "plan-1")
        assert lease.expires == begun + timedelta(minutes=30)
        status = dispatch.status[SETPOINT]
        assert (status.holder, status.slot, status.value, status.wanted) == (Holder.WE, 13, 22.0, 22.0)
        assert (status.result, status.source, status.reason) == (Result.APPLIED, "optimiser", "cheap now")
        assert bench.audit.lines() == ["write hall ->22 applied"]
        (outcome,) = bench.heard.take()
        assert (outcome.result, outcome.value, outcome.present) == (Result.APPLIED, 22.0, 22.0)
        assert [c.value for c in bench.sent.take()] == [22.0]
        assert [result for _, result in bench.leases.commands.values()] == ["applied"]


async def test_the_lease_is_on_disk_before_the_value_is_on_the_wire(bench: Bench) -> None:
    async with running(bench) as dispatch:
        seen: list[bool] = []
        bench.field[SETPOINT].watchers.append(lambda obj: seen.append(SETPOINT in bench.leases.rows))
        dispatch.submit(bench.wish(SETPOINT, 22.0))
        await asyncio.sleep(1)
        assert seen == [True]


async def test_an_expired_request_is_handed_back_on_time_and_its_lease_dropped(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=10))
        await asyncio.sleep(599.9)
        assert bench.slot(SETPOINT) == 22.0
        await asyncio.sleep(0.2)
        assert bench.slot(SETPOINT) is None
        assert SETPOINT not in bench.leases.rows
        assert dispatch.status[SETPOINT].holder is Holder.BMS
        assert bench.audit.lines()[-1] == "relinquish hall 22-> applied"


async def test_when_the_strongest_request_expires_the_next_one_takes_over(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 20.0), bench.wish(SETPOINT, 23.0, Source.MANUAL, minutes=10))
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) == 23.0
        assert dispatch.held() == {SETPOINT: 23.0}
        await asyncio.sleep(600)
        assert bench.slot(SETPOINT) == 20.0
        assert dispatch.held() == {}


async def test_leases_are_renewed_on_disk_alone_before_a_third_of_their_life_is_left(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600))
        await asyncio.sleep(1)
        least = timedelta(hours=1)
        for _ in range(9 * 60):
            await asyncio.sleep(60)
            least = min(least, bench.leases.rows[SETPOINT].expires - bench.clock.now())
        assert least >= timedelta(minutes=10)
        assert bench.writes() == ["write hall 22"]


async def test_a_lease_never_outlives_its_request(bench: Bench) -> None:
    async with running(bench) as dispatch:
        request = bench.wish(SETPOINT, 22.0, minutes=40)
        dispatch.submit(request)
        for _ in range(39):
            await asyncio.sleep(60)
            assert bench.leases.rows[SETPOINT].expires <= request.expires
        assert bench.slot(SETPOINT) == 22.0


def test_a_status_is_a_plain_record(clock: Clock) -> None:
    bench = Bench(clock)
    # Outside a loop: nothing has been read yet.
    status = bench.dispatch.status[SETPOINT]
    assert (status.holder, status.result, status.since, status.note) == (Holder.UNKNOWN, None, None, "")
    assert replace(status, note="x").note == "x"
