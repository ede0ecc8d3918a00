"""Weather by the hour (Open-Meteo's API or a server of one's own that speaks it).

Points: `temperature` (degC) and `solar` (W/m2 on the horizontal), the means of the hour in force. The source gives
temperatures at the full hour and irradiance as the mean of the hour before; both become means labelled by their start.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, ValidationError

from config.intensity import Kind
from config.localtime import epoch_s
from config.roles import Role
from config.site import Location
from drivers.base import Here
from drivers.clock import Clock
from drivers.feeds.driver import Address, FeedDriver, FeedOptions
from drivers.feeds.feed import Quantity, Source
from drivers.feeds.fetch import Web
from drivers.feeds.gate import Implausible, Limits
from drivers.feeds.series import Said
from drivers.forecast import Origin

TEMPERATURE, SOLAR, WAS = "temperature", "solar", "temperature_was"
HOUR_S = 3600
POLAR_DEG = 60.0  # beyond, the sun may stay away for a day
FREE = "https://api.open-meteo.com"
DEGC = Limits(low=-40.0, high=50.0, lone=8.0, least_s=24 * HOUR_S)
W_PER_M2 = Limits(low=0.0, high=1400.0, least_s=24 * HOUR_S, dark_for_ever=True)


class WeatherOptions(FeedOptions):
    """Where, and from whom. The free service is for non-commercial use; a paid one has a key and its own address."""

    url: Address = FREE
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None  # None = the site's own
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    api_key_file: str | None = None  # its first line is the key; counted from the site file
    attribution: str = "Weather data by Open-Meteo.com, CC BY 4.0"


class _Units(BaseModel):
    temperature_2m: Literal["°C"]
    shortwave_radiation: Literal["W/m²"]


class _Hourly(BaseModel):
    time: list[str]
    temperature_2m: list[float | None]
    shortwave_radiation: list[float | None]


class _Answer(BaseModel):
    utc_offset_seconds: Literal[0]  # the times carry no zone of their own
    hourly_units: _Units
    hourly: _Hourly


class OpenMeteoSource(Source):
    """The forecast API, with a day of the past to learn from."""

    every = timedelta(hours=1)

    def __init__(self, web: Web, options: WeatherOptions, place: Location, key: str | None) -> None:
        self._web, self._key = web, key
        self._place = {"latitude": f"{place.latitude:.4f}", "longitude": f"{place.longitude:.4f}"}
        self.origin = Origin(source="Open-Meteo", licence="CC BY 4.0", attribution=options.attribution)
        sun = W_PER_M2 if abs(place.latitude) < POLAR_DEG else Limits(low=0.0, high=1400.0, least_s=24 * HOUR_S)
        self.quantities = {
            TEMPERATURE: Quantity(limits=DEGC, truth=WAS),
            SOLAR: Quantity(limits=sun),
            WAS: Quantity(limits=Limits(low=-40.0, high=50.0, lone=8.0), ahead=False, readable=False),
        }

    async def ask(self, now: datetime) -> Mapping[str, Said]:
        wanted = {
            **self._place,
            "hourly": "temperature_2m,shortwave_radiation",
            "timezone": "GMT",
            "past_days": "1",
            "forecast_days": "4",
            **({} if self._key is None else {"apikey": self._key}),
        }
        try:
            answer = _Answer.model_validate(await self._web.json("v1/forecast", wanted))
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise Implausible(f"not the shape of an hourly forecast: {where}: {error.errors()[0]['msg']}") from None
        start_s = _even(answer.hourly)
        degc, sun = answer.hourly.temperature_2m, answer.hourly.shortwave_radiation
        hours = [None if a is None or b is None else (a + b) / 2 for a, b in pairwise(degc)]
        temperature = _said(start_s, hours)
        now_s = epoch_s(now) // HOUR_S * HOUR_S
        found = {TEMPERATURE: _from(temperature, now_s), SOLAR: _from(_said(start_s, sun[1:]), now_s)}
        if start_s < now_s:
            found[WAS] = _said(start_s, hours[: (now_s - start_s) // HOUR_S], Kind.ACTUAL)
        return found

    async def close(self) -> None:
        await self._web.close()


def _even(hourly: _Hourly) -> int:
    """The first hour, seconds since 1970; raises Implausible unless every hour follows on the one before."""
    if not len(hourly.time) == len(hourly.temperature_2m) == len(hourly.shortwave_radiation):
        raise Implausible("columns of different lengths")
    try:
        times = [epoch_s(datetime.fromisoformat(text).replace(tzinfo=UTC)) for text in hourly.time]
    except ValueError as error:
        raise Implausible(f"times that are none: {error}") from None
    if len(times) < 2 or any(after - before != HOUR_S for before, after in pairwise(times)):
        raise Implausible("times that are not hour by hour")
    return times[0]


def _said(start_s: int, values: list[float | None], kind: Kind = Kind.FORECAST) -> Said:
    known = tuple(None if value is None or not math.isfinite(value) else value for value in values)
    return Said(start_s=start_s, step_s=HOUR_S, values=known, kinds=(kind,) * len(known))


def _from(said: Said, start_s: int) -> Said:
    skip = max(0, (start_s - said.start_s) // said.step_s)
    if skip >= len(said.values):
        raise Implausible("nothing of the future")
    return Said(
        start_s=said.start_s + skip * said.step_s,
        step_s=said.step_s,
        values=said.values[skip:],
        kinds=said.kinds[skip:],
    )


class WeatherDriver(FeedDriver):
    """The weather to come as a read-only device."""

    Options = WeatherOptions
    NAME = "weather"
    ROLES: ClassVar[Mapping[str, Role]] = {TEMPERATURE: Role.TEMPERATURE_FORECAST, SOLAR: Role.SOLAR_FORECAST}

    @classmethod
    def check_options(cls, options: WeatherOptions, here: Here) -> None:
        _place(options, here)
        if options.api_key_file is not None:
            _key(here.base / options.api_key_file)

    @classmethod
    def source(cls, options: WeatherOptions, here: Here, clock: Clock) -> OpenMeteoSource:
        key = None if options.api_key_file is None else _key(here.base / options.api_key_file)
        return OpenMeteoSource(Web(options.url, clock=clock, proxy=options.proxy), options, _place(options, here), key)


def _place(options: WeatherOptions, here: Here) -> Location:
    if options.latitude is not None and options.longitude is not None:
        return Location(latitude=options.latitude, longitude=options.longitude)
    if options.latitude is not None or options.longitude is not None or here.location is None:
        raise ValueError("a place needs latitude and longitude; write both, or neither for the site's own location")
    return here.location


def _key(path: Path) -> str:
    try:
        lines: Any = path.read_text(encoding="utf-8").split()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; write the key into it") from None
    if not lines:
        raise ValueError(f"{path} is empty; write the key into its first line")
    return str(lines[0])
