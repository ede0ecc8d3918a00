"""Change-of-value subscriptions that stay alive: renewed early, resubscribed after silence, ended on close."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from drivers.bacnet.access import Access, Refused
from drivers.bacnet.codec import read_ack, read_request, subscribe_request
from drivers.bacnet.messages import Notification, Service
from drivers.bacnet.objects import Prop
from drivers.bacnet.poll import Ask, sample
from drivers.bacnet.tags import Decoded, Unexpected
from drivers.base import DriverError, Flags, NotReachable, Reading
from drivers.clock import Clock

log = logging.getLogger(__name__)

QUEUE: Final = 1000  # notifications that wait for a slow reader; the oldest goes first
BACK_OFF_S: Final = (5.0, 15.0, 60.0, 300.0)
CLOSE_S: Final = 2.0  # for ending all subscriptions
EARLY_S: Final = 0.001  # a timer may fire before its time by the clock's resolution; waiting again would spin
_SILENT_POLLS: Final = 2  # polls that must contradict a subscription before it counts as dead


@dataclass(slots=True)
class _Subscription:
    point: str
    obj: int
    due: float  # loop time of the next (re)subscription
    alive: bool = False
    failures: int = 0
    increment: float | None = None  # smallest change the device reports; None = unknown
    told: float | None = None  # the newest value by notification
    doubts: int = 0  # polls in a row that contradicted `told`


class Subscriptions:
    """The subscriptions of one device.

    The library's own subscription dies for good at the first failed renewal and never ends itself when cancelled.
    Here renewal comes at about half the lifetime, failures are retried with back-off while polling goes on, and a
    polled value that the device should have reported but did not makes the subscription anew.
    """

    def __init__(
        self,
        objects: Mapping[str, int],
        *,
        access: Access,
        address: Any,
        ask: Ask,
        clock: Clock,
        lifetime_s: int,
        confirmed: bool,
        seed: int,
    ) -> None:
        now = asyncio.get_running_loop().time()
        self._ask, self._clock = ask, clock
        self._lifetime_s, self._confirmed = lifetime_s, confirmed
        self._jitter = Random(seed)
        self._by_object = {obj: _Subscription(point, obj, due=now) for point, obj in objects.items()}
        self._by_point = {one.point: one for one in self._by_object.values()}
        self._news: deque[Reading] = deque(maxlen=QUEUE)
        self._wake = asyncio.Event()
        self._access = access
        self._process = access.listen(address, self._heard)

    async def changes(self) -> AsyncIterator[Reading]:
        """What the device reports, flagged PUSHED, until cancelled; keeps the subscriptions alive meanwhile."""
        loop = asyncio.get_running_loop()
        while True:
            while self._news:
                yield self._news.popleft()
            self._wake.clear()
            for one in self._by_object.values():
                if one.due <= loop.time() + EARLY_S:
                    await self._subscribe(one)
            if self._news:
                continue
            try:
                async with asyncio.timeout_at(min(one.due for one in self._by_object.values())):
                    await self._wake.wait()
            except TimeoutError:
                pass  # a renewal is due

    def compare(self, readings: Iterable[Reading]) -> None:
        """Let polled values tell whether the device still reports: two contradictions, and it is asked again."""
        for reading in readings:
            one = self._by_point.get(reading.point)
            if one is None or not one.alive or one.increment is None or one.told is None or reading.value is None:
                continue
            if abs(reading.value - one.told) <= one.increment:
                one.doubts = 0
                continue
            one.doubts += 1
            if one.doubts >= _SILENT_POLLS:
                log.info("%s: reports no changes any more; subscribing again", one.point)
                one.alive, one.doubts, one.due = False, 0, 0.0
                self._wake.set()

    async def close(self) -> None:
        """End all subscriptions, as far as the device answers within two seconds."""
        self._access.forget(self._process)
        try:
            async with asyncio.timeout(CLOSE_S):
                for one in self._by_object.values():
                    if one.alive:
                        await self._ask(Service.SUBSCRIBE_COV, subscribe_request(self._process, one.obj, None))
        except (TimeoutError, DriverError) as err:
            log.debug("subscriptions were left to run out: %s", err)

    async def _subscribe(self, one: _Subscription) -> None:
        request = subscribe_request(self._process, one.obj, self._lifetime_s, confirmed=self._confirmed)
        now = asyncio.get_running_loop().time
        try:
            if one.increment is None:
                one.increment = await self._increment(one.obj)
            await self._ask(Service.SUBSCRIBE_COV, request)
        except DriverError as err:
            if one.failures == 0:
                log.warning("%s: no change-of-value reports, polling only: %s", one.point, err)
            step = -1 if not isinstance(err, NotReachable) else min(one.failures, len(BACK_OFF_S) - 1)
            one.alive, one.failures = False, one.failures + 1
            one.due = now() + BACK_OFF_S[step] * self._jitter.uniform(0.8, 1.2)
            return
        if one.failures:
            log.info("%s: change-of-value reports are back", one.point)
        one.alive, one.failures = True, 0
        one.due = now() + self._lifetime_s * self._jitter.uniform(0.45, 0.55)

    async def _increment(self, obj: int) -> float:
        """The device's own threshold; 0 where there is none, as for binary objects."""
        try:
            answer = read_ack(await self._ask(Service.READ_PROPERTY, read_request(obj, Prop.COV_INCREMENT)))
        except (Refused, Unexpected):
            return 0.0
        return float(answer.value) if isinstance(answer.value, float | int) else 0.0

    def _heard(self, news: Notification) -> None:
        one = self._by_object.get(news.obj)
        values: dict[int, Decoded] = dict(news.values)
        if one is None or Prop.PRESENT_VALUE not in values:
            return
        found = sample(values[Prop.PRESENT_VALUE], values.get(Prop.STATUS_FLAGS))
        if found.value is not None:
            one.told, one.doubts = found.value, 0
        now = self._clock.now()
        self._news.append(
            Reading(
                point=one.point,
                time=now,
                received=now,
                value=found.value,
                quality=found.quality,
                flags=found.flags | Flags.PUSHED,
            )
        )
        self._wake.set()
