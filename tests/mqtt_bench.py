"""A building's MQTT side on loopback: broker, simulated devices, and drivers onto them, in one loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from config.load import load_site
from config.site import Device, Point, Site
from config.units import Unit
from drivers.base import Reading
from drivers.clock import Clock
from drivers.mqtt.client import Client
from drivers.mqtt.driver import MqttDriver
from drivers.registry import Shared, make_driver
from site_sims.broker import Broker
from site_sims.building import build_field
from site_sims.field import Field
from site_sims.mqtt_devices import MqttDevice, serve_mqtt

TOWNHALL = Path(__file__).parent.parent / "config" / "examples" / "townhall.yaml"
PORT = 47893  # the tests' own, so that a demo may run beside them


@cache
def _site() -> Site:
    return load_site(TOWNHALL)


def townhall(**options: Any) -> Site:
    """The town hall's MQTT devices, at the tests' port, with more options if wished."""
    site = _site()
    devices = tuple(
        device.model_copy(update={"options": {**device.options, "port": PORT, **options}})
        for device in site.devices
        if device.driver == "mqtt"
    )
    return site.model_copy(update={"devices": devices})


@dataclass
class Bench:
    site: Site
    field: Field
    broker: Broker
    clock: Clock
    shared: Shared
    served: dict[str, MqttDevice]

    def device(self, name: str) -> Device:
        return next(device for device in self.site.devices if device.id == name)

    def driver(self, name: str) -> MqttDriver:
        driver = make_driver(self.device(name), clock=self.clock, shared=self.shared)
        assert isinstance(driver, MqttDriver)
        return driver


@asynccontextmanager
async def mqtt_bench(clock: Clock, *, stamps: Clock | None = None, **options: Any) -> AsyncIterator[Bench]:
    site = townhall(**options)
    field = build_field(site)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Broker(port=PORT))
        served = await stack.enter_async_context(serve_mqtt(field, site.devices, clock=clock, stamps=stamps, port=PORT))
        shared = await stack.enter_async_context(Shared())
        yield Bench(site, field, broker, clock, shared, served)


@asynccontextmanager
async def listening(driver: MqttDriver) -> AsyncIterator[list[Reading]]:
    """What `changes` yields meanwhile."""
    heard: list[Reading] = []

    async def listen() -> None:
        async for reading in driver.changes():
            heard.append(reading)  # noqa: PERF401  it grows while we look

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(listen(), name="listen")
        try:
            yield heard
        finally:
            task.cancel()


@asynccontextmanager
async def peer(bench: Bench) -> AsyncIterator[Client]:
    """Somebody else at the broker."""
    client = Client("127.0.0.1", PORT, deliver=lambda *_: None, lost=lambda *_: None, keepalive=0)
    await client.open()
    try:
        yield client
    finally:
        await client.close()


def device_at(port: int, **options: object) -> Device:
    point = Point(
        id="test.hall.light",
        unit=Unit.PERCENT,
        address="test/light",
        writable=True,
        low=0,
        high=100,
        options={"command_topic": "test/light/set"},
    )
    return Device(id="box", driver="mqtt", options={"host": "127.0.0.1", "port": port, **options}, points=(point,))


@asynccontextmanager
async def silent_server(*, answers: int, dies: bool = False) -> AsyncIterator[int]:
    """A server that answers CONNECT and SUBSCRIBE, so many of them, and then nothing more, or hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in (b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x01")[:answers]:
            await reader.read(1000)
            writer.write(reply)
        with suppress(ConnectionError):
            while await reader.read(1000) and not dies:
                pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.sleep(0.1)
