"""One simulated BACnet device and drivers for it, for the tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from config.site import Point
from config.units import Unit
from drivers.bacnet.driver import BacnetDriver, BacnetOptions
from drivers.clock import Clock
from drivers.registry import Shared
from site_sims.bacnet_devices import BacnetServer, Behaviour, serve_bacnet
from site_sims.field import Field, FieldDevice, FieldObject

INSTANCE = 1001


def point(name: str, address: str, unit: Unit = Unit.DEGC, *, writable: bool = False) -> Point:
    limits = {"low": 0.0, "high": 100.0} if writable else {}
    return Point(id=f"test.{name}", unit=unit, address=address, writable=writable, **limits)


TEMPERATURE = point("hall.temperature", "analog-input,1")
SETPOINT = point("hall.setpoint", "analog-value,1", writable=True)
ENABLE = point("pump.enable", "binary-value,1", Unit.BINARY, writable=True)
RUNNING = point("pump.running", "binary-input,1", Unit.BINARY)
FAN = point("ahu.fan", "analog-output,1", Unit.PERCENT, writable=True)
MODE = point("ahu.mode", "multi-state-value,1", Unit.INDEX, writable=True)
GHOST = point("hall.ghost", "analog-input,99")
POINTS = (TEMPERATURE, SETPOINT, ENABLE, RUNNING, FAN, MODE)


def field_device(*, extra: int = 0) -> FieldDevice:
    """A device with the objects of POINTS and `extra` analogue inputs from instance 100."""
    objects = [
        FieldObject(key="hall.temperature", address="analog-input,1", default=19.5),
        FieldObject(key="hall.setpoint", address="analog-value,1", commandable=True, default=20.0, low=5.0, high=35.0),
        FieldObject(key="pump.enable", address="binary-value,1", unit="0/1", commandable=True, default=0.0),
        FieldObject(key="pump.running", address="binary-input,1", unit="0/1", default=1.0),
        FieldObject(key="ahu.fan", address="analog-output,1", unit="%", commandable=True, low=0.0, high=100.0),
        FieldObject(
            key="ahu.mode", address="multi-state-value,1", unit="index", commandable=True, default=1.0, low=1, high=3
        ),
    ]
    objects += [
        FieldObject(key=f"zone{n}.temperature", address=f"analog-input,{100 + n}", default=float(n))
        for n in range(extra)
    ]
    return FieldDevice(id="box", protocol="bacnet", instance=INSTANCE, objects={found.key: found for found in objects})


def many(count: int) -> tuple[Point, ...]:
    """Points for the extra analogue inputs of `field_device`."""
    return tuple(point(f"zone{n}.temperature", f"analog-input,{100 + n}") for n in range(count))


@dataclass
class Bench:
    """A served device with what is needed to make drivers for it."""

    field: Field
    device: FieldDevice
    server: BacnetServer
    shared: Shared
    clock: Clock

    def driver(self, points: tuple[Point, ...] = POINTS, **options: Any) -> BacnetDriver:
        settings = {
            "address": f"127.0.0.1:{self.device.port}",
            "instance": INSTANCE,
            "bind": "127.0.0.1:0",
            **options,
        }
        return BacnetDriver(
            points, options=BacnetOptions.model_validate(settings), clock=self.clock, shared=self.shared
        )


@asynccontextmanager
async def bench(
    clock: Clock, *, behaviour: Behaviour | None = None, device: FieldDevice | None = None
) -> AsyncIterator[Bench]:
    served = device or field_device()
    field = Field([served])
    behaviours = {served.id: behaviour} if behaviour else {}
    async with serve_bacnet(field, clock=clock, behaviours=behaviours) as servers, Shared() as shared:
        yield Bench(field, served, servers[served.id], shared, clock)
