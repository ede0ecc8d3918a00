"""Import price of electricity by half-hour: from a CSV file, or from a unit-rates API of Octopus's kind.

Point: `import`, currency per kWh, the rate in force. Rates are never made up: a half-hour that the source does not
name has no price, and the site file's tariff holds.
"""

import csv
import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ValidationError, model_validator

from config.intensity import Kind
from config.localtime import HALF_HOUR_S, epoch_s, utc
from config.roles import Role
from drivers.base import Here
from drivers.clock import Clock
from drivers.feeds.driver import Address, FeedDriver, FeedOptions
from drivers.feeds.feed import Quantity, Source
from drivers.feeds.fetch import Unavailable, Web
from drivers.feeds.gate import Implausible, Limits
from drivers.feeds.series import Said, laid_out
from drivers.forecast import Origin

IMPORT = "import"
PENCE = 100.0
MOST_PAGES = 20
AHEAD, BEHIND = timedelta(hours=48), timedelta(hours=1)
RATES = Limits(low=-2.0, high=5.0, bridged=False)  # currency per kWh; negative prices are real


def _product(code: str) -> str:
    if not re.fullmatch(r"[A-Z0-9-]+", code):
        raise ValueError(f"{code!r} is not the code of a product; write one such as AGILE-24-10-01")
    return code


def _tariff(code: str) -> str:
    if not re.fullmatch(r"E-1R-[A-Z0-9-]+-[A-HJ-NP]", code):
        raise ValueError(f"{code!r} is not the code of a tariff; write one such as E-1R-AGILE-24-10-01-E, region last")
    return code


class TariffOptions(FeedOptions):
    """Either `file`, or `product` and `tariff`."""

    file: Path | None = None  # CSV with the columns `from` (with its zone) and `rate`; counted from the site file
    product: Annotated[str, AfterValidator(_product)] | None = None
    tariff: Annotated[str, AfterValidator(_tariff)] | None = None  # its last letter is the region
    url: Address = "https://api.octopus.energy"
    vat: bool = False  # with value added tax
    payment_method: str = "DIRECT_DEBIT"  # where rates differ by it
    source: str | None = None  # whose prices they are, for pages and reports; None = the file or the product

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.file is not None and (self.product is not None or self.tariff is not None):
            raise ValueError("prices come from a file or from a product; keep file, or product and tariff")
        if self.file is None and (self.product is None or self.tariff is None):
            raise ValueError("no prices are named; write 'file: prices.csv', or both product and tariff")
        return self


class _Rate(BaseModel):
    value_exc_vat: float
    value_inc_vat: float
    valid_from: AwareDatetime
    valid_to: AwareDatetime | None
    payment_method: str | None = None


class _Page(BaseModel):
    next: str | None
    results: list[_Rate]


