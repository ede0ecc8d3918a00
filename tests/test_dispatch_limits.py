"""Dispatch: what keeps a wish from the wire: envelope, pace, share, levels and modes."""

import asyncio
from datetime import timedelta

import pytest

from controller.arbiter import Source
from controller.ladder import Level
from controller.outcome import Holder, Result
from controller.store.base import StoreError
from drivers.clock import Clock
from tests.control_bench import BEAT, FLOW, LIGHT, SETPOINT, Bench, running


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock)


async def test_requests_are_checked_before_they_count(bench: Bench) -> None:
    async with running(bench) as dispatch:
        with pytest.raises(LookupError, match=r"b\.hall\.temperature"):
            dispatch.submit(bench.wish("b.hall.temperature", 1.0))
        dispatch.submit(bench.wish(SETPOINT, float("nan"), Source.MANUAL), bench.wish(SETPOINT, 21.0))
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) == 21.0
        assert [(o.result, o.source) for o in bench.heard.take()] == [
            (Result.REJECTED, "manual"),
            (Result.APPLIED, "optimiser"),
        ]


async def test_nothing_beyond_the_envelope_reaches_the_wire(bench: Bench) -> None:
    bench.people_expected = True
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 11.0, Source.MANUAL))
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) == 18.0
        assert dispatch.status[SETPOINT].note == "held at 18, lowest allowed now"


async def test_the_envelope_is_asked_again_when_the_building_changes(bench: Bench) -> None:
    bench.field["b.outdoor.temperature"].sense(8.0)
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish("b.boiler.enable", 0.0, minutes=600), bench.wish(SETPOINT, 12.0, minutes=600))
        await asyncio.sleep(1)
        assert (bench.slot("b.boiler.enable"), bench.slot(SETPOINT)) == (0.0, 12.0)
        bench.field["b.outdoor.temperature"].sense(1.0)
        bench.people_expected = True
        await asyncio.sleep(63)
        assert (bench.slot("b.boiler.enable"), bench.slot(SETPOINT)) == (None, 18.0)
        assert "frost" in dispatch.status["b.boiler.enable"].note


async def test_small_changes_by_a_plan_wait_a_minute_large_ones_and_people_do_not(bench: Bench) -> None:
    async with running(bench) as dispatch:
        for value, source in [
            (20.0, Source.OPTIMISER),
            (20.1, Source.OPTIMISER),  # within the deadband
            (20.15, Source.OPTIMISER),
            (21.0, Source.OPTIMISER),
            (21.01, Source.OPTIMISER),  # never worth a write
            (21.05, Source.MANUAL),
        ]:
            dispatch.submit(bench.wish(SETPOINT, value, source))
            await asyncio.sleep(1)
        assert bench.writes() == ["write hall 20", "write hall 21", "write hall 21.05"]
        dispatch.withdraw(Source.MANUAL)
        dispatch.submit(bench.wish(SETPOINT, 21.2))
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) == 21.05
        await asyncio.sleep(120)
        assert bench.slot(SETPOINT) == 21.2


async def test_unannounced_changes_are_spread_over_rounds(clock: Clock) -> None:
    bench = Bench(clock, change_share=0.34)
    async with running(bench, settle_s=5) as dispatch:
        asked = {SETPOINT: 22.0, LIGHT: 40.0, FLOW: 40.0}
        dispatch.submit(*(bench.wish(point, value) for point, value in asked.items()))
        await asyncio.sleep(1)
        assert [bench.slot(point) for point in asked] == [22.0, None, None]
        await asyncio.sleep(60)
        assert [bench.slot(point) for point in asked] == [22.0, 40.0, None]
        dispatch.submit(bench.wish(FLOW, 45.0, Source.MANUAL))
        await asyncio.sleep(1)
        assert [bench.slot(point) for point in asked] == [22.0, 40.0, 45.0]


async def test_announced_changes_are_made_together(clock: Clock) -> None:
    bench = Bench(clock, change_share=0.34)
    async with running(bench) as dispatch:
        asked = {SETPOINT: 22.0, LIGHT: 40.0, FLOW: 40.0}
        dispatch.submit(*(bench.wish(point, value, scheduled=True) for point, value in asked.items()))
        await asyncio.sleep(1)
        assert [bench.slot(point) for point in asked] == [22.0, 40.0, 40.0]


