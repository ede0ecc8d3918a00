"""Keeps one device alive: opens it, polls it, listens to it, backs off, and lets others command it meanwhile."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from config.site import Device, Point
from controller.hub import Hub
from drivers.base import Can, Driver, DriverError, Flags, NotReachable, Priority, Quality, ReadBack, Reading
from drivers.clock import Clock
from drivers.forecast import PointForecast

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLY = timedelta(milliseconds=1)
BACKOFF_S = (1.0, 2.0, 5.0, 15.0, 60.0)


class Inlet(Protocol):
    """Where readings go in: a hub of them, or what looks at them first."""

    def publish(self, *readings: Reading) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent:
    """A device was lost or is back."""

    time: datetime
    device: str
    up: bool
    error: str = ""  # what the device's driver said; empty when it is up


class _Turn:
    """A lock whose commands go before its polls, each kind in order of arrival."""

    def __init__(self) -> None:
        self._taken = False
        self._commands: deque[asyncio.Future[None]] = deque()
        self._polls: deque[asyncio.Future[None]] = deque()

    def take(self, *, command: bool) -> "_Hold":
        """`async with` it."""
        return _Hold(self, self._commands if command else self._polls)

    async def begin(self, queue: deque[asyncio.Future[None]]) -> None:
        if self._taken:
            await self._wait(queue)
        self._taken = True

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        mine = asyncio.get_running_loop().create_future()
        queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # our turn came just as we were cancelled
                self.end()
            raise

    def end(self) -> None:
        """Hand the turn to the next who waits; it stays taken, so nobody slips in between."""
        while queue := self._commands or self._polls:
            first = queue.popleft()
            if not first.done():  # else its task was cancelled while it waited
                first.set_result(None)
                return
        self._taken = False


class _Hold:
    """One turn; a class, as a generator costs more than the turn and there is one for every poll."""

    __slots__ = ("_queue", "_turn")

    def __init__(self, turn: _Turn, queue: deque[asyncio.Future[None]]) -> None:
        self._turn, self._queue = turn, queue

    async def __aenter__(self) -> None:
        await self._turn.begin(self._queue)

    async def __aexit__(self, *exc: object) -> None:
        self._turn.end()


class Link:
    """How the rest of the program uses one device. Commands raise NotReachable at once while it is down.

    Commands wait for the request in progress and go before polls; they raise what the driver raises.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.polls = 0  # successful ones
        self.failures = 0  # times the device was lost, or could not be had
        self.latency = timedelta(0)  # of the last successful poll
        self.last_seen: datetime | None = None  # last successful poll; None = never
        self.error = "not opened yet"  # why it is down
        self.forecasts: tuple[PointForecast, ...] = ()  # of a feed: the newest it knew, up or down
        self._driver: Driver | None = None
        self._up = asyncio.Event()
        self._turn = _Turn()

    @property
    def up(self) -> bool:
        """True from the first successful poll until the device is lost."""
        return self._up.is_set()

    @property
    def can(self) -> Can:
        """What the open device can do; nothing while it is down."""
        return Can(0) if self._driver is None else self._driver.can

    async def wait_up(self) -> None:
        """Return once the device has answered a poll, at once if it is up."""
        await self._up.wait()

    async def write(self, point: Point, value: float, priority: Priority) -> None:
        """Set the point; raises DriverError."""
        async with self._turn.take(command=True):
            await self._ready().write(point, value, priority)

    async def relinquish(self, point: Point, priority: Priority) -> None:
        """Withdraw our value; raises DriverError."""
        async with self._turn.take(command=True):
            await self._ready().relinquish(point, priority)

    async def read_back(self, point: Point, priority: Priority) -> ReadBack:
        """Ask what the device holds now; raises DriverError."""
        async with self._turn.take(command=True):
            return await self._ready().read_back(point, priority)

    def _ready(self) -> Driver:
        if self._driver is None:
            raise NotReachable(f"{self.device.id} is down: {self.error}")
        return self._driver

    @asynccontextmanager
    async def serve(self, driver: Driver) -> AsyncIterator[None]:
        """Offer an open driver to commands; at the end wait for the one in progress. For the supervisor."""
        self._driver = driver
        try:
            yield
        finally:
            self._driver = None
            async with self._turn.take(command=True):
                pass

    async def poll(self, clock: Clock) -> list[Reading]:
        """Read every point in configuration order, after all waiting commands. For the supervisor."""
        async with self._turn.take(command=False):
            begun = clock.now()
            found = list(await self._ready().read(self.device.points))
            self.last_seen = clock.now()
            self.hear(self._ready())
        self.polls += 1
        self.latency = self.last_seen - begun
        self._up.set()
        return found

    def hear(self, driver: Driver) -> None:
        """Take over what a feed expects; with nothing new the old holds. For the supervisor."""
        if Can.FORECAST in driver.can:
            self.forecasts = tuple(driver.forecasts()) or self.forecasts

    def lost(self, error: DriverError) -> None:
        """Take note that the device is down. For the supervisor."""
        self.failures += 1
        self.error = str(error)
        self._up.clear()


