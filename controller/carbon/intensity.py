"""A stored series of grid carbon intensity by half-hour, cleaned by the rule of `config/intensity.py`."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.intensity import NESO, Basis, Floats, Intensity, Kind, plausible
from config.localtime import DAY_S, HALF_HOUR_S, epoch_s, utc
from config.site import Carbon

BRIDGED = 96  # half-hours without any value that are bridged


class IntensityFile:
    """Half-hours on an even UTC grid, cleaned: what was, and what had been forecast."""

    def __init__(
        self,
        start_s: int,
        actual: Floats,
        forecast: Floats,
        basis: Basis,
        *,
        issued_at: datetime | None = None,
    ) -> None:
        self.start_s, self.basis, self.issued_at = start_s, basis, issued_at
        self._actual, self._forecast = actual, forecast
        believed = plausible(actual, forecast)
        known = believed | ~np.isnan(forecast)
        value = np.where(believed, actual, forecast)
        mean = self._daily_mean(value)
        self._value = np.where(known, value, mean)
        self._kind = np.where(believed, 0, np.where(known, 1, np.where(np.isnan(mean), 3, 2)))
        self._bridged = _bridged(self._value)
        self._bridged_forecast = _bridged(np.where(np.isnan(forecast), self._value, forecast))

    def _daily_mean(self, value: Floats) -> Floats:
        """For each half-hour, the mean of its UTC day; NaN on a day without any value."""
        day = (self.start_s + HALF_HOUR_S * np.arange(len(value))) // DAY_S
        index = day - day[0] if len(day) else day
        known = ~np.isnan(value)
        count = np.bincount(index, weights=known)
        total = np.bincount(index, weights=np.where(known, value, 0.0))
        with np.errstate(invalid="ignore"):
            mean: Floats = (total / np.where(count > 0, count, np.nan))[index]
        return mean

    @property
    def source(self) -> str:
        return self.basis.source

    @property
    def span(self) -> tuple[datetime, datetime]:
        """First start and last end, UTC."""
        return utc(self.start_s), utc(self.start_s + HALF_HOUR_S * len(self._value))

    def _index(self, starts_s: NDArray[np.int64]) -> NDArray[np.int64]:
        index: NDArray[np.int64] = (starts_s - self.start_s) // HALF_HOUR_S
        return np.where((index >= 0) & (index < len(self._value)), index, -1)

    def lookup(self, starts_s: Sequence[int] | NDArray[np.int64]) -> tuple[Floats, list[Kind | None]]:
        """Grams per kWh and kind of the half-hours that hold these seconds since 1970; NaN and None if unknown."""
        kinds = (Kind.ACTUAL, Kind.SUBSTITUTED, Kind.ESTIMATED, None)
        index = self._index(np.asarray(starts_s, dtype=np.int64))
        value = np.where(index >= 0, self._value[index], np.nan)
        return value, [kinds[self._kind[i]] if i >= 0 else None for i in index]

    def at(self, when: datetime) -> Intensity | None:
        """The half-hour that holds an instant; None if the series does not reach it or knows nothing of that day."""
        value, kinds = self.lookup([epoch_s(when)])
        if kinds[0] is None:
            return None
        start = utc(epoch_s(when) // HALF_HOUR_S * HALF_HOUR_S)
        return Intensity(
            start=start, g_per_kwh=float(value[0]), kind=kinds[0], basis=self.basis, issued_at=self.issued_at
        )

    def _series(self, bridged: Floats, start: datetime, step: timedelta, n: int) -> Floats:
        starts = epoch_s(start) + int(step.total_seconds()) * np.arange(n)
        place = np.clip((starts - self.start_s) // HALF_HOUR_S, 0, len(bridged) - 1)
        values: Floats = bridged[place]
        known = np.flatnonzero(~np.isnan(values))
        if not (self._index(starts) >= 0).any() or not len(known):
            raise LookupError(
                f"no intensity from {start:%Y-%m-%d %H:%M} on; the file covers {self.span[0]:%Y-%m-%d}"
                f" to {self.span[1]:%Y-%m-%d}"
            )
        return values if len(known) == n else np.interp(np.arange(n), known, values[known])

    def actual_g_per_kwh(self, start: datetime, step: timedelta, n: int) -> Floats:
        """What was, cleaned, for `n` steps; gaps are bridged. Raises LookupError if nothing is known of them."""
        return self._series(self._bridged, start, step, n)

    def forecast_g_per_kwh(self, start: datetime, step: timedelta, n: int) -> Floats:
        """What had been forecast, for `n` steps; else as `actual_g_per_kwh`."""
        return self._series(self._bridged_forecast, start, step, n)

    def joined(self, other: "IntensityFile") -> "IntensityFile":
        """Both series as one, `other` winning where both know; raises ValueError if their bases differ."""
        if other.basis != self.basis:
            raise ValueError(f"cannot mix {self.basis} with {other.basis}; keep them apart")
        first = min(self.start_s, other.start_s)
        last = max(one.start_s + HALF_HOUR_S * len(one._value) for one in (self, other))  # noqa: SLF001  own kind
        length = (last - first) // HALF_HOUR_S
        columns = []
        for mine, theirs in ((self._actual, other._actual), (self._forecast, other._forecast)):  # noqa: SLF001
            column = np.full(length, np.nan)
            for begin, values in ((self.start_s, mine), (other.start_s, theirs)):
                at = (begin - first) // HALF_HOUR_S
                column[at : at + len(values)] = np.where(np.isnan(values), column[at : at + len(values)], values)
            columns.append(column)
        return IntensityFile(first, columns[0], columns[1], self.basis, issued_at=other.issued_at or self.issued_at)


def _bridged(values: Floats) -> Floats:
    """Gaps of two days at most bridged in straight lines; longer ones stay NaN."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return values
    place = np.arange(len(values))
    after = np.clip(np.searchsorted(known, place), 1, max(len(known) - 1, 1))
    gap = known[np.minimum(after, len(known) - 1)] - known[after - 1]
    return np.where(np.isnan(values) & (gap > BRIDGED), np.nan, np.interp(place, known, values[known]))


