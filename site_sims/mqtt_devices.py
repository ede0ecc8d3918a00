"""The MQTT devices of a simulated building: what its meters, sensors and dimmers say and take.

Topics, ways into the JSON and command topics are those of the site file's points:

* A topic that ends in `/state` and has no commandable object is telemetry: one JSON of all its values every minute,
  with the time, QoS 0, not retained.
* Every other topic is retained: sent when a value changes (QoS 1), and again every ten minutes (commandable) or every
  hour (others) without an acknowledgement, for it has been delivered before.
* A command such as `{"level": 40}` on the command topic of a commandable object at `...#level` goes into slot 13;
  null hands it back. Each command is answered with the state.
* `<building>/<device>/availability` says `online` or `offline` (the broker says so for a device that was lost).

A device whose `reachable` is False goes offline with the next minute and is back within one of it being True.
"""

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import aiomqtt

from config.site import Device, Point
from drivers.clock import Clock
from drivers.mqtt.client import Client
from drivers.mqtt.mapping import ABSENT, Malformed, decode, parse_address, pick
from site_sims.broker import HOST, PORT
from site_sims.field import Field, FieldDevice, FieldObject, NotWritable, OutOfRange

COMMAND_SLOT = 13
MINUTE = timedelta(minutes=1)
TICK_OFFSET = timedelta(seconds=0.5)  # after the minute, so that the plant's step of that minute is in
REFRESH_MINUTES = {True: 10, False: 60}  # of retained topics: commandable or not
RETRY_S = 5.0
log = logging.getLogger(__name__)