class RatesSource(Source):
    """The unit-rates API: newest first, in pages, pence."""

    every = timedelta(minutes=30)

    def __init__(self, web: Web, options: TariffOptions) -> None:
        self._web, self._options = web, options
        name = options.source or f"{options.product}, {options.tariff}"
        self.origin = Origin(source=name, licence="published by the supplier", attribution=f"prices of {name}")
        self.quantities = {IMPORT: Quantity(limits=RATES)}

    async def ask(self, now: datetime) -> Mapping[str, Said]:
        start = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
        first_s, last_s = epoch_s(start - BEHIND), epoch_s(start + AHEAD)
        rates = await self._pages(start)
        found: dict[int, float | None] = {}
        owners: dict[int, _Rate] = {}
        for rate in rates:
            if rate.payment_method not in (None, self._options.payment_method):
                continue
            begin = max(epoch_s(rate.valid_from), first_s)
            end = last_s if rate.valid_to is None else min(epoch_s(rate.valid_to), last_s)
            for at in range(-(-begin // HALF_HOUR_S) * HALF_HOUR_S, end, HALF_HOUR_S):
                if at in owners and self._value(owners[at]) != self._value(rate):
                    raise Implausible(f"two prices for {utc(at):%Y-%m-%d %H:%M} UTC")
                owners[at] = rate
                found[at] = self._value(rate) / PENCE
        if not found:
            raise Implausible("no price for the next two days")
        return {IMPORT: laid_out(found, step_s=HALF_HOUR_S, kind=Kind.FORECAST)}

    def _value(self, rate: _Rate) -> float:
        return rate.value_inc_vat if self._options.vat else rate.value_exc_vat

    async def _pages(self, start: datetime) -> list[_Rate]:
        """All pages or none, each once."""
        path = f"v1/products/{self._options.product}/electricity-tariffs/{self._options.tariff}/standard-unit-rates/"
        asked: dict[str, str] | None = {
            "period_from": f"{start - BEHIND:%Y-%m-%dT%H:%MZ}",
            "period_to": f"{start + AHEAD:%Y-%m-%dT%H:%MZ}",
            "page_size": "1500",
        }
        rates: list[_Rate] = []
        seen: set[str] = set()
        while path not in seen:
            if len(seen) == MOST_PAGES:
                raise Unavailable(f"more than {MOST_PAGES} pages of prices")
            seen.add(path)
            try:
                page = _Page.model_validate(await self._web.json(path, asked))
            except ValidationError as error:
                raise Implausible(f"not the shape of unit rates: {str(error).splitlines()[1]}") from None
            rates += page.results
            if page.next is None:
                return rates
            path, asked = page.next, None
        raise Unavailable("the pages of prices go round in a circle")

    async def close(self) -> None:
        await self._web.close()


class FileSource(Source):
    """A CSV file, read again whenever it has changed."""

    every = timedelta(minutes=1)
    kept = False

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._mark: tuple[int, int] | None = None  # of the file that was read last
        self._rates: dict[int, float | None] = {}
        self.origin = Origin(source=name, licence="the site's own", attribution=f"prices of {name}")
        self.quantities = {IMPORT: Quantity(limits=RATES)}

    async def ask(self, now: datetime) -> Mapping[str, Said]:
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_size)
            if mark != self._mark:
                self._rates, self._mark = read_rates(self._path), mark
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise Implausible(str(error)) from error
        first_s, last_s = epoch_s(now - timedelta(days=1)), epoch_s(now + timedelta(days=3))
        near = {at: rate for at, rate in self._rates.items() if first_s <= at < last_s}
        if not near:
            raise Implausible(f"{self._path.name} has no price for these days")
        return {IMPORT: laid_out(near, step_s=HALF_HOUR_S, kind=Kind.FORECAST)}

    async def close(self) -> None:
        """Nothing is open."""


def read_rates(path: Path) -> dict[int, float | None]:
    """Currency per kWh by half-hour; raises OSError, and ValueError naming line and cure."""
    rates: dict[int, float | None] = {}
    with path.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines)
        missing = [name for name in ("from", "rate") if name not in (table.fieldnames or ())]
        if missing:
            raise ValueError(f"{path.name}: no column '{missing[0]}'; let the first line read: from,rate")
        for row in table:
            here = f"{path.name}, line {table.line_num}"
            try:
                when, rate = datetime.fromisoformat(row["from"]), float(row["rate"])
            except (TypeError, ValueError):
                raise ValueError(
                    f"{here}: {row['from']!r}, {row['rate']!r}; write a time and a rate, as 2026-01-31T00:30Z,0.21"
                ) from None
            if when.tzinfo is None or epoch_s(when) % HALF_HOUR_S:
                raise ValueError(f"{here}: {row['from']}; write half-hours with their zone, as 2026-01-31T00:30Z")
            if not (math.isfinite(rate) and RATES.low <= rate <= RATES.high):
                raise ValueError(f"{here}: a rate of {rate:g} per kWh cannot be; write pounds or euros, not pence")
            if epoch_s(when) in rates:
                raise ValueError(f"{here}: {row['from']} stands there twice; keep one")
            rates[epoch_s(when)] = rate
    if not rates:
        raise ValueError(f"{path.name}: no prices; write at least one line below the header")
    return rates


class TariffDriver(FeedDriver):
    """The import price as a read-only device."""

    Options = TariffOptions
    NAME = "tariff"
    ROLES: ClassVar[Mapping[str, Role]] = {IMPORT: Role.ELECTRICITY_PRICE}

    @classmethod
    def check_options(cls, options: TariffOptions, here: Here) -> None:
        if options.file is not None:
            try:
                read_rates(here.base / options.file)
            except OSError as error:
                raise ValueError(f"{options.file} cannot be read: {error.strerror}; write its path") from None

    @classmethod
    def source(cls, options: TariffOptions, here: Here, clock: Clock) -> Source:
        if options.file is not None:
            return FileSource(here.base / options.file, options.source or options.file.name)
        return RatesSource(Web(options.url, clock=clock, proxy=options.proxy), options)
