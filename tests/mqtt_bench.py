"""A building's MQTT side on loopback: broker, simulated devices, and drivers onto them, in one loop."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from config.load import load_site
from config.site import Device, Site
from drivers.clock import Clock
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
