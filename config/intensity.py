"""What a carbon intensity is: never a bare number, and never a false zero.

Plausibility rule, tried on the whole GB year 2023, where it rejects exactly the six wrong values: an actual of 0, or
one that differs from its forecast by more than 100 g and from both neighbours by more than 60 g, is not believed. The
forecast of that half-hour takes its place and is marked as substituted; so it does where the actual is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FROM_FORECAST_G, FROM_NEIGHBOUR_G = 100.0, 60.0
NESO = "Carbon Intensity API, National Energy System Operator (NESO)"

Floats = NDArray[np.float64]


class Gas(StrEnum):
    CO2 = "CO2"
    CO2E = "CO2e"


class Boundary(StrEnum):
    """What an intensity counts; values of different boundaries are never mixed."""

    GENERATION = "generation"
    GENERATION_AND_LOSSES = "generation, imports and losses"  # NESO's national figure
    LIFECYCLE = "lifecycle"


class Kind(StrEnum):
    ACTUAL = "actual"
    FORECAST = "forecast"
    ESTIMATED = "estimated"  # the day's mean, where there is nothing else
    SUBSTITUTED = "substituted"  # the forecast in place of an actual that is missing or not believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What the numbers of a series mean; two series of different basis cannot be joined."""

    gas: Gas = Gas.CO2
    boundary: Boundary = Boundary.GENERATION_AND_LOSSES
    source: str = NESO

    def __str__(self) -> str:
        return f"half-hourly grid intensity, {self.gas}, {self.boundary}; {self.source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """One half-hour's carbon intensity."""

    start: datetime  # UTC
    g_per_kwh: float
    kind: Kind
    basis: Basis
    issued_at: datetime | None  # None = not stated by the source


def plausible(actual: Sequence[float] | Floats, forecast: Sequence[float] | Floats) -> NDArray[np.bool_]:
    """Which actuals to believe, by the rule of this module; NaN = missing, and never believed."""
    actual, forecast = np.asarray(actual, dtype=float), np.asarray(forecast, dtype=float)
    # A neighbour that is itself missing or a false zero says nothing, so it cannot save or condemn a value.
    said = np.where(actual > 0, actual, np.nan)
    before, after = np.concatenate(([np.nan], said[:-1])), np.concatenate((said[1:], [np.nan]))
    off_forecast = np.abs(actual - forecast) > FROM_FORECAST_G
    near = (np.abs(actual - before) <= FROM_NEIGHBOUR_G) | (np.abs(actual - after) <= FROM_NEIGHBOUR_G)
    return (actual > 0) & ~(off_forecast & ~near)
