"""Who seals days, keeps what the site file says for as long as it says, and stays within the disk budget."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from config.site import StoreOptions
from controller.store.base import StoreError
from controller.store.block import DAY_US
from controller.store.control import CONTROL_FILE
from controller.store.database import Database
from controller.store.sealing import (
    LOOK_AT_ONCE,
    believed_day,
    forget,
    has_recent,
    move,
    seal,
    thin,
    thinned_to,
    to_seal,
    used_bytes,
)
from controller.store.stamp import micros, span_micros
from drivers.clock import Clock

log = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
QUARTER = timedelta(hours=6)  # what is younger is read row by row, which takes longer than all of a month's blocks
SETTLES = timedelta(hours=1)  # until most of what comes late has come
PAUSE_S = 0.1  # between steps, which take a few ms: upkeep has a small part of the writer's time
MB = 1_000_000


class Upkeep:
    """Looks after one readings file, on its writer thread and between appends.

    `options` None seals and keeps everything for ever.
    """

    def __init__(
        self, database: Database, clock: Clock, options: StoreOptions | None, *, series: Mapping[str, int]
    ) -> None:
        self._database, self._clock, self._options, self._series = database, clock, options, series
        self._control: Path = database.path.with_name(CONTROL_FILE)
        self.horizon = -(1 << 62)  # microseconds; readings of earlier days have shrunk, none is taken any more
        self.used_bytes = 0  # when last looked at
        self.trouble = ""  # why the last round did not end well; empty = it did

    async def begin(self) -> None:
        """Learn from the file what has shrunk already, and how large it is."""
        self._shrunk_to(await self._database.read(thinned_to))
        self.used_bytes = await self._used()

    async def run(self) -> None:
        """Tend the file every hour, until cancelled; a round that fails is logged and tried again."""
        while True:
            try:
                await self.tend()
                self._say("")
            except StoreError as error:
                self._say(str(error))
            await asyncio.sleep(EVERY.total_seconds())

    async def tend(self) -> None:
        """Seal what is over, thin and forget what is old, and what goes beyond the budget. Raises StoreError."""
        settled, quarter = micros(self._clock.now() - SETTLES), span_micros(QUARTER)
        today = settled // DAY_US
        await self._seal(settled // quarter * quarter)
        if self._options is not None:
            believed = await self._database.read(lambda db: believed_day(db, today))
            if believed is not None:
                await self._thin(believed - self._options.keep_days)
                await self._forget(believed - self._options.half_hours_days)
            await self._make_room(self._options.budget_mb * MB, today)
        self.used_bytes = await self._used()

    async def _seal(self, before: int) -> None:
        if await self._database.read(lambda db: has_recent(db, before)):
            await self._database.write(move)
        numbers = sorted(self._series.values())
        for at in range(0, len(numbers), LOOK_AT_ONCE):
            some = numbers[at : at + LOOK_AT_ONCE]
            for number in await self._database.read(lambda db, some=some: to_seal(db, some, before)):  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                while await self._database.write(lambda db, number=number: seal(db, number, before)):  # type: ignore[misc]
                    await asyncio.sleep(PAUSE_S)

    async def _thin(self, before_day: int) -> None:
        while await self._thin_some(before_day):
            await asyncio.sleep(PAUSE_S)

    async def _thin_some(self, before_day: int) -> bool:
        day = await self._database.write(lambda db: thin(db, before_day))
        self._shrunk_to(day)
        return day is not None

    async def _forget(self, before_day: int) -> None:
        while await self._database.write(lambda db: forget(db, before_day)):
            await asyncio.sleep(PAUSE_S)

    async def _make_room(self, budget: int, today: int) -> None:
        """What goes first: the oldest readings, then the oldest half-hours; yesterday's readings stay."""
        steps = 0
        while (used := await self._used()) > budget:
            if not await self._thin_some(today - 1) and not await self._database.write(lambda db: forget(db, today)):
                raise StoreError(
                    f"{self._database.path.parent}: {used / MB:.0f} MB are in use, nothing more can go, and the budget"
                    f" is {budget / MB:.0f} MB: raise store.budget_mb in the site file"
                )
            steps += 1
            await asyncio.sleep(PAUSE_S)
        if steps:
            log.warning("the oldest readings made room: store.budget_mb is %.0f", budget / MB)

    async def _used(self) -> int:
        control = self._control.stat().st_size if self._control.exists() else 0
        return control + await self._database.read(used_bytes)

    def _shrunk_to(self, day: int | None) -> None:
        if day is not None:
            self.horizon = max(self.horizon, (day + 1) * DAY_US)

    def _say(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.warning("the store could not be tended, it is tried again every hour: %s", trouble)
        elif self.trouble and not trouble:
            log.info("the store is tended again")
        self.trouble = trouble
