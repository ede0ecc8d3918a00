"""Carbon intensity of the British grid by half-hour (NESO's API): national, or regional by outward postcode.

Points: `forecast` (the half-hour in force) and `actual` (the newest that is known; national only, for there are no
regional actuals). g CO2/kWh with imports and losses. A false zero is replaced by what had been forecast and says so.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

from config.intensity import NESO, Basis, Kind, plausible
from config.localtime import HALF_HOUR_S, epoch_s
from config.roles import Role
from drivers.base import Here
from drivers.clock import Clock
from drivers.feeds.driver import Address, FeedDriver, FeedOptions
from drivers.feeds.feed import Quantity, Source
from drivers.feeds.fetch import Unavailable, Web
from drivers.feeds.gate import Implausible, Limits
from drivers.feeds.series import Said, laid_out
from drivers.forecast import Origin

log = logging.getLogger(__name__)

FORECAST, ACTUAL = "forecast", "actual"
PAST = timedelta(hours=24)
LIMITS = Limits(low=1.0, high=1000.0, lone=100.0, least_s=6 * 3600)
WAS = Limits(low=1.0, high=1000.0)


class Scope(StrEnum):
    NATIONAL = "national"
    REGIONAL = "regional"


def _outward(postcode: str) -> str:
    word = postcode.strip().upper()
    if not (2 <= len(word) <= 4 and word.isascii() and word.isalnum() and word[0].isalpha()):
        raise ValueError(
            f"{postcode!r} is not the outward part of a postcode; write the part before the space, as 'B1'"
        )
    return word


class CarbonOptions(FeedOptions):
    """Which intensity."""

    url: Address = "https://api.carbonintensity.org.uk"
    scope: Scope = Scope.NATIONAL
    postcode: Annotated[str, AfterValidator(_outward)] | None = None  # None = the site's own; of regional scope only


class _Intensity(BaseModel):
    forecast: float | None = None
    actual: float | None = None


class _HalfHour(BaseModel):
    start: Annotated[AwareDatetime, Field(alias="from")]
    to: AwareDatetime
    intensity: _Intensity


class _Region(BaseModel):
    postcode: str | None = None
    data: list[_HalfHour]


_NATIONAL: TypeAdapter[list[_HalfHour]] = TypeAdapter(list[_HalfHour])
_REGIONAL: TypeAdapter[_Region] = TypeAdapter(_Region)


class NesoSource(Source):
    """The API of the Carbon Intensity service."""

    every = timedelta(minutes=30)

    def __init__(self, web: Web, postcode: str | None) -> None:
        self._web, self._postcode = web, postcode
        where = "" if postcode is None else f", region of {postcode}"
        self._basis = basis_of(postcode)
        self.origin = Origin(
            source=f"Carbon Intensity API, NESO{where}", licence="CC BY 4.0", attribution=f"{NESO}, CC BY 4.0"
        )
        truth = ACTUAL if postcode is None else None
        self.quantities = {FORECAST: Quantity(limits=LIMITS, truth=truth)}
        if postcode is None:
            self.quantities[ACTUAL] = Quantity(limits=WAS, ahead=False)

    async def ask(self, now: datetime) -> Mapping[str, Said]:
        moment = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
        start = f"{moment:%Y-%m-%dT%H:%MZ}"
        if self._postcode is not None:
            answer = await self._web.json(f"regional/intensity/{start}/fw48h/postcode/{self._postcode}")
            return {FORECAST: self._forecast(_region(answer, self._postcode), moment)}
        found = {FORECAST: self._forecast(_national(await self._web.json(f"intensity/{start}/fw48h")), moment)}
        try:
            found |= self._actual(_national(await self._web.json(f"intensity/{start}/pt24h")))
        except (Unavailable, Implausible) as error:  # planning needs the forecast; what was can be asked for again
            log.debug("%s: no actuals: %s", self.origin.source, error)
        return found

    async def close(self) -> None:
        await self._web.close()

    def _forecast(self, rows: dict[int, _Intensity], moment: datetime) -> Said:
        ahead = {at: row.forecast for at, row in rows.items() if at >= epoch_s(moment)}
        if not ahead:
            raise Implausible("no half-hour of the future")
        return laid_out(ahead, step_s=HALF_HOUR_S, kind=Kind.FORECAST, basis=self._basis)

    def _actual(self, rows: dict[int, _Intensity]) -> dict[str, Said]:
        """What was, cleaned; nothing if no half-hour has an actual yet."""
        if not any(row.actual is not None for row in rows.values()):
            return {}
        last = max(at for at, row in rows.items() if row.actual is not None)
        starts = range(min(rows), last + 1, HALF_HOUR_S)
        told = [rows.get(at, _Intensity()) for at in starts]
        actual, forecast = (np.array([getattr(row, name) for row in told], dtype=float) for name in (ACTUAL, FORECAST))
        believed = plausible(actual, forecast)
        value = np.where(believed, actual, forecast)
        said = Said(
            start_s=min(rows),
            step_s=HALF_HOUR_S,
            values=tuple(None if np.isnan(one) else float(one) for one in value),
            kinds=tuple(Kind.ACTUAL if is_believed else Kind.SUBSTITUTED for is_believed in believed),
            basis=self._basis,
        )
        return {ACTUAL: said}


def basis_of(postcode: str | None) -> Basis:
    """What the grams of the nation's, or of a postcode's, half-hours count."""
    return Basis(source=NESO if postcode is None else f"{NESO}, region of {postcode}")


def _national(answer: Any) -> dict[int, _Intensity]:
    try:
        return _rows(_NATIONAL.validate_python(answer["data"]))
    except (ValidationError, KeyError, TypeError) as error:
        raise Implausible(f"not the shape of national intensities: {_first_line(error)}") from None


def _region(answer: Any, postcode: str) -> dict[int, _Intensity]:
    """The region's half-hours; `data` is the region, or a list with it alone."""
    try:
        data = answer["data"]
        region = _REGIONAL.validate_python(data[0] if isinstance(data, list) else data)
    except (ValidationError, LookupError, TypeError) as error:
        raise Implausible(f"not the shape of regional intensities: {_first_line(error)}") from None
    if region.postcode is not None and region.postcode.upper() != postcode:
        raise Implausible(f"asked for {postcode}, and {region.postcode} was answered")
    return _rows(region.data)


