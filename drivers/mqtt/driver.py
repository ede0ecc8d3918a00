"""MQTT devices: readings as they are published, commands with the broker's acknowledgement. Grade: silver."""

import asyncio
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Self

from config.site import Point
from drivers.base import Can, Driver, Flags, NotReachable, Priority, Quality, ReadBack, Reading, Rejected
from drivers.clock import Clock
from drivers.mqtt import options as settings
from drivers.mqtt.connection import Connection
from drivers.mqtt.inbox import Inbox
from drivers.mqtt.mapping import Malformed, decode, parse_address, pick, plain
from drivers.registry import Shared

BUFFER = 10_000  # readings that nobody has taken yet; then the oldest go
AVAILABLE_S = 2.0  # for a device to say that it is there; the broker has kept what it said last
RETAINED_S = 0.25  # for the broker to repeat what it has kept of the points
CONFIRM_S = 2.0  # for a device to report the state it was told to take
CLOSE = 1e-6  # relative: a value reported back equals the one written


class MqttDriver(Driver):
    """A family of topics as one device. `read` gives what was last heard; nothing is asked of the device.

    A lost broker, or a device that says it is offline, is `NotReachable` from every call until it is opened again.
    """

    Options = settings.Options
    PointOptions = settings.PointOptions
    retry_max_s = 10.0

    def __init__(self, points: Sequence[Point], *, options: settings.Options, clock: Clock, shared: Shared) -> None:
        super().__init__(points)
        self._options, self._clock, self._shared = options, clock, shared
        self._inbox = Inbox(points, time=options.time)
        self._refused: frozenset[str] = frozenset()  # topics the broker does not let us hear
        self._availability = None if options.availability is None else parse_address(options.availability.topic)
        self.can = _can([mapped.options for mapped in self._inbox.maps.values()])
        self._connection: Connection | None = None  # None = not open
        self._available = False
        self._lost: str | None = None  # why the broker cannot be used
        self._offline: str | None = None  # what the device said of itself
        self._bug: BaseException | None = None  # a programming error in here that broke the connection
        self._queue: deque[Reading] = deque(maxlen=BUFFER)
        self._news = asyncio.Event()
        self._told: dict[str, float | None] = {}  # what points were told and have not reported yet; None = hand back

    @classmethod
    def check_address(cls, address: str) -> None:
        parse_address(address)

    @property
    def dropped(self) -> Counter[str]:
        """Messages and values that were no use, by reason."""
        return self._inbox.dropped

    async def __aenter__(self) -> Self:
        connection = await self._shared.get(("mqtt", self._options.broker), self._join)
        await connection.open()
        self._begin(connection)
        opened = self._clock.now()
        topics = dict(self._inbox.topics)
        if self._availability is not None:
            topics.setdefault(self._availability.topic, 1)
        try:
            self._refused = await connection.subscribe(topics, self)
            await self._until(lambda: self._available or self._lost is not None, AVAILABLE_S)
            await self._until(lambda: self._heard_all(opened) or self._lost is not None, RETAINED_S)
            self._check()
        except BaseException:
            connection.forget(self)
            raise
        self._connection = connection
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._connection is not None:
            self._connection.forget(self)
            self._connection = None

    def _begin(self, connection: Connection) -> None:
        self._lost, self._available = None, self._availability is None
        self._offline = None if self._available else f"nothing is announced on {self._options.availability}"
        self._queue.clear()
        self._told.clear()
        self._inbox.newest = connection.newest

    async def _join(self, stack: AsyncExitStack) -> Connection:
        connection = Connection(self._options.broker)
        stack.push_async_callback(connection.close)
        return connection

    async def read(self, points: Sequence[Point]) -> list[Reading]:
        self._check()
        newest = self._inbox.newest
        return [newest.get(point.id) or self._unheard(point) for point in points]

    async def changes(self) -> AsyncIterator[Reading]:
        while True:
            while self._queue:
                yield self._queue.popleft()
            self._check()  # after what was heard before the loss
            self._news.clear()
            await self._news.wait()

    async def write(self, point: Point, value: float, priority: Priority) -> None:  # noqa: ARG002  MQTT has none
        mapped = self._inbox.maps[point.id]
        if not math.isfinite(value):
            raise Rejected(f"{point.id}: {value} is not a number to be written")
        newest = self._inbox.newest.get(point.id)
        if newest is None or not _same(newest.value, value):
            self._told[point.id] = value
        await self._command(point, mapped.options, mapped.command(value))

    async def relinquish(self, point: Point, priority: Priority) -> None:  # noqa: ARG002  MQTT has none
        options = self._inbox.maps[point.id].options
        if options.relinquish is None:
            raise Rejected(f"{point.id}: its options name no payload to relinquish with")
        self._told[point.id] = None
        await self._command(point, options, options.relinquish)

    async def read_back(self, point: Point, priority: Priority) -> ReadBack:  # noqa: ARG002  MQTT has none
        """Return what the device last reported; after a command, wait a little for it to report that."""
        self._check()
        await self._until(lambda: point.id not in self._told or self._lost is not None, CONFIRM_S)
        self._told.pop(point.id, None)
        self._check()
        newest = self._inbox.newest.get(point.id)
        return ReadBack(present=None if newest is None else newest.value, slot=None)

    async def _command(self, point: Point, options: settings.PointOptions, payload: str) -> None:
        self._check()
        if options.command_topic is None:
            self._told.pop(point.id, None)
            raise Rejected(f"{point.id}: its options name no command_topic")
        await self._open_connection().publish(options.command_topic, payload, qos=options.qos, retain=options.retain)

    def heard(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take a message in; called by the connection."""
        if self._availability is not None and topic == self._availability.topic:
            self._announced(payload)
        for reading in self._inbox.take(topic, payload, retained=retained, now=self._clock.now()):
            self._queue.append(reading)
            if reading.point in self._told:
                told = self._told[reading.point]
                if told is None or _same(reading.value, told):
                    del self._told[reading.point]
        self._news.set()

    def lost(self, reason: str, bug: BaseException | None) -> None:
        """Learn that the broker is gone; called by the connection."""
        self._lost, self._bug = reason, bug
        self._news.set()

    def _announced(self, payload: bytes) -> None:
        if self._availability is None or self._options.availability is None:
            return
        try:
            raw = pick(decode(payload), self._availability.path) if self._availability.path else plain(payload)
        except Malformed as error:
            self.dropped[str(error)] += 1
            return
        word = str(raw).lower() if isinstance(raw, bool) else str(raw)
        if word == self._options.availability.online:
            self._available, self._offline = True, None
        elif word == self._options.availability.offline:
            self._available, self._offline = False, f"{self._availability.topic} says that the device is {word}"

    async def _until(self, done: Callable[[], bool], seconds: float) -> None:
        """Return once `done()`, or after so long."""
        try:
            async with asyncio.timeout(seconds):
                while not done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass

    def _check(self) -> None:
        if self._bug is not None:
            raise self._bug
        if (why := self._lost or self._offline) is not None:
            raise NotReachable(why)

    def _heard_all(self, since: datetime) -> bool:
        newest = self._inbox.newest
        return all((known := newest.get(point)) is not None and known.received >= since for point in self._inbox.maps)

    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise NotReachable("not open")
        return self._connection

    def _unheard(self, point: Point) -> Reading:
        now = self._clock.now()
        known = point.id in self._inbox.maps and parse_address(point.address).topic not in self._refused
        flags = Flags.NO_ANSWER if known else Flags.UNKNOWN_POINT
        return Reading(point=point.id, time=now, received=now, value=None, quality=Quality.BAD, flags=flags)


def _can(options: Sequence[settings.PointOptions]) -> Can:
    can = Can.READ | Can.PUSH
    commanded = [one for one in options if one.command_topic is not None]
    if commanded:
        can |= Can.WRITE
        if all(one.relinquish is not None for one in commanded):
            can |= Can.RELINQUISH
    return can


def _same(reported: float | None, told: float) -> bool:
    return reported is not None and math.isclose(reported, told, rel_tol=CLOSE, abs_tol=CLOSE)
