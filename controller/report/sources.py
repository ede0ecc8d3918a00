"""Where a report's figures come from: the meters' readings and the files, each with its SHA-256."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np

from config.localtime import HALF_HOUR_S, epoch_s, utc
from config.site import Site
from controller.carbon.intensity import IntensityFile
from controller.carbon.intervals import GOOD, MARGIN, Account, account
from controller.carbon.slots import HALF_HOUR
from controller.report.period import Period
from controller.store.base import Store, Window

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A file by its name and content."""

    name: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Named":
        """Raises OSError."""
        return cls(name=path.name, sha256=sha256(path.read_bytes()).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What has to be the same for a report to come out the same."""

    version: str  # of the program
    site_file: Named
    factors: Named
    intensity: Named | None  # None = no half-hourly ledger
    readings: Mapping[str, str]  # meter -> SHA-256 of what was read for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """A meter's half-hours and what they were worked out from."""

    account: Account
    opening: tuple[datetime, float] | None  # first good reading of the period; None = none
    closing: tuple[datetime, float] | None
    sha256: str


async def read_meters(store: Store, site: Site, period: Period, *, tick: Callable[[], None]) -> list[Metered]:
    """Every meter of the site in file order; `tick` after each. Raises StoreError."""
    points, found = site.points, []
    for meter in site.meters:
        window = await store.window(meter.point, period.start - MARGIN, period.end + MARGIN)
        opening, closing = _ends(window, period)
        made = account(meter, points[meter.point], window, period.start, period.end)
        found.append(Metered(account=made, opening=opening, closing=closing, sha256=_digest(window)))
        tick()
    return found


def heard_as(intensity: IntensityFile) -> Named:
    """A feed's half-hours in place of a file."""
    start, end = intensity.span
    steps = round((end - start) / HALF_HOUR)
    grams, _ = intensity.lookup(epoch_s(start) + HALF_HOUR_S * np.arange(steps))
    digest = sha256(np.ascontiguousarray(grams).astype("<f8").tobytes()).hexdigest()
    return Named(name="half-hours of grid intensity as the feed said them", sha256=digest)


async def days_kept(store: Store, site: Site, before: datetime) -> tuple[datetime, datetime] | None:
    """First and last UTC day of which the store holds a reading of a meter; None if of none. Raises StoreError."""
    kept = [when for meter in site.meters for when in await store.aggregate(meter.point, utc(0), before, DAY)]
    return (min(kept), max(kept)) if kept else None


def _ends(window: Window, period: Period) -> tuple[tuple[datetime, float] | None, tuple[datetime, float] | None]:
    inside = (window.time_s >= period.start.timestamp()) & (window.time_s <= period.end.timestamp())
    usable = np.flatnonzero(inside & (window.quality == GOOD) & np.isfinite(window.value))
    if not len(usable):
        return None, None
    first, last = ((utc(float(window.time_s[n])), float(window.value[n])) for n in (usable[0], usable[-1]))
    return first, last


def _digest(window: Window) -> str:
    """Of times, values, qualities and flags, little-endian, so that every machine finds the same."""
    whole = sha256()
    for column, kind in ((window.time_s, "<f8"), (window.value, "<f8"), (window.quality, "|i1"), (window.flags, "<i4")):
        whole.update(np.ascontiguousarray(column).astype(kind).tobytes())
    return whole.hexdigest()