async def test_advisory_mode_shows_what_would_be_and_writes_nothing(clock: Clock) -> None:
    bench = Bench(clock, mode="advisory")
    bench.field[LIGHT].write(30.0, 13)  # somebody else's
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0))
        await asyncio.sleep(3600)
        status = dispatch.status[SETPOINT]
        assert (status.wanted, status.ours, status.holder) == (22.0, None, Holder.BMS)
        assert [what for what in bench.asked if what.startswith(("write", "relinquish"))] == []
        assert bench.slot(LIGHT) == 30.0


async def test_the_heartbeat_counts_each_minute_and_is_leased(bench: Bench) -> None:
    async with running(bench):
        await asyncio.sleep(600)
        first = bench.slot(BEAT)
        assert first is not None
        await asyncio.sleep(3600)
        assert bench.slot(BEAT) == first + 60
        assert bench.leases.rows[BEAT].expires > bench.clock.now() + timedelta(minutes=10)
        assert await bench.dispatch.release_all("stop") == []
        assert bench.slot(BEAT) is None
        assert bench.leases.rows == {}


async def test_holding_writes_nothing_and_lets_leases_run_out(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600), bench.wish(FLOW, 40.0, minutes=600))
        await asyncio.sleep(1)
        dispatch.allow(Level.HOLD, device="zones")
        dispatch.submit(bench.wish(SETPOINT, 19.0, minutes=600), bench.wish(FLOW, 45.0, minutes=600))
        await asyncio.sleep(20 * 60)
        assert (bench.slot(SETPOINT), bench.slot(FLOW)) == (22.0, 45.0)
        await asyncio.sleep(11 * 60)
        assert (bench.slot(SETPOINT), bench.slot(FLOW)) == (None, 45.0)
        dispatch.allow(Level.OPTIMISING, device="zones")
        await asyncio.sleep(1)
        assert bench.slot(SETPOINT) == 19.0


@pytest.mark.parametrize("level", [Level.RELEASED, Level.ADVISORY])
async def test_the_released_level_hands_back_at_once_and_rising_writes_again(bench: Bench, level: Level) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(SETPOINT, 22.0, minutes=600), bench.wish(FLOW, 40.0, minutes=600))
        await asyncio.sleep(120)
        dispatch.allow(level)
        await asyncio.sleep(0.01)
        assert [bench.slot(p) for p in (SETPOINT, FLOW, BEAT)] == [None, None, None]
        assert bench.leases.rows == {}
        await asyncio.sleep(600)
        assert [bench.slot(p) for p in (SETPOINT, FLOW, BEAT)] == [None, None, None]
        assert dispatch.status[SETPOINT].wanted == 22.0
        dispatch.allow(Level.OPTIMISING)
        await asyncio.sleep(61)
        assert (bench.slot(SETPOINT), bench.slot(FLOW)) == (22.0, 40.0)
        assert bench.slot(BEAT) is not None


async def test_a_demand_limit_is_an_upper_bound_for_the_rest(bench: Bench) -> None:
    async with running(bench) as dispatch:
        dispatch.submit(bench.wish(LIGHT, 80.0, Source.RULES), bench.wish(LIGHT, 50.0, Source.DEMAND_LIMIT, high=50.0))
        await asyncio.sleep(1)
        assert bench.slot(LIGHT) == 50.0
        assert dispatch.status[LIGHT].note == "limited by demand limit"
        dispatch.submit(bench.wish(LIGHT, 30.0, Source.RULES))
        await asyncio.sleep(1)
        assert bench.slot(LIGHT) == 30.0


async def test_the_ladder_is_followed_for_the_store_only_if_there_is_one(clock: Clock) -> None:
    bench = Bench(clock)
    bench.ladder = None  # type: ignore[assignment]  # dispatch takes none
    bench.dispatch = bench.make_dispatch()
    async with running(bench) as dispatch:
        bench.leases.fail = StoreError("full")
        dispatch.submit(bench.wish(LIGHT, 40.0, minutes=600))
        await asyncio.sleep(10)
        bench.leases.fail = None
        await asyncio.sleep(130)
        assert bench.slot(LIGHT) == 40.0
