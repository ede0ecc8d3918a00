"""The MQTT driver while its broker is away, comes back, or was never there."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from drivers.base import NotReachable, Reading, priority
from drivers.clock import Clock
from drivers.mqtt.connection import Connection
from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.options import Broker as Settings
from drivers.registry import Shared
from tests.mqtt_bench import PORT, Bench, device_at, listening, mqtt_bench, silent_server

OURS = priority(13)


@pytest.fixture
async def bench(clock: Clock) -> AsyncIterator[Bench]:
    async with mqtt_bench(clock) as made:
        await asyncio.sleep(1)
        yield made


# Outages


async def _supervised(make: Callable[[], MqttDriver], heard: list[Reading], downs: list[str], clock: Clock) -> None:
    """What a supervisor does: open, listen, on loss pause and open again."""
    pause = 1.0
    while True:
        try:
            async with make() as driver:
                pause = 1.0
                async for reading in driver.changes():
                    heard.append(reading)  # noqa: PERF401  it grows while we look
        except NotReachable as error:
            downs.append(f"{clock.now():%H:%M:%S} {error}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, MqttDriver.retry_max_s)


async def test_ten_minutes_without_a_broker_are_noticed_once_and_healed(bench: Bench, clock: Clock) -> None:
    heard: list[Reading] = []
    downs: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_supervised(lambda: bench.driver("meters"), heard, downs, clock), name="supervisor")
        await asyncio.sleep(600 - 1)
        await bench.broker.stop()
        stopped = clock.now()
        await asyncio.sleep(600)
        await bench.broker.start()
        back = clock.now()
        await asyncio.sleep(15)
        assert sum(1 for r in heard if r.received >= back) > 0  # the retained demand limit at least, within 15 s
        await asyncio.sleep(600)
        task.cancel()
    lost = [down for down in downs if "lost" in down]
    assert len(lost) == 1
    assert lost[0].startswith(f"{stopped:%H:%M:%S}")
    assert all("refused" in down for down in downs if down not in lost)
    assert 50 < len(downs) < 150  # tried on, but not hammered
    assert not [r for r in heard if stopped < r.received < back]
    telemetry = [r for r in heard if r.point == "townhall.grid.electricity_kwh"]
    assert len({r.time for r in telemetry}) == len(telemetry)
    assert len([r for r in telemetry if r.received > back]) == 10


async def test_what_the_broker_repeats_after_an_outage_is_not_new(bench: Bench) -> None:
    async with bench.driver("occupancy") as driver, listening(driver):
        pass
    points = bench.device("occupancy").points
    async with bench.driver("occupancy") as driver:
        before = await driver.read(points)
    await asyncio.sleep(300)
    async with bench.driver("occupancy") as driver:
        after = await driver.read(points)
    assert [r.time for r in after] == [r.time for r in before]
    assert all(a.received > b.received for a, b in zip(after, before, strict=True))


async def _exhausted(driver: MqttDriver) -> None:
    async for _ in driver.changes():
        pass


async def test_every_call_says_when_the_broker_is_gone(bench: Bench) -> None:
    point = bench.device("lighting").points[0]
    async with bench.driver("lighting") as driver:
        await bench.broker.stop()
        await asyncio.sleep(0.1)
        calls: list[Awaitable[object]] = [
            driver.read([point]),
            driver.write(point, 1.0, OURS),
            driver.relinquish(point, OURS),
            driver.read_back(point, OURS),
            _exhausted(driver),
        ]
        for call in calls:
            with pytest.raises(NotReachable, match="connection lost"):
                await call


@pytest.mark.parametrize(
    ("dies", "complaint", "after_s"), [(False, "no answer in 5 s", 5), (True, "connection lost", 0)]
)
async def test_a_command_that_is_not_acknowledged_has_failed(
    clock: Clock, *, dies: bool, complaint: str, after_s: int
) -> None:
    """The broker takes the message and says nothing more, or dies over it: the second is known at once."""
    async with silent_server(answers=2, dies=dies) as port, Shared() as shared:
        described = device_at(port)
        options = MqttDriver.Options.model_validate(described.options)
        async with MqttDriver(described.points, options=options, clock=clock, shared=shared) as driver:
            begun = clock.now()
            with pytest.raises(NotReachable, match=complaint):
                await driver.write(described.points[0], 1.0, OURS)
            assert clock.now() - begun == timedelta(seconds=after_s)


async def test_a_driver_that_was_not_reopened_stays_down(bench: Bench) -> None:
    """Its neighbour has the connection up again; it has to ask for its own topics itself."""
    async with bench.driver("lighting") as lighting, bench.driver("occupancy"):
        await bench.broker.stop()
        await asyncio.sleep(1)
        await bench.broker.start()
        async with bench.driver("meters"):
            with pytest.raises(NotReachable):
                await lighting.read([bench.device("lighting").points[0]])
            async with bench.driver("lighting") as again:
                assert (await again.read([bench.device("lighting").points[0]]))[0].value is not None


async def test_no_broker_at_all_is_said_clearly(clock: Clock) -> None:
    options = MqttDriver.Options(host="127.0.0.1", port=PORT + 90)
    async with Shared() as shared:
        driver = MqttDriver(device_at(0).points, options=options, clock=clock, shared=shared)
        with pytest.raises(NotReachable, match=f"MQTT broker 127.0.0.1:{PORT + 90}.*refused"):
            async with driver:
                pass


async def test_secrets_that_cannot_be_read_are_said_clearly(clock: Clock, tmp_path: Path) -> None:
    for secret, complaint in (
        ({"password_file": str(tmp_path / "none")}, "none"),
        ({"password_env": "PLENUM_NO_SUCH_VARIABLE"}, "PLENUM_NO_SUCH_VARIABLE"),
    ):
        connection = Connection(Settings(host="127.0.0.1", port=PORT, username="plenum", **secret))
        with pytest.raises(NotReachable, match=complaint):
            await connection.open()


async def test_attempts_are_paused_for_longer_each_time_and_not_by_the_same(clock: Clock) -> None:
    async def pauses(identifier: str) -> list[float]:
        loop, connection = (
            asyncio.get_running_loop(),
            Connection(Settings(host="127.0.0.1", port=PORT + 90, identifier=identifier)),
        )
        tries = []
        for _ in range(8):
            with pytest.raises(NotReachable):
                await connection.open()
            tries.append(loop.time())
        return [later - earlier for earlier, later in itertools.pairwise(tries)]

    one, other, again = await pauses("a"), await pauses("b"), await pauses("a")
    assert one == pytest.approx(again, abs=1e-5)
    assert one != pytest.approx(other, abs=0.1)
    for took, mean in zip(one, (1, 2, 4, 8, 8, 8, 8), strict=True):
        assert 0.5 * mean <= took <= 1.5 * mean


async def test_neighbours_share_an_attempt_that_failed() -> None:
    connection = Connection(Settings(host="127.0.0.1", port=PORT + 90))
    failures: list[str] = []

    async def attempt() -> None:
        try:
            await connection.open()
        except NotReachable as error:
            failures.append(str(error))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(attempt(), name="attempt")
    assert len(failures) == 3
    assert connection.counts["failed"] == 1
