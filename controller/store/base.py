"""The store contract: readings in, windows and half-hours out; leases, commands and audit that survive a power cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.base import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One point's stored values in [start, end): arrays of equal length, in time order."""

    time_s: NDArray[np.float64]  # seconds since 1970, UTC
    value: NDArray[np.float64]  # NaN where quality is bad
    quality: NDArray[np.int8]  # 0 good, 1 suspect, 2 stale, 3 bad
    flags: NDArray[np.int32]  # `drivers.base.Flags`, the reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A value we hold on a device until it expires; the guard relinquishes from these rows."""

    point: str
    device: str
    priority: int
    value: float
    expires: datetime
    decision: str  # id of the plan, override or event behind it
    epoch: int  # of the run that took it; a higher epoch fences older ones off


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what, when, why, and what came of it."""

    time: datetime
    actor: str
    action: str
    subject: str  # point, device, site or file
    old: str
    new: str
    reason: str
    result: str


class StoreError(Exception):
    """The disk, or the file on it, refused; the text says what to do. Nothing acknowledged before is lost."""


class Sink(Protocol):
    """What readings are put into."""

    async def append(self, readings: Sequence[Reading]) -> None:
        """Keep readings, in order; one of the same point and time replaces the older. Raises StoreError.

        The one door through which readings come in. When it returns they are durable against kill -9 of this process
        and will be seen by every later question; a power cut may take the last seconds with it, and nothing older.
        Readings of days older than the site keeps are left out. A cancelled append may or may not have happened.
        """
        ...


class Store(Sink, Protocol):
    """Readings, durable against kill -9; commands, leases and audit durable against a power cut.

    Every method returns after the data is safe to that degree, or raises StoreError. Methods may be awaited from
    any task.
    """

    async def window(self, point: str, start: datetime, end: datetime) -> Window:
        """Values of one point in [start, end), as they came; empty arrays if there are none (any more)."""
        ...

    async def aggregate(
        self, point: str, start: datetime, end: datetime, step: timedelta = timedelta(minutes=30)
    ) -> Mapping[datetime, tuple[float, float, float, int]]:
        """Mean, minimum, maximum and count of good values by interval start (UTC), empty ones left out.

        Intervals begin at whole multiples of `step` since 1970 UTC; only values in [start, end) count. Where the
        readings themselves are no longer kept, whole half-hours count, in steps of a multiple of half an hour.
        """
        ...

    async def newest(self) -> Mapping[str, Reading]:
        """Return the last reading of each point, to begin with after a restart."""
        ...
