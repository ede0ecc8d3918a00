"""Takes what is in the outbox to the database, oldest first, as long as it takes."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol

from controller.store.answers import Away, Refused
from controller.store.base import Sink, StoreError
from controller.store.outbox import MOST_LINES, Outbox, Parcel, Refusal
from drivers.base import Reading
from drivers.clock import Clock

log = logging.getLogger(__name__)

BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 15.0)  # mean pause, by failures so far; an attempt costs little on either side
RECENT = timedelta(days=1)  # a refusal after a day without one is news
_SAMPLES = 16  # of a refused parcel; if none of them is taken, it is not the lines that are wrong


class Database(AbstractAsyncContextManager[Any], Protocol):
    """What lines are sent to. Opening and sending raise Away while it takes nothing."""

    @property
    def name(self) -> str: ...

    async def send(self, lines: Sequence[str]) -> None:
        """Return once all are taken; raises Away, Refused."""
        ...


class RefusesAll(Away):
    """Nothing of a parcel was taken: a person must look at the database, or at what else it is sent."""


class Forwarder:
    """`run` sends until cancelled; nobody waits for it.

    A parcel leaves the outbox only once the database has said that it has it. Killed in between it is sent again,
    which changes nothing there: a line of the same point and time replaces the first.
    """

    def __init__(self, outbox: Outbox, database: Database, clock: Clock) -> None:
        self.outbox, self.database, self._clock = outbox, database, clock
        self._random = random.Random(database.name)
        self._failures = 0  # in a row
        self._most = MOST_LINES  # to send at once; to a database that was away a single batch first
        self.sent = 0  # lines since the start
        self.down_since: datetime | None = None  # None = the last attempt went well, or none was made
        self.why = ""  # it is down

    async def run(self) -> None:
        """Open the database, send while it takes, pause when it does not. Until cancelled."""
        while True:
            await self.outbox.wait()
            try:
                async with self.database:
                    await self._send_all()
            except StoreError as error:  # the outbox's own disk included: what it holds is safe
                await asyncio.sleep(self._pause_s(error))

    async def _send_all(self) -> None:
        while True:
            await self.outbox.wait()
            parcel = await self.outbox.oldest(self._most)
            if parcel is not None:
                refusals = await self._deliver(parcel)
                before = self.outbox.backlog.refused_at
                await self.outbox.settle(parcel, refusals)
                self._went_well(parcel, refusals, before)

    async def _deliver(self, parcel: Parcel) -> Sequence[Refusal]:
        """Send a parcel; what the database will never have of it. Raises Away.

        A parcel that is refused is split until it is known which lines are to blame. They are, if the database took
        others of the same parcel, or if they are older than it keeps; else something is wrong with all we send, and
        readings are not given up for that.
        """
        parts: list[Sequence[str]] = [parcel.lines]
        refusals: list[Refusal] = []
        taken, blamed, last = False, False, ""
        while parts:
            part = parts.pop()
            try:
                await self.database.send(part)
                taken = True
            except Refused as error:
                if not (taken or error.named or error.too_old):
                    taken = await self._takes_some(parcel.lines, error)
                left, guilty = _split(part, error)
                parts += left
                refusals += guilty
                blamed, last = blamed or bool(guilty and not error.too_old), str(error)
        if blamed and not taken:
            raise RefusesAll(f"{last}; it refuses everything we send")
        return refusals

    async def _takes_some(self, lines: Sequence[str], why: Refused) -> bool:
        """Try some lines from all over a refused parcel, one by one; True, or raises RefusesAll."""
        for line in lines[:: -max(1, len(lines) // _SAMPLES)]:
            try:
                await self.database.send([line])
            except Refused:
                continue
            return True
        raise RefusesAll(f"{why}; it refuses everything we send")

    def _pause_s(self, error: StoreError) -> float:
        """Note a failure; how long to wait, longer after each and by chance, so that many do not come back at once."""
        if self.down_since is None:
            self.down_since = self._clock.now()
            log.warning("%s; its readings wait on disk", error)
        self.why = str(error)
        self._most = MOST_LINES if isinstance(error, RefusesAll) else 1
        mean_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
        self._failures += 1
        asked_s = error.retry_after_s if isinstance(error, Away) else 0.0
        return asked_s + mean_s * (0.5 + self._random.random())

    def _went_well(self, parcel: Parcel, refusals: Sequence[Refusal], before: datetime | None) -> None:
        self.sent += len(parcel.lines) - len(refusals)
        if refusals and (before is None or self._clock.now() > before + RECENT):
            first = refusals[0]
            log.warning("%d readings are refused for good, such as %s: %s", len(refusals), first.line, first.reason)
        if self.down_since is not None:
            waiting = self.outbox.backlog.lines
            log.warning("%s takes readings again, %d are still waiting", self.database.name, waiting)
        self._failures, self._most, self.down_since, self.why = 0, MOST_LINES, None, ""


def _split(part: Sequence[str], error: Refused) -> tuple[list[Sequence[str]], list[Refusal]]:
    """What of a refused part is to be sent, the older last; and whom the answer blames."""
    if error.named:
        rest = [line for n, line in enumerate(part) if n not in error.named]
        return [rest] if rest else [], [Refusal(line=part[n], reason=why) for n, why in sorted(error.named.items())]
    if len(part) == 1 or (error.too_old and error.dropped == len(part)):
        return [], [Refusal(line=line, reason=str(error)) for line in part]
    middle = len(part) // 2
    return [part[middle:], part[:middle]], []


class Forwarding:
    """A sink before a store and an outbox: when the second fails both are tried again, and the first just replaces."""

    def __init__(self, store: Sink, outbox: Outbox) -> None:
        self._store, self._outbox = store, outbox

    async def append(self, readings: Sequence[Reading]) -> None:
        await self._store.append(readings)
        await self._outbox.put(readings)


@asynccontextmanager
async def forwarding(outbox: Outbox, database: Database, clock: Clock) -> AsyncIterator[Forwarder]:
    """Open the outbox and send from it for the length of the block."""
    async with outbox, asyncio.TaskGroup() as tasks:
        forwarder = Forwarder(outbox, database, clock)
        sending = tasks.create_task(forwarder.run(), name="outbox")
        try:
            yield forwarder
        finally:
            sending.cancel()