class _Topic:
    """One topic and the objects whose values it carries."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.command_topic: str | None = None
        self.commandable = self.is_telemetry = False
        self.objects: list[tuple[FieldObject, tuple[str, ...]]] = []

    def add(self, obj: FieldObject, path: tuple[str, ...]) -> None:
        self.objects.append((obj, path))
        self.commandable = self.commandable or obj.commandable
        self.is_telemetry = self.name.endswith("/state") and not self.commandable

    def payload(self, stamps: Clock) -> str:
        document: dict[str, Any] = {"time": stamps.now().isoformat()} if self.is_telemetry else {}
        for obj, path in self.objects:
            if not path:
                return json.dumps(_number(obj.value))
            inner = document
            for step in path[:-1]:
                inner = inner.setdefault(step, {})
            inner[path[-1]] = _number(obj.value)
        return json.dumps(document)

    def command(self, payload: bytes) -> bool:
        """Take a command; False if a part of it made no sense or was refused."""
        try:
            document = decode(payload)
        except Malformed:
            return False
        accepted = False
        for obj, path in self.objects:
            wanted = pick(document, path)
            if wanted is ABSENT:
                continue
            if wanted is not None and (isinstance(wanted, bool) or not isinstance(wanted, int | float)):
                return False
            try:
                obj.write(None if wanted is None else float(wanted), COMMAND_SLOT)
            except (NotWritable, OutOfRange, OverflowError):
                return False
            accepted = True
        return accepted


def _number(value: float) -> float | None:
    """Give whole numbers without a point; what is not a number becomes null."""
    if not math.isfinite(value):
        return None
    rounded = round(float(value), 4)
    return int(rounded) if rounded.is_integer() else rounded


class MqttDevice:
    """One device at the broker: `run()` keeps it there until cancelled, through every restart of the broker."""

    def __init__(
        self, device: FieldDevice, points: Sequence[Point], *, host: str, port: int, clock: Clock, stamps: Clock
    ) -> None:
        self._device, self._host, self._port, self._clock, self._stamps = device, host, port, clock, stamps
        self._topics: dict[str, _Topic] = {}
        self._topic_of: dict[str, str] = {}  # by object key
        for point in points:
            key, source = point.id.partition(".")[2], parse_address(point.address)
            topic = self._topics.setdefault(source.topic, _Topic(source.topic))
            topic.add(device.objects[key], source.path)
            topic.command_topic = point.options.get("command_topic", topic.command_topic)
            self._topic_of[key] = source.topic
        self._commands = {topic.command_topic: topic for topic in self._topics.values() if topic.command_topic}
        self.availability = f"{points[0].id.partition('.')[0]}/{device.id}/availability"
        self.ignored = 0  # commands that made no sense or were refused
        self.connections = 0
        self._due: dict[str, int] = {}  # topics to be sent, with QoS
        self._minutes = 0
        self._next = clock.epoch
        self._lost = False
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        for obj in self._device.objects.values():
            obj.watchers.append(self._changed)
        try:
            while True:
                if self._device.reachable:
                    try:
                        await self._session()
                    except (aiomqtt.MqttError, OSError) as error:
                        log.debug("%s: %s", self._device.id, error)
                await self._pause()
        finally:
            for obj in self._device.objects.values():
                obj.watchers.remove(self._changed)

    def look(self) -> None:
        """Notice at once that the device was unplugged or plugged in, not with the next minute."""
        self._wake.set()

    async def _pause(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(RETRY_S if self._device.reachable else MINUTE.total_seconds()):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _session(self) -> None:
        client = Client(
            self._host,
            self._port,
            deliver=self._command,
            lost=self._gone,
            will=aiomqtt.Will(self.availability, "offline", qos=1, retain=True),
            keepalive=0,  # a lost TCP connection is enough to know on loopback
        )
        await client.open()
        self._lost = False
        self.connections += 1
        try:
            if self._commands:
                await client.listen(dict.fromkeys(self._commands, 1))
            await client.send(self.availability, "online", qos=1, retain=True)
            self._due = {name: 1 for name, topic in self._topics.items() if not topic.is_telemetry}
            self._next = self._clock.now().replace(second=0, microsecond=0) + MINUTE + TICK_OFFSET
            while self._device.reachable and not self._lost:
                await self._send_due(client)
                await self._wait()
        finally:
            if not self._lost:
                with suppress(aiomqtt.MqttError):
                    await client.send(self.availability, "offline", qos=1, retain=True)
            await client.close()

    async def _send_due(self, client: Client) -> None:
        while self._due and not self._lost:
            name = next(iter(self._due))
            qos, topic = self._due.pop(name), self._topics[name]
            await client.send(name, topic.payload(self._stamps), qos=qos, retain=not topic.is_telemetry)

    async def _wait(self) -> None:
        """Return when something changed, or with the next minute."""
        if self._due or self._lost:
            return
        self._wake.clear()
        try:
            async with asyncio.timeout((self._next - self._clock.now()).total_seconds()):
                await self._wake.wait()
        except TimeoutError:
            self._tick()
            self._next += MINUTE

    def _tick(self) -> None:
        self._minutes += 1
        for name, topic in self._topics.items():
            if topic.is_telemetry or self._minutes % REFRESH_MINUTES[topic.commandable] == 0:
                self._due.setdefault(name, 0)

    def _changed(self, obj: FieldObject) -> None:
        name = self._topic_of[obj.key]
        if not self._topics[name].is_telemetry:
            self._due[name] = 1
            self._wake.set()

    def _command(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001  the client's order
        target = self._commands.get(topic)
        if target is None or not self._device.reachable:
            return
        if retained or not target.command(payload):
            self.ignored += 1  # a retained command is an old one
        self._due[target.name] = 1
        self._wake.set()

    def _gone(self, client: Client, reason: BaseException | None) -> None:  # noqa: ARG002  the client's signature
        self._lost = True
        self._wake.set()


@asynccontextmanager
async def serve_mqtt(
    field: Field,
    described: Iterable[Device],
    *,
    clock: Clock,
    stamps: Clock | None = None,
    host: str = HOST,
    port: int = PORT,
) -> AsyncIterator[dict[str, MqttDevice]]:
    """Keep those of a site's devices that speak MQTT, by id, at the broker, which may come and go meanwhile.

    Their own clocks show the time of `stamps` (None = of `clock`).
    """
    devices = {
        device.id: MqttDevice(
            field.devices[device.id], device.points, host=host, port=port, clock=clock, stamps=stamps or clock
        )
        for device in described
        if device.driver == "mqtt"
    }
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(device.run(), name=f"mqtt device {name}") for name, device in devices.items()]
        try:
            yield devices
        finally:
            for task in running:
                task.cancel()
