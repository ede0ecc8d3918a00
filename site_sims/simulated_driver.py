"""A driver straight onto a simulated device, without a wire, at a few microseconds a point.

BACnet devices answer with their priority array; MQTT devices push, and have no array to show, as on the wire.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from math import isfinite
from typing import Self

from config.site import Device, Point
from drivers.base import Can, Driver, Flags, NotReachable, Priority, Quality, ReadBack, Reading, Rejected
from drivers.base import priority as ours
from drivers.clock import Clock
from site_sims.field import Field, FieldDevice, FieldObject, NotWritable, OutOfRange

MQTT_SLOT = 13  # the slot an MQTT command lands in; such a command carries no priority


def key_of(point: Point) -> str:
    return point.id.split(".", 1)[1]


class SimulatedDriver(Driver):
    """One FieldDevice, read and written in memory. Unplugged (`reachable` False) every call raises NotReachable."""

    def __init__(self, points: Sequence[Point], *, device: FieldDevice, clock: Clock) -> None:
        super().__init__(points)
        self._device, self._clock = device, clock
        self._objects = {point.id: device.objects.get(key_of(point)) for point in points}
        self._pushes = device.protocol == "mqtt"
        self.can = Can.READ | Can.WRITE | Can.RELINQUISH | (Can.PUSH if self._pushes else Can(0))

    async def __aenter__(self) -> Self:
        self._answer()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nothing is held open."""

    async def read(self, points: Sequence[Point]) -> list[Reading]:
        self._answer()
        now, objects = self._clock.now(), self._objects
        return [_reading(point.id, objects.get(point.id), now) for point in points]

    async def changes(self) -> AsyncIterator[Reading]:
        if not self._pushes:
            raise TypeError(f"{self._device.id}: this device does not push")
        heard: deque[Reading] = deque()
        awake = asyncio.Event()

        def listener(point: str) -> Callable[[FieldObject], None]:
            def hear(obj: FieldObject) -> None:
                if self._device.reachable:
                    heard.append(_reading(point, obj, self._clock.now(), Flags.PUSHED))
                    awake.set()

            return hear

        hooks = [(obj, listener(point)) for point, obj in self._objects.items() if obj is not None]
        for obj, hook in hooks:
            obj.watchers.append(hook)
        try:
            while True:
                while heard:
                    yield heard.popleft()
                awake.clear()
                await awake.wait()
        finally:
            for obj, hook in hooks:
                obj.watchers.remove(hook)

    async def write(self, point: Point, value: float, priority: Priority) -> None:
        self._put(point, float(value), priority)

    async def relinquish(self, point: Point, priority: Priority) -> None:
        self._put(point, None, priority)

    async def read_back(self, point: Point, priority: Priority) -> ReadBack:
        self._answer()
        obj = self._object(point)
        if self._pushes or not obj.commandable:
            return ReadBack(present=obj.value, slot=None)
        return ReadBack(
            present=obj.value, slot=obj.array[priority - 1], array=tuple(obj.array), default=obj.default
        )  # fmt: skip

    def _put(self, point: Point, value: float | None, priority: Priority) -> None:
        slot = ours(priority)  # 1 to 8 belong to people, whoever asks
        self._answer()
        if value is not None and not isfinite(value):
            raise Rejected(f"{self._device.id}: {point.id}: {value} is not a number")
        try:
            self._object(point).write(value, MQTT_SLOT if self._pushes else slot)
        except NotWritable:
            raise Rejected(f"{self._device.id}: {point.id}: write access denied") from None
        except OutOfRange as error:
            raise Rejected(f"{self._device.id}: {error}") from error

    def _object(self, point: Point) -> FieldObject:
        obj = self._objects.get(point.id)
        if obj is None:
            raise Rejected(f"{self._device.id}: {point.id}: unknown object")
        return obj

    def _answer(self) -> None:
        if not self._device.reachable:
            raise NotReachable(f"{self._device.id}: no answer")


def _reading(point: str, obj: FieldObject | None, now: datetime, flags: Flags = Flags.NONE) -> Reading:
    if obj is None:
        return Reading(
            point=point, time=now, received=now, value=None, quality=Quality.BAD, flags=Flags.UNKNOWN_POINT | flags
        )
    value = obj.value if obj.commandable else obj.sensed
    if not isfinite(value):
        return Reading(
            point=point, time=now, received=now, value=None, quality=Quality.BAD, flags=Flags.NOT_A_NUMBER | flags
        )
    if obj.fault:
        return Reading(
            point=point, time=now, received=now, value=None, quality=Quality.BAD, flags=Flags.FAULT | flags
        )  # fmt: skip
    return Reading(point=point, time=now, received=now, value=value, flags=flags)


def simulated_drivers(field: Field, *, clock: Clock) -> Callable[[Device], SimulatedDriver]:
    """A maker of drivers onto this field, to be used in place of `drivers.registry.make_driver`."""

    def make(device: Device) -> SimulatedDriver:
        return SimulatedDriver(device.points, device=field.devices[device.id], clock=clock)

    return make
