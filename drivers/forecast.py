"""What a driver knows of the future of its points, and whose word that is."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from config.intensity import Basis, Kind

FRESH = timedelta(hours=6)  # a forecast whose source has not stood by it for longer is old


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who says it and on which terms; travels with every forecast so that pages and reports can name it."""

    source: str  # short, for people: "Carbon Intensity API, NESO"
    licence: str  # such as "CC BY 4.0"
    attribution: str  # the line that the licence wants beside the data
    basis: Basis | None = None  # what a carbon intensity counts; None = it is none


@dataclass(frozen=True, slots=True, kw_only=True)
class PointForecast:
    """Expected means of one point over [start + n step, start + (n + 1) step), in the point's unit."""

    point: str
    start: datetime  # UTC
    step: timedelta
    values: tuple[float | None, ...]  # corrected where that has proven to help; None = not said
    kinds: tuple[Kind, ...]
    errors: tuple[float, ...] | None  # mean absolute error of each step, as measured by lead; None = not known yet
    issued_at: datetime  # when it was first said
    checked_at: datetime  # when the source last stood by it
    origin: Origin

    @property
    def end(self) -> datetime:
        """End of the last interval that something is said of; `start` if there is none."""
        known = [n for n, value in enumerate(self.values) if value is not None]
        return self.start + (known[-1] + 1 if known else 0) * self.step
