"""A feed: asks its source when it is due, judges the answer, remembers it, and says how sure it is."""

import asyncio
import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from config.intensity import Kind
from config.localtime import epoch_s, utc
from config.site import Point
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock
from drivers.feeds.correction import LeadErrors
from drivers.feeds.fetch import Unavailable
from drivers.feeds.gate import Implausible, Limits, judged, one_basis
from drivers.feeds.memory import Keeper, Memory
from drivers.feeds.series import Issue, Said, is_news
from drivers.forecast import FRESH, Origin, PointForecast

log = logging.getLogger(__name__)

BACKOFF = tuple(timedelta(minutes=m) for m in (1, 2, 5, 15))
SPREAD_SHARE = 6  # askers of one source are spread over this part of its interval
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One thing that a source knows, found by a point's address."""

    limits: Limits
    ahead: bool = True  # reaches into the future; else the newest value is read
    truth: str | None = None  # the address that tells later what came true; None = it is never known
    readable: bool = True  # points may have this address


class Source(ABC):
    """Where a feed gets its answers. One task at a time asks."""

    origin: Origin
    every: timedelta
    quantities: Mapping[str, Quantity]
    kept: ClassVar[bool] = True  # what it says is worth a file of ours

    @abstractmethod
    async def ask(self, now: datetime) -> Mapping[str, Said]:
        """Ask now, of every quantity that is to be had; raises Unavailable or Implausible."""

    @abstractmethod
    async def close(self) -> None: ...


