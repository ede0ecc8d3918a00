"""Takes back what a point had told before it turned out to be nonsense: from what is learned, and in the store."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controller.history import History
from controller.hub import Hub
from controller.store.base import Store, StoreError, Window
from drivers.base import Flags, Quality, Reading

log = logging.getLogger(__name__)

GOOD = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonsense:
    """A point has shown `value` from `since` to `until` without meaning it."""

    point: str
    value: float
    since: datetime
    until: datetime


async def take_back(
    nonsense: Hub[Nonsense], readings: Hub[Reading], *, history: History, store: Store, after: timedelta
) -> None:
    """Forget it at once, and publish the stored readings again with what is wrong with them. Until cancelled.

    `after` is how long a reading may take to reach the store.
    """
    with nonsense.subscribe() as buffer:
        async for found in buffer:
            history.forget(found.point, found.since)
            await asyncio.sleep(after.total_seconds())
            try:
                window = await store.window(found.point, found.since, found.until)
            except StoreError as error:
                log.warning("%s: what it told since %s stays in the store: %s", found.point, found.since, error)
            else:
                readings.publish(*_doubted(found, window))


def _doubted(found: Nonsense, window: Window) -> list[Reading]:
    rows = zip(
        window.time_s.tolist(), window.value.tolist(), window.quality.tolist(), window.flags.tolist(), strict=True
    )
    times = [
        (datetime.fromtimestamp(time_s, UTC), Flags(flags))
        for time_s, value, quality, flags in rows
        if quality == GOOD and value == found.value
    ]
    return [
        Reading(
            point=found.point,
            time=time,
            received=time,
            value=found.value,
            quality=Quality.SUSPECT,
            flags=flags | Flags.STUCK,
        )
        for time, flags in times
    ]