def site_intensity(carbon: Carbon, base: Path) -> IntensityFile | None:
    """The intensity file that a site names, its path counted from `base`; None if it names none.

    Raises OSError if it cannot be read and ValueError if it is malformed.
    """
    if carbon.intensity_file is None:
        return None
    return read_intensity(base / carbon.intensity_file, source=carbon.intensity_source)


def read_intensity(path: Path, *, source: str = NESO, issued_at: datetime | None = None) -> IntensityFile:
    """Read a CSV of half-hours: `from_utc`, `forecast_gco2_per_kwh`, `actual_gco2_per_kwh`; blank = unknown.

    The first row of a half-hour wins, as in the source's own overlapping answers the later one is a repetition.
    Raises ValueError naming line and cure for a time without zone, off the half-hour, or a value that is no number.
    """
    rows: dict[int, tuple[float, float]] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            line = len(rows) + 2
            try:
                when = datetime.fromisoformat(row["from_utc"])
                pair = tuple(float(row[name] or "nan") for name in ("actual_gco2_per_kwh", "forecast_gco2_per_kwh"))
            except KeyError as err:
                raise ValueError(f"{path.name}: no column {err}; the first line must name it") from None
            except (TypeError, ValueError) as err:
                raise ValueError(f"{path.name}, line {line}: {err}; write a UTC time and grams per kWh") from None
            if when.tzinfo is None or epoch_s(when) % HALF_HOUR_S:
                raise ValueError(
                    f"{path.name}, line {line}: {row['from_utc']}; write half-hours such as 2023-01-01T00:30Z"
                )
            rows.setdefault(epoch_s(when), (pair[0], pair[1]))
    if not rows:
        raise ValueError(f"{path.name}: no half-hours; write at least one line below the header")
    first, last = min(rows), max(rows)
    table = np.full(((last - first) // HALF_HOUR_S + 1, 2), np.nan)
    for when_s, values in rows.items():
        table[(when_s - first) // HALF_HOUR_S] = values
    basis = replace(Basis(), source=source)
    return IntensityFile(first, table[:, 0], table[:, 1], basis, issued_at=issued_at)
