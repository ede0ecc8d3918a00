"""Change-of-value reports that go on when a device restarts, vanishes or forgets."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drivers.base import Can, Flags, Reading
from drivers.clock import Clock
from site_sims.bacnet_devices import Behaviour
from tests.bacnet_field import ENABLE, POINTS, SETPOINT, TEMPERATURE, Bench, bench


@asynccontextmanager
async def listening(b: Bench, **options: object) -> AsyncIterator[list[Reading]]:
    """What the device reports, as it comes, while polling goes on each minute."""
    heard: list[Reading] = []

    async with b.driver(cov=(TEMPERATURE.id, ENABLE.id), **options) as driver:

        async def listen() -> None:
            async for reading in driver.changes():
                heard.append(reading)  # noqa: PERF401  the test looks at it meanwhile

        async def poll() -> None:
            while True:
                await asyncio.sleep(60)
                if b.device.reachable:
                    await driver.read(POINTS)

        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(listen(), name="listen"), tasks.create_task(poll(), name="poll")]
            await asyncio.sleep(0.5)
            yield heard
            for task in both:
                task.cancel()


def values(heard: list[Reading], point: str = TEMPERATURE.id) -> list[float | None]:
    return [reading.value for reading in heard if reading.point == point]


async def test_the_first_report_is_the_present_value(clock: Clock) -> None:
    async with bench(clock) as b, listening(b) as heard:
        assert values(heard) == [19.5]
        assert {reading.flags for reading in heard} == {Flags.PUSHED}


async def test_confirmed_reports_are_acknowledged(clock: Clock) -> None:
    async with bench(clock) as b, listening(b, cov_confirmed=True) as heard:
        b.field["hall.temperature"].sense(12.0)
        await asyncio.sleep(10)  # none is repeated
        assert values(heard) == [19.5, 12.0]


async def test_changes_beyond_the_increment_are_reported_at_once(clock: Clock) -> None:
    async with bench(clock, behaviour=Behaviour(cov_increment=0.5)) as b, listening(b) as heard:
        for value in (19.7, 20.0, 20.25, 18.0):
            b.field["hall.temperature"].sense(value)
            await asyncio.sleep(0.01)
        b.field["pump.enable"].write(1.0, 15)
        await asyncio.sleep(0.01)
        assert values(heard) == [19.5, 20.0, 18.0]
        assert values(heard, ENABLE.id) == [0.0, 1.0]


async def test_reports_go_on_for_hours(clock: Clock) -> None:
    async with bench(clock) as b, listening(b, cov_lifetime_s=60) as heard:
        for hour in range(1, 3):
            await asyncio.sleep(3600)
            b.field["hall.temperature"].sense(10.0 + hour)
            await asyncio.sleep(0.01)
            assert values(heard)[-1] == 10.0 + hour


async def test_reports_come_back_after_the_device_was_gone(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "drivers.bacnet.cov")
    async with bench(clock) as b, listening(b, cov_lifetime_s=60) as heard:
        b.device.reachable = False
        b.server.forget_subscriptions()
        await asyncio.sleep(1800)
        b.field["hall.temperature"].sense(15.0)
        b.device.reachable = True
        await asyncio.sleep(400)
        assert values(heard)[-1] == 15.0
        b.field["hall.temperature"].sense(16.0)
        await asyncio.sleep(0.01)
        assert values(heard)[-1] == 16.0
    told = [record.message for record in caplog.records if TEMPERATURE.id in record.message]
    assert len(told) == 2  # one line down, one line up


async def test_a_device_that_forgot_its_subscriptions_is_found_out_by_polling(clock: Clock) -> None:
    async with bench(clock) as b, listening(b, cov_lifetime_s=3600) as heard:
        b.server.forget_subscriptions()
        b.field["hall.temperature"].sense(15.0)
        await asyncio.sleep(150)
        assert values(heard)[-1] == 15.0
        b.field["hall.temperature"].sense(14.0)
        await asyncio.sleep(0.01)
        assert values(heard)[-1] == 14.0


async def test_a_device_without_cov_is_polled_and_said_so_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async with bench(clock, behaviour=Behaviour(cov=False)) as b, listening(b) as heard:
        await asyncio.sleep(3600)
        assert heard == []
    assert len([record for record in caplog.records if TEMPERATURE.id in record.message]) == 1


async def test_closing_ends_the_subscriptions(clock: Clock) -> None:
    async with bench(clock) as b:
        async with listening(b):
            assert b.server.subscriptions == 2
        assert b.server.subscriptions == 0


async def test_a_reader_that_is_too_slow_loses_the_oldest_reports_only(clock: Clock) -> None:
    async with bench(clock) as b, b.driver(cov=(TEMPERATURE.id,)) as driver:
        changes = driver.changes()
        assert (await anext(changes)).value == 19.5
        for n in range(2000):
            b.field["hall.temperature"].sense(float(n))
            if n % 50 == 0:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        held = [(await anext(changes)).value for _ in range(1000)]
        await changes.aclose()  # type: ignore[attr-defined]  # a generator
    assert held == [float(n) for n in range(1000, 2000)]


async def test_only_a_driver_with_cov_can_push(clock: Clock) -> None:
    async with bench(clock) as b:
        async with b.driver() as driver:
            assert Can.PUSH not in driver.can
            with pytest.raises(TypeError):
                driver.changes()
        assert Can.PUSH in b.driver(cov=True).can
        with pytest.raises(ValueError, match=r"test\.nowhere"):
            b.driver(cov=("test.hall.x", "test.nowhere.x"))


async def test_two_drivers_hear_only_their_own_device(clock: Clock) -> None:
    async with bench(clock) as b, listening(b) as one, listening(b) as two:
        b.field["hall.temperature"].sense(12.0)
        await asyncio.sleep(0.01)
        assert values(one) == [19.5, 12.0]
        assert values(two) == [19.5, 12.0]
    assert SETPOINT.id not in {reading.point for reading in (*one, *two)}
