"""The heartbeat to the building: a counter on a point that its own controls watch."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from controller import record
from controller.arbiter import Source
from controller.holding import Holding
from controller.leases import Fenced
from controller.line import Line
from controller.store.base import StoreError
from controller.supervisor import next_tick
from controller.wire import Leases
from drivers.base import DriverError
from drivers.clock import Clock

log = logging.getLogger(__name__)

BEAT = timedelta(minutes=1)
MODULUS = 65536


class Pulse:
    """Counts up once a minute while `healthy`; leased like any other slot, and handed back when not `may_beat`."""

    def __init__(
        self,
        holdings: Sequence[tuple[Holding, Line]],
        *,
        leases: Leases,
        clock: Clock,
        lease: timedelta,
        may_beat: Callable[[], bool],
        healthy: Callable[[], bool],
        fenced: Callable[[int], Awaitable[None]],
        store_failed: Callable[[StoreError], None],
    ) -> None:
        self._holdings, self._leases, self._clock, self._lease = holdings, leases, clock, lease
        self._healthy = healthy
        self._may_beat, self._fenced, self._store_failed = may_beat, fenced, store_failed

    async def run(self) -> None:
        """Beat until cancelled. A device that cannot be reached now is told at the next beat."""
        count = 0
        await self._first_contact()
        while True:
            count = (count + 1) % MODULUS
            for holding, line in self._holdings:
                if not (line.known and self._may_beat() and self._healthy()) or holding.wear is not None:
                    continue  # a memory that wears would not live long
                epoch = self._leases.epoch
                try:
                    await self._beat(holding, line, float(count))
                except Fenced:
                    await self._fenced(epoch)
                except StoreError as error:
                    self._store_failed(error)
                except DriverError as error:
                    log.debug("%s: %s", holding.point.id, error)
            await self._clock.sleep_until(next_tick(self._clock.now(), BEAT))

    async def _first_contact(self) -> None:
        """Wait for the lines, so that the first beat is not put off; not for ever."""
        try:
            async with asyncio.timeout(BEAT.total_seconds()):
                for _, line in self._holdings:
                    await line.wait_known()
        except TimeoutError:
            log.debug("the heartbeat begins without some device")

    def settle(self) -> None:
        """Have the slots handed back if we may not beat any more."""
        if self._may_beat():
            return
        for holding, line in self._holdings:
            holding.target = None
            line.wake()

    async def _beat(self, holding: Holding, line: Line, count: float) -> None:
        now = self._clock.now()
        if holding.lease is None or holding.lease.expires - now <= self._lease / 3 + BEAT:
            order = record.command(holding, now + self._lease)
            order = replace(order, value=count, reason="heartbeat", source=Source.RULES.value)
            holding.lease = record.lease(order, holding, self._leases.epoch)  # before the disk has it: a stop finds it
            await self._leases.take_many([holding.lease])
        if self._may_beat():
            holding.target = holding.ours = count
            await line.link.write(holding.point, count, holding.slot)
