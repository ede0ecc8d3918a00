"""The broker inside the process: it serves, stops and comes back, in virtual time and paced."""

import asyncio
import contextlib
import errno
import logging
import socket

import aiomqtt
import paho.mqtt.client as paho
import pytest

from drivers.mqtt.client import Client
from site_sims.broker import Broker, keepalive_in_loop_time
from site_sims.virtual_time import VirtualTimeLoop

PORT = 47894


class Peer:
    """A bare client that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.lost: list[str] = []

    def client(self, **options: object) -> Client:
        return Client("127.0.0.1", PORT, deliver=self._deliver, lost=self._lost, keepalive=0, **options)

    def _deliver(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001  the client's order
        self.heard.append((topic, payload, retained))

    def _lost(self, client: Client, reason: BaseException | None) -> None:
        self.lost.append(str(reason))


async def test_messages_go_from_client_to_client_in_no_time_and_in_order() -> None:
    peer, loop = Peer(), asyncio.get_running_loop()
    async with Broker(port=PORT):
        client = peer.client()
        await client.open()
        await client.listen({"a/+": 1})
        for number in range(200):
            await client.send("a/b", str(number), qos=number % 2)
        assert loop.time() == 0
        await asyncio.sleep(1)
        await client.close()
    assert peer.heard == [("a/b", str(number).encode(), False) for number in range(200)]
    assert peer.lost == []


async def test_retained_messages_greet_a_new_subscriber() -> None:
    peer = Peer()
    async with Broker(port=PORT):
        client = peer.client()
        await client.open()
        await client.send("a/b", "first", qos=1, retain=True)
        await client.send("a/b", "newest", qos=1, retain=True)
        await client.listen({"a/b": 1})
        await asyncio.sleep(1)
        await client.close()
    assert peer.heard == [("a/b", b"newest", True)]


async def test_the_will_of_a_lost_client_is_carried_out() -> None:
    watcher = Peer()
    async with Broker(port=PORT):
        watching, mortal = watcher.client(), Peer().client(will=aiomqtt.Will("a/here", "offline", qos=1, retain=True))
        await watching.open()
        await watching.listen({"a/here": 1})
        await mortal.open()
        mortal.abandon()
        await asyncio.sleep(1)
        await watching.close()
    assert watcher.heard == [("a/here", b"offline", False)]


async def test_a_stopped_broker_drops_its_clients_and_forgets_what_it_kept() -> None:
    peer = Peer()
    async with Broker(port=PORT) as broker:
        client = peer.client()
        await client.open()
        await client.send("a/b", "kept", qos=1, retain=True)
        await broker.stop()
        await asyncio.sleep(1)
        assert not broker.is_running
        assert len(peer.lost) == 1
        with pytest.raises(aiomqtt.MqttError):
            await client.send("a/b", "nobody there", qos=1)
        with pytest.raises(aiomqtt.MqttError, match="refused"):
            await peer.client().open()
        await broker.start()
        again = peer.client()
        await again.open()
        await again.listen({"a/b": 1})
        await asyncio.sleep(1)
        await again.close()
    assert peer.heard == []


async def test_stopping_in_the_middle_of_traffic_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    """The fixture that looks for left-over tasks is part of this test."""
    caplog.set_level(logging.WARNING)
    peer = Peer()
    async with Broker(port=PORT) as broker:
        clients = [peer.client() for _ in range(3)]
        for client in clients:
            await client.open()
            await client.listen({"a/#": 1})

        async def chatter(client: Client) -> None:
            with contextlib.suppress(aiomqtt.MqttError):
                while True:
                    await client.send("a/b", "x" * 100, qos=1)
                    await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(chatter(client), name="chatter")
            for _ in range(200):
                await asyncio.sleep(0)
            await broker.stop()
        await asyncio.sleep(10)
    assert len(peer.lost) == 3
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_starting_and_stopping_twice_is_the_same_as_once() -> None:
    broker = Broker(port=PORT)
    await broker.stop()
    for _ in range(3):
        await broker.start()
        await broker.start()
        await broker.stop()
        await broker.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", PORT)) == errno.ECONNREFUSED


async def test_a_taken_port_is_said_at_once() -> None:
    async with Broker(port=PORT):
        with pytest.raises(OSError, match="in use"):
            await Broker(port=PORT).start()


async def test_an_idle_broker_and_client_cost_next_to_nothing() -> None:
    """An idle day is a handful of wake-ups, not 86 400 of each."""
    peer, loop = Peer(), asyncio.get_running_loop()
    async with Broker(port=PORT):
        client = Client("127.0.0.1", PORT, deliver=peer._deliver, lost=peer._lost, keepalive=60)
        await client.open()
        turns, select = 0, loop._selector.select

        def counted(timeout: float | None) -> list[object]:
            nonlocal turns
            turns += 1
            return select(timeout)

        loop._selector.select = counted
        await asyncio.sleep(86_400)
        await client.close()
    assert turns < 20_000


def test_a_paced_broker_answers_as_fast_as_the_machine_allows() -> None:
    async def run() -> float:
        loop, peer = asyncio.get_running_loop(), Peer()
        async with Broker(port=PORT):
            client = peer.client()
            await client.open()
            await client.listen({"a/b": 1})
            begun = loop.time()
            for _ in range(20):
                await client.send("a/b", "x", qos=1)
                await asyncio.sleep(0.1)
            took = loop.time() - begun
            await client.close()
        assert len(peer.heard) == 20
        return took

    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(60)) as runner:
        assert runner.run(run()) < 2 + 20 * 2.4  # Nagle's rule would add 40 ms, 2.4 virtual seconds, to each


async def test_the_keepalive_can_count_by_the_loop() -> None:
    loop = asyncio.get_running_loop()
    before = paho.time_func
    with keepalive_in_loop_time(loop):
        await asyncio.sleep(5)
        assert paho.time_func() == 5
    assert paho.time_func is before