def _rows(found: list[_HalfHour]) -> dict[int, _Intensity]:
    """Half-hours by their start; of two that tell of the same one, the first."""
    rows: dict[int, _Intensity] = {}
    for row in found:
        at = epoch_s(row.start)
        if at % HALF_HOUR_S or epoch_s(row.to) - at != HALF_HOUR_S:
            raise Implausible(f"{row.start:%Y-%m-%d %H:%M} to {row.to:%H:%M} is no half-hour")
        rows.setdefault(at, row.intensity)
    if not rows:
        raise Implausible("no half-hours")
    if max(rows) - min(rows) > timedelta(days=15).total_seconds():
        raise Implausible("half-hours that lie more than two weeks apart")
    return rows


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


class CarbonIntensityDriver(FeedDriver):
    """The grid's carbon intensity as a read-only device."""

    Options = CarbonOptions
    NAME = "carbon_intensity"
    PAST = frozenset({ACTUAL})
    ROLES: ClassVar[Mapping[str, Role]] = {FORECAST: Role.CARBON_INTENSITY, ACTUAL: Role.CARBON_INTENSITY}

    @classmethod
    def check_options(cls, options: CarbonOptions, here: Here) -> None:
        _postcode(options, here)

    @classmethod
    def basis(cls, options: CarbonOptions, here: Here) -> Basis:
        """What the grams of its readings count."""
        return basis_of(_postcode(options, here))

    @classmethod
    def source(cls, options: CarbonOptions, here: Here, clock: Clock) -> NesoSource:
        return NesoSource(Web(options.url, clock=clock, proxy=options.proxy), _postcode(options, here))


def _postcode(options: CarbonOptions, here: Here) -> str | None:
    """The outward postcode to ask for; None = national."""
    if options.scope is Scope.NATIONAL:
        if options.postcode is not None:
            raise ValueError("a postcode says nothing of the national intensity; write 'scope: regional', or remove it")
        return None
    place = None if here.location is None else here.location.postcode
    if options.postcode is None and place is None:
        raise ValueError("regional intensity needs a postcode; write 'postcode: B1' here or in the site's location")
    return options.postcode or _outward(place or "")