class Feed:
    """What drivers of equal settings share; it outlives their openings and closings."""

    def __init__(self, name: str, source: Source, keeper: Keeper, *, settings: str, clock: Clock) -> None:
        self.name, self._source, self._keeper, self._clock = name, source, keeper, clock
        self._memory = keeper.load()
        if any(issue.checked_at > clock.now() for issue in self._memory.issues.values()):
            log.warning("%s: what was kept is of a time that has not come yet, so it is left aside", name)
            self._memory = Memory()
        self._asking = asyncio.Lock()
        number = int.from_bytes(hashlib.sha256(settings.encode()).digest()[:4], "big")
        self._offset = source.every / SPREAD_SHARE * (number / 2**32)
        checked = self._checked_at()
        self._next = clock.now() if checked is None else self._due_after(checked)
        self._failures = 0
        self._silent = False  # the last attempt brought no answer at all
        self._said_silent = False
        self._refused: dict[str, str] = {}  # why the last answer was not believed, by address
        self._news = asyncio.Event()  # set, and replaced by another, with every answer that is believed
        self.error = ""  # of the last attempt; empty if it was good

    async def renew(self) -> None:
        """Ask the source if that is due. Never raises for what the source does; `is_lost` tells."""
        async with self._asking:
            if self._clock.now() < self._next:
                return
            try:
                self._take(await self._source.ask(self._clock.now()))
            except Unavailable as error:
                self._silent = True
                self._fail(str(error), error.retry_after)
            except Implausible as error:
                self._silent = False
                self._fail(f"not believed: {error}", None)
            else:
                self._succeed()

    def is_lost(self) -> bool:
        """It is silent, and what it said last is too old to go on with."""
        checked = self._checked_at()
        return checked is None or (self._silent and self._clock.now() - checked > FRESH)

    def reading(self, point: Point) -> Reading:
        """The value in force now, or the newest known, of a point."""
        now, quantity = self._clock.now(), self._source.quantities.get(point.address)
        if quantity is None or not quantity.readable:
            return _bad(point, now, Flags.UNKNOWN_POINT)
        issue = self._memory.issues.get(point.address)
        if issue is None or now - issue.checked_at > FRESH:
            refused = point.address in self._refused
            return _bad(point, now, Flags.OUT_OF_RANGE if refused else Flags.NO_ANSWER)
        n = issue.index(now) if quantity.ahead else issue.newest(now)
        value = None if n is None else issue.said.values[n]
        if n is None or value is None:
            return _bad(point, now, Flags.NO_ANSWER)
        time = now if quantity.ahead else utc(issue.said.start_s + n * issue.said.step_s)
        return _reading(point, value, issue.said.kinds[n], time=time, now=now)

    def past(self, point: Point) -> list[Reading]:
        """Everything that is known of what was, at its own times, of a point that tells the past."""
        now, quantity = self._clock.now(), self._source.quantities.get(point.address)
        issue = self._memory.issues.get(point.address)
        if quantity is None or quantity.ahead or not quantity.readable or issue is None:
            return []
        said = issue.said
        return [
            _reading(point, value, kind, time=utc(said.start_s + n * said.step_s), now=now)
            for n, (value, kind) in enumerate(zip(said.values, said.kinds, strict=True))
            if value is not None
        ]

    async def heard(self) -> None:
        """Wait for the next answer that is believed."""
        await self._news.wait()

    def forecast(self, point: Point) -> PointForecast | None:
        """What is expected of a point, corrected where that has proven to help; None if nothing is known."""
        quantity, issue = self._source.quantities.get(point.address), self._memory.issues.get(point.address)
        if quantity is None or issue is None or not (quantity.ahead and quantity.readable):
            return None
        said, asked_s = issue.said, epoch_s(issue.checked_at)
        errors = self._memory.errors.get(point.address, _NOTHING)
        limits = quantity.limits
        return PointForecast(
            point=point.id,
            start=utc(said.start_s),
            step=timedelta(seconds=said.step_s),
            values=errors.correct(said, asked_s=asked_s, low=limits.low, high=limits.high),
            kinds=said.kinds,
            errors=errors.expected(said, asked_s=asked_s),
            issued_at=issue.issued_at,
            checked_at=issue.checked_at,
            origin=replace(self._source.origin, basis=said.basis),
        )

    def _take(self, answers: Mapping[str, Said]) -> None:
        """Judge an answer quantity by quantity; raises Implausible if nothing of it can be believed."""
        now, believed, refused = self._clock.now(), {}, {}
        for address, said in answers.items():
            try:
                found = judged(said, self._source.quantities[address].limits)
                if (before := self._memory.issues.get(address)) is not None:
                    one_basis(before.said.basis, found.basis)
            except Implausible as error:
                refused[address] = str(error)
            else:
                issued = now if before is None or is_news(before.said, found) else before.issued_at
                believed[address] = Issue(said=found, issued_at=issued, checked_at=now)
        for address, why in refused.items():
            if address not in self._refused:
                goes_on = "; the last good answer goes on" if address in self._memory.issues else ""
                log.warning("%s: %s is not believed: %s%s", self.name, address, why, goes_on)
        self._refused = refused
        if not believed:
            raise Implausible("; ".join(refused.values()) or "the answer is empty")
        self._memory.issues |= believed
        self._learn(now, believed)
        self._keeper.keep(self._memory)
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _learn(self, now: datetime, believed: Mapping[str, Issue]) -> None:
        for address, quantity in self._source.quantities.items():
            if quantity.truth is None:
                continue
            errors = self._memory.errors.setdefault(address, LeadErrors())
            if quantity.truth in believed:
                errors.score(believed[quantity.truth].said, now_s=epoch_s(now))
            if address in believed:
                errors.hear(believed[address].said, asked_s=epoch_s(now))

    def _succeed(self) -> None:
        if self._said_silent:
            log.info("%s: answers again", self.name)
        self._silent = self._said_silent = False
        self._failures, self.error = 0, ""
        self._next = self._due_after(self._clock.now())

    def _fail(self, why: str, retry_after: timedelta | None) -> None:
        delay = max(BACKOFF[min(self._failures, len(BACKOFF) - 1)], retry_after or timedelta(0))
        self._failures += 1
        self.error, self._next = why, self._clock.now() + delay
        checked = self._checked_at()
        if not self._said_silent and checked is not None and not self.is_lost():  # else the supervisor says so
            self._said_silent = True
            log.warning("%s: %s; going on with what it said at %s", self.name, why, f"{checked:%H:%M} UTC")

    def _checked_at(self) -> datetime | None:
        return max((issue.checked_at for issue in self._memory.issues.values()), default=None)

    def _due_after(self, when: datetime) -> datetime:
        every, shifted = self._source.every, when - self._offset
        return _EPOCH + ((shifted - _EPOCH) // every + 1) * every + self._offset


_NOTHING = LeadErrors()


def _reading(point: Point, value: float, kind: Kind, *, time: datetime, now: datetime) -> Reading:
    doubtful = kind in (Kind.SUBSTITUTED, Kind.ESTIMATED)
    return Reading(
        point=point.id,
        time=time,
        received=now,
        value=value,
        quality=Quality.SUSPECT if doubtful else Quality.GOOD,
        flags=Flags.SUBSTITUTED if doubtful else Flags.NONE,
    )


def _bad(point: Point, now: datetime, flags: Flags) -> Reading:
    return Reading(point=point.id, time=now, received=now, value=None, quality=Quality.BAD, flags=flags)
