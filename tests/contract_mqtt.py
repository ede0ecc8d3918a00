"""MQTT in the contract suite: broker, device and driver in one loop, by real packets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from config.site import Device, Point
from config.units import Unit
from drivers.base import Priority, ReadBack
from drivers.clock import Clock
from drivers.mqtt.driver import MqttDriver
from drivers.registry import Shared
from site_sims.broker import Broker
from site_sims.field import Field, FieldDevice, FieldObject
from site_sims.mqtt_devices import MqttDevice, serve_mqtt
from tests.contract_cases import Case, Subject
from tests.mqtt_bench import PORT

SENSOR = Point(id="test.hall.temperature", unit=Unit.DEGC, address="test/hall/climate#temperature")
SETPOINT = Point(
    id="test.hall.setpoint",
    unit=Unit.DEGC,
    address="test/hall/setpoint#value",
    writable=True,
    low=5,
    high=35,
    options={
        "command_topic": "test/hall/setpoint/set",
        "command": '{"value": {value}}',
        "relinquish": '{"value": null}',
    },
)
REFUSED = SENSOR.model_copy(update={"writable": True, "low": 0.0, "high": 100.0})  # has no command topic
SETTLE_S = 3.0


class Hearing(MqttDriver):
    """A driver that gives its device the time to be missed: by MQTT absence is heard, not found out by asking."""

    async def write(self, point: Point, value: float, priority: Priority) -> None:
        await asyncio.sleep(SETTLE_S)
        await super().write(point, value, priority)

    async def read_back(self, point: Point, priority: Priority) -> ReadBack:
        await asyncio.sleep(SETTLE_S)
        return await super().read_back(point, priority)


@dataclass(frozen=True, kw_only=True)
class MqttSubject(Subject):
    served: MqttDevice

    def plug(self, *, into_the_wall: bool) -> None:
        super().plug(into_the_wall=into_the_wall)
        self.served.look()


@asynccontextmanager
async def mqtt(clock: Clock) -> AsyncIterator[Subject]:
    objects = [
        FieldObject(key="hall.temperature", address="", default=19.5),
        FieldObject(key="hall.setpoint", address="", commandable=True, default=20.0, low=5.0, high=35.0),
    ]
    field = Field([FieldDevice(id="box", protocol="mqtt", objects={found.key: found for found in objects})])
    described = Device(
        id="box",
        driver="mqtt",
        options={"host": "127.0.0.1", "port": PORT, "availability": {"topic": "test/box/availability"}},
        points=(SENSOR, SETPOINT),
    )
    options = MqttDriver.Options.model_validate(described.options)
    async with Broker(port=PORT), serve_mqtt(field, [described], clock=clock, port=PORT) as served, Shared() as shared:
        await asyncio.sleep(SETTLE_S)
        yield MqttSubject(
            make=lambda: Hearing(described.points, options=options, clock=clock, shared=shared),
            field=field,
            device="box",
            sensor=SENSOR,
            setpoint=SETPOINT,
            refused=REFUSED,
            missing=None,
            slots=False,
            settle_s=SETTLE_S,
            served=served["box"],
        )


CASES = [Case("mqtt", mqtt)]
