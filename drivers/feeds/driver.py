"""A feed as a read-only device: its points are what the source knows. Grade of every feed: silver."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

import httpx
from pydantic import AfterValidator

from config.base import Frozen
from config.roles import Role
from config.site import Point
from drivers.base import Can, Driver, Here, NotReachable, Reading
from drivers.clock import Clock
from drivers.feeds.feed import Feed, Source
from drivers.feeds.memory import Keeper
from drivers.forecast import PointForecast
from drivers.registry import Shared


def _web_address(text: str) -> str:
    try:
        found = httpx.URL(text)
    except httpx.InvalidURL:
        found = httpx.URL("")
    if found.scheme not in ("http", "https") or not found.host or "%" in found.host or found.query or found.fragment:
        raise ValueError(f"{text!r} is not the address of a service; write one such as https://api.example.org")
    return text


Address = Annotated[str, AfterValidator(_web_address)]


class FeedOptions(Frozen):
    """What every feed on the web has in common."""

    proxy: Address | None = None  # None = straight; the environment's proxies are not looked at


class FeedDriver(Driver):
    """A feed. It goes on with what was said last while the source is silent, for six hours; then it is lost."""

    can = Can.READ | Can.FORECAST
    NAME: ClassVar[str]  # in the log and of the file that is kept
    PAST: ClassVar[frozenset[str]] = frozenset()  # addresses that tell what was, some of it late: that is pushed
    ROLES: ClassVar[Mapping[str, Role]]  # what there is, by address, and the one role that it can have

    def __init__(self, points: Sequence[Point], *, options: Any, clock: Clock, shared: Shared) -> None:
        super().__init__(points)
        self._options, self._clock, self._shared = options, clock, shared
        self._feed: Feed | None = None  # None = never opened
        self._late = [point for point in points if point.address in self.PAST]
        self.can = type(self).can | (Can.PUSH if self._late else Can(0))

    @classmethod
    def check_address(cls, address: str) -> None:
        if address not in cls.ROLES:
            raise ValueError(f"this feed knows no {address!r}; write {' or '.join(map(repr, cls.ROLES))}")

    @classmethod
    def check_role(cls, point: Point) -> None:
        wanted = cls.ROLES.get(point.address)
        if wanted is not None and point.role is not wanted:
            text = f"what a feed says of {point.address!r} is never a point of role {point.role}"
            raise ValueError(f"{text}; write 'role: {wanted}', by which the planner finds it")

    @classmethod
    @abstractmethod
    def source(cls, options: Any, here: Here, clock: Clock) -> Source:
        """What the options mean at this site; raises ValueError with the cure in its text."""

    async def __aenter__(self) -> Self:
        settings = self._options.model_dump_json()
        key = ("feed", self.NAME, settings)
        self._feed = await self._shared.get(key, lambda stack: self._open(stack, settings))
        await self._feed.renew()
        self._check()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nothing of our own to close: the feed goes on beside its drivers."""

    async def _open(self, stack: AsyncExitStack, settings: str) -> Feed:
        try:
            source = self.source(self._options, self._shared.here, self._clock)
        except (ValueError, OSError) as error:
            raise NotReachable(str(error)) from error
        stack.push_async_callback(source.close)
        place = f"{settings} {self._shared.here.location}"
        keeper = Keeper(self._shared.here.keep if source.kept else None, self.NAME, place)
        return Feed(self.NAME, source, keeper, settings=place, clock=self._clock)

    async def read(self, points: Sequence[Point]) -> list[Reading]:
        if self._feed is not None:
            await self._feed.renew()
        feed = self._check()
        return [feed.reading(point) for point in points]

    async def changes(self) -> AsyncIterator[Reading]:
        """What was, as it becomes known or is corrected: also what came while nobody could ask."""
        if not self._late:
            raise TypeError(f"{type(self).__name__} has nothing to push")
        feed, told = self._check(), set[tuple[str, datetime, float | None]]()
        while True:
            known = [reading for point in self._late for reading in feed.past(point)]
            fresh = [reading for reading in known if (reading.point, reading.time, reading.value) not in told]
            for reading in fresh:
                yield reading
            if fresh and fresh[-1] is not known[-1]:
                yield known[-1]  # what comes last is taken for what is
            told = {(reading.point, reading.time, reading.value) for reading in known}
            await feed.heard()

    def forecasts(self) -> list[PointForecast]:
        if self._feed is None:
            return []
        found = [self._feed.forecast(point) for point in self.points.values()]
        return [forecast for forecast in found if forecast is not None]

    def _check(self) -> Feed:
        if self._feed is None:
            raise NotReachable("not open")
        if self._feed.is_lost():
            raise NotReachable(self._feed.error or "it has said nothing yet")
        return self._feed