def next_tick(now: datetime, every: timedelta) -> datetime:
    """Return the next whole multiple of `every` since 1970, at least a millisecond away: timers may fire early."""
    return _EPOCH + ((now + _EARLY - _EPOCH) // every + 1) * every


class _Voice:
    """Tells once when a device is lost and once when it is back."""

    def __init__(self, device: Device, readings: Inlet, events: Hub[DeviceEvent], clock: Clock) -> None:
        self._device, self._readings, self._events, self._clock = device, readings, events, clock
        self._said_up: bool | None = None  # None = nothing said yet

    def up(self) -> None:
        if self._said_up:
            return
        log.info("%s: %s", self._device.id, "up" if self._said_up is None else "back")
        self._said_up = True
        self._events.publish(DeviceEvent(time=self._clock.now(), device=self._device.id, up=True))

    def down(self, error: DriverError) -> None:
        if self._said_up is False:
            return
        self._said_up = False
        now = self._clock.now()
        log.warning("%s: down: %s", self._device.id, error)
        self._readings.publish(*(_silent(point, now) for point in self._device.points))
        self._events.publish(DeviceEvent(time=now, device=self._device.id, up=False, error=str(error)))


def _silent(point: Point, now: datetime) -> Reading:
    return Reading(point=point.id, time=now, received=now, value=None, quality=Quality.BAD, flags=Flags.NO_ANSWER)


async def run_device(
    device: Device,
    make_driver: Callable[[], Driver],
    readings: Inlet,
    *,
    events: Hub[DeviceEvent],
    clock: Clock,
    link: Link,
    every: timedelta | None = None,
) -> None:
    """Poll at once and then on the grid of `every` (None = the device's own), until cancelled.

    A lost device is tried again after 1, 2, 5, 15, 60 s; the count begins anew with a successful poll. Its points
    become BAD with NO_ANSWER once. Only DriverError is handled; anything else leaves.
    """
    voice = _Voice(device, readings, events, clock)
    interval = every or device.poll
    attempts = 0
    while True:
        polls = link.polls
        driver = make_driver()
        try:
            async with driver, link.serve(driver):
                work = {"poll": _poll(link, readings, interval, clock, voice)}
                if Can.PUSH in driver.can:
                    work["listen"] = _listen(driver, readings)
                error = await _until_lost(device.id, work)
        except* DriverError as group:
            error = _first(group)
        link.hear(driver)  # it may know something although its source cannot be reached
        link.lost(error)
        voice.down(error)
        if link.polls > polls:
            attempts = 0
        await asyncio.sleep(min(BACKOFF_S[min(attempts, len(BACKOFF_S) - 1)], driver.retry_max_s))
        attempts += 1


async def _until_lost(device: str, work: Mapping[str, Coroutine[None, None, None]]) -> DriverError:
    """Do the work until some of it finds the device lost; return what was said.

    The error is handed over, not raised in the TaskGroup: Python 3.11 would forget a cancellation that comes with it.
    """
    lost: asyncio.Future[DriverError] = asyncio.get_running_loop().create_future()

    async def watched(part: Coroutine[None, None, None]) -> None:
        try:
            await part
        except* DriverError as group:
            if not lost.done():
                lost.set_result(_first(group))

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(watched(part), name=f"{device}:{name}") for name, part in work.items()]
        error = await lost
        for task in running:
            task.cancel()
    return error


async def _poll(link: Link, readings: Inlet, every: timedelta, clock: Clock, voice: _Voice) -> None:
    while True:
        readings.publish(*await link.poll(clock))
        voice.up()
        await clock.sleep_until(next_tick(clock.now(), every))


async def _listen(driver: Driver, readings: Inlet) -> None:
    async for reading in driver.changes():
        readings.publish(reading)


def _first(group: BaseExceptionGroup[DriverError]) -> DriverError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, DriverError):
        raise TypeError(f"{error!r} is no driver's error")
    return error
