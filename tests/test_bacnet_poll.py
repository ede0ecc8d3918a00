"""The fall-back ladder: how a device's limits are found, and that they are remembered."""

import asyncio
from itertools import cycle

import pytest

from drivers.base import Flags, NotReachable, Quality
from drivers.clock import Clock
from site_sims.bacnet_devices import Behaviour
from tests.bacnet_field import GHOST, SETPOINT, TEMPERATURE, bench, field_device, many


async def polls(clock: Clock, behaviour: Behaviour, count: int) -> list[int]:
    """Requests that each of three polls of `count` points took; the values are checked."""
    async with bench(clock, behaviour=behaviour, device=field_device(extra=count)) as b:
        points = many(count)
        async with b.driver(points) as driver:
            taken: list[int] = []
            for _ in range(3):
                before = b.server.requests
                readings = await driver.read(points)
                assert [r.value for r in readings] == [float(n) for n in range(count)]
                assert {r.quality for r in readings} == {Quality.GOOD}
                taken.append(b.server.requests - before)
    return taken


@pytest.mark.parametrize(
    ("max_apdu", "requests"),
    [(1476, 1), (1024, 2), (480, 3), (206, 8), (50, 30)],
)
async def test_requests_are_sized_by_what_the_device_accepts(clock: Clock, max_apdu: int, requests: int) -> None:
    assert await polls(clock, Behaviour(max_apdu=max_apdu), 60) == [requests] * 3


async def test_a_device_without_read_multiple_is_read_singly(clock: Clock) -> None:
    assert await polls(clock, Behaviour(read_multiple=False), 10) == [21, 20, 20]


async def test_the_size_that_a_device_can_really_bear_is_found_and_remembered(clock: Clock) -> None:
    behaviour = Behaviour(max_apdu=206, announced_apdu=1476)
    async with bench(clock, behaviour=behaviour, device=field_device(extra=60)) as b:
        points = many(60)
        async with b.driver(points) as driver:
            taken: list[int] = []
            for _ in range(3):
                before = b.server.requests
                assert [r.value for r in await driver.read(points)] == [float(n) for n in range(60)]
                taken.append(b.server.requests - before)
    assert taken[0] > taken[1] == taken[2] <= 9


async def test_a_device_that_drops_what_is_too_large_is_asked_for_less(clock: Clock) -> None:
    behaviour = Behaviour(max_apdu=480, announced_apdu=1476, silent_when_large=True)
    async with bench(clock, behaviour=behaviour, device=field_device(extra=60)) as b:
        points = many(60)
        loop = asyncio.get_running_loop()
        async with b.driver(points) as driver:
            assert [r.value for r in await driver.read(points)] == [float(n) for n in range(60)]
            began = loop.time()
            await driver.read(points)
            assert loop.time() == began  # no time-out any more


async def test_an_object_that_spoils_every_answer_is_read_alone(clock: Clock) -> None:
    behaviour = Behaviour(all_or_nothing=True)
    async with bench(clock, behaviour=behaviour, device=field_device(extra=20)) as b:
        points = (*many(10), GHOST, *many(20)[10:])
        async with b.driver(points) as driver:
            await driver.read(points)
            before = b.server.requests
            readings = await driver.read(points)
            assert b.server.requests - before == 2
    assert [r.quality for r in readings].count(Quality.BAD) == 1
    assert (readings[10].point, readings[10].flags) == (GHOST.id, Flags.UNKNOWN_POINT)
    assert readings[11].value == 10.0


async def test_a_configured_limit_holds(clock: Clock) -> None:
    async with bench(clock, device=field_device(extra=20)) as b:
        points = many(20)
        async with b.driver(points, max_points_per_request=5) as driver:
            before = b.server.requests
            await driver.read(points)
            assert b.server.requests - before == 4


async def test_without_status_flags_more_points_fit(clock: Clock) -> None:
    async with bench(clock, device=field_device(extra=90)) as b:
        points = many(90)
        async with b.driver(points, status_flags=False) as driver:
            before = b.server.requests
            assert [r.value for r in await driver.read(points)] == [float(n) for n in range(90)]
            assert b.server.requests - before == 1


async def test_a_lost_answer_is_asked_for_again(clock: Clock) -> None:
    lost = cycle([False, True])
    async with bench(clock, behaviour=Behaviour(lose=lambda: next(lost))) as b, b.driver() as driver:
        for _ in range(3):
            assert (await driver.read([TEMPERATURE]))[0].value == 19.5


async def test_a_dead_device_costs_three_seconds_not_twelve(clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    async with bench(clock) as b, b.driver() as driver:
        await driver.read([TEMPERATURE, SETPOINT])
        b.device.reachable = False
        began = loop.time()
        with pytest.raises(NotReachable):
            await driver.read([TEMPERATURE, SETPOINT])
        assert loop.time() - began == pytest.approx(3.0)


async def test_at_most_so_many_requests_are_in_flight(clock: Clock) -> None:
    behaviour = Behaviour(max_apdu=50, delay_s=0.1)
    async with bench(clock, behaviour=behaviour, device=field_device(extra=40)) as b:
        points = many(40)
        async with b.driver(points, max_in_flight=4) as driver:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await driver.read(points)
            assert loop.time() - began == pytest.approx(0.5)  # 20 requests of 2 points, 4 at a time


@pytest.mark.parametrize(
    ("fault", "quality", "flags"),
    [(False, Quality.GOOD, Flags.NONE), (True, Quality.BAD, Flags.FAULT)],
)
async def test_the_device_s_own_doubts_are_believed(
    clock: Clock, *, fault: bool, quality: Quality, flags: Flags
) -> None:
    async with bench(clock) as b, b.driver() as driver:
        b.field["hall.temperature"].fault = fault
        (reading,) = await driver.read([TEMPERATURE])
    assert (reading.quality, reading.flags) == (quality, flags)
    assert (reading.value is None) == (quality is Quality.BAD)


@pytest.mark.parametrize(
    ("reliability", "why"),
    [(4, Flags.NO_SENSOR), (5, Flags.NO_SENSOR), (3, Flags.OUT_OF_RANGE), (12, Flags.NO_ANSWER), (7, Flags.NONE)],
)
@pytest.mark.parametrize("read_multiple", [True, False])
async def test_the_reason_of_a_fault_is_asked_for_once(
    clock: Clock, *, reliability: int, why: Flags, read_multiple: bool
) -> None:
    async with bench(clock, behaviour=Behaviour(read_multiple=read_multiple)) as b, b.driver() as driver:
        sensor = b.field["hall.temperature"]
        await driver.read([TEMPERATURE])
        before = b.server.requests
        await driver.read([TEMPERATURE])
        usual, before = b.server.requests - before, b.server.requests
        sensor.fault, sensor.reliability = True, reliability
        for _ in range(3):
            (reading,) = await driver.read([TEMPERATURE])
            assert (reading.value, reading.quality, reading.flags) == (None, Quality.BAD, Flags.FAULT | why)
        assert b.server.requests - before == 3 * usual + 1
        sensor.fault = False
        (reading,) = await driver.read([TEMPERATURE])
        assert (reading.quality, reading.flags) == (Quality.GOOD, Flags.NONE)
