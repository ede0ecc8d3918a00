"""The MQTT driver before brokers and devices that say nothing, and what it says of itself."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from drivers.base import NotReachable, Quality, Reading, priority
from drivers.clock import Clock
from drivers.mqtt.client import Client
from drivers.mqtt.driver import MqttDriver
from drivers.registry import Shared, driver_class
from site_sims.broker import Broker, keepalive_in_loop_time
from tests.mqtt_bench import PORT, Bench, device_at, mqtt_bench, peer, silent_server

OURS = priority(13)


@pytest.fixture
async def bench(clock: Clock) -> AsyncIterator[Bench]:
    async with mqtt_bench(clock) as made:
        await asyncio.sleep(1)
        yield made


async def test_a_broker_that_never_welcomes_us_is_given_up(clock: Clock) -> None:
    async with silent_server(answers=0) as port, Shared() as shared:
        described = device_at(port)
        options = MqttDriver.Options.model_validate(described.options)
        with pytest.raises(NotReachable, match="no answer in 10 s"):
            async with MqttDriver(described.points, options=options, clock=clock, shared=shared):
                pass
        assert clock.now() - clock.epoch <= timedelta(seconds=10)


async def test_a_subscription_that_is_never_granted_is_given_up(clock: Clock) -> None:
    async with silent_server(answers=1) as port, Shared() as shared:
        described = device_at(port)
        options = MqttDriver.Options.model_validate(described.options)
        with pytest.raises(NotReachable, match="subscribing: no answer"):
            async with MqttDriver(described.points, options=options, clock=clock, shared=shared):
                pass


async def test_a_connection_gone_dead_is_noticed_within_one_and_a_half_keepalives(clock: Clock) -> None:
    async with silent_server(answers=2) as port, Shared() as shared:
        described = device_at(port, keepalive=30)
        options = MqttDriver.Options.model_validate(described.options)
        with keepalive_in_loop_time(asyncio.get_running_loop()):
            async with MqttDriver(described.points, options=options, clock=clock, shared=shared) as driver:
                begun = clock.now()
                with pytest.raises(NotReachable, match="connection lost"):
                    async for _ in driver.changes():
                        pass
                assert timedelta(seconds=30) < clock.now() - begun <= timedelta(seconds=45)


@pytest.mark.parametrize("turns", range(0, 12, 1))
async def test_opening_that_is_cancelled_leaves_nothing_behind(clock: Clock, turns: int) -> None:
    """At every stage: before, while and after paho's thread connects, while the broker is silent."""
    async with silent_server(answers=0) as port, Shared() as shared:
        described = device_at(port)
        options = MqttDriver.Options.model_validate(described.options)
        driver = MqttDriver(described.points, options=options, clock=clock, shared=shared)
        before = asyncio.all_tasks()
        opening = asyncio.create_task(driver.__aenter__(), name="opening")
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns > 8:
            await asyncio.sleep(0.01 * (turns - 8))
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await asyncio.sleep(1)
        ours = {task for task in asyncio.all_tasks() - before if "serve" not in repr(task)}
        assert not ours


# The device's own word


async def test_a_device_that_says_it_is_offline_is_not_reachable(clock: Clock) -> None:
    async with mqtt_bench(clock, availability={"topic": "townhall/lighting/availability"}) as bench:
        await asyncio.sleep(1)
        point = bench.device("lighting").points[0]
        async with bench.driver("lighting") as driver:
            bench.field.devices["lighting"].reachable = False
            bench.served["lighting"].look()
            with pytest.raises(NotReachable, match="offline"):
                async for _ in driver.changes():
                    pass
            with pytest.raises(NotReachable, match="offline"):
                await driver.write(point, 1.0, OURS)
        with pytest.raises(NotReachable, match="offline"):
            async with bench.driver("lighting"):
                pass
        bench.field.devices["lighting"].reachable = True
        bench.served["lighting"].look()
        async with bench.driver("lighting") as driver:
            assert (await driver.read([point]))[0].quality is Quality.GOOD


async def test_a_device_that_never_announced_itself_is_not_there(clock: Clock) -> None:
    async with mqtt_bench(clock, availability={"topic": "townhall/elsewhere/availability"}) as bench:
        with pytest.raises(NotReachable, match=r"nothing is announced on .*townhall/elsewhere"):
            async with bench.driver("lighting"):
                pass


async def test_availability_may_be_a_word_inside_json(clock: Clock) -> None:
    availability = {"topic": "z/availability#state", "online": "up", "offline": "down"}
    async with mqtt_bench(clock, availability=availability) as bench, peer(bench) as other:
        await other.send("z/availability", '{"state": "up"}', retain=True)
        async with bench.driver("lighting") as driver:
            await other.send("z/availability", "garbage")
            await other.send("z/availability", '{"state": "perhaps"}')
            await asyncio.sleep(1)
            await driver.read([])
            await other.send("z/availability", '{"state": "down"}')
            await asyncio.sleep(1)
            with pytest.raises(NotReachable, match="down"):
                await driver.read([])


# Our own word


async def test_we_announce_ourselves_and_our_going(clock: Clock) -> None:
    async with mqtt_bench(clock, will={"topic": "plenum/status"}) as bench:
        heard: list[tuple[bytes, bool]] = []
        watcher = Client(
            "127.0.0.1", PORT, deliver=lambda _, p, r: heard.append((p, r)), lost=lambda *_: None, keepalive=0
        )
        await watcher.open()
        await watcher.listen({"plenum/status": 1})
        async with Shared() as shared:
            bench.shared = shared
            async with bench.driver("meters"):
                await asyncio.sleep(1)
                assert heard == [(b"online", False)]
        await asyncio.sleep(1)
        assert heard[1:] == [(b"offline", False)]
        async with Shared() as shared:
            bench.shared = shared
            async with bench.driver("meters") as driver:
                connection = driver._connection
                assert connection is not None
                assert connection._client is not None
                connection._client.abandon()  # as when the machine dies
                await asyncio.sleep(1)
                assert heard[2:] == [(b"online", False), (b"offline", False)]
        await watcher.close()


# Mistakes of ours


async def test_a_mistake_in_the_driver_is_not_taken_for_a_lost_broker(bench: Bench) -> None:
    async with bench.driver("occupancy") as driver:

        def mistaken(*_: object, **__: object) -> list[Reading]:
            raise KeyError("a bug")

        driver._inbox.take = mistaken
        bench.field["hall.people"].sense(3)
        with pytest.raises(KeyError, match="a bug"):
            async for _ in driver.changes():
                pass


def test_the_driver_is_found_by_its_name() -> None:
    assert driver_class("mqtt") is MqttDriver
    with pytest.raises(ValueError, match="such as"):
        MqttDriver.check_address("a/+/b")


async def test_a_half_open_port_is_closed_again(clock: Clock) -> None:
    """Somebody who only connects to the broker does not keep it from stopping."""
    async with Broker(port=PORT) as broker:
        with socket.create_connection(("127.0.0.1", PORT)):
            await asyncio.sleep(1)
            await broker.stop()
