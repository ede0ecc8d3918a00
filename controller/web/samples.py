"""What a point's past is made of: arrays, because there are many."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Values of one point as arrays of equal length, in time order. A row is a reading, or stands for several."""

    time_s: Floats  # seconds since 1970; of several readings the middle
    low: Floats
    mean: Floats  # NaN where the quality is bad
    high: Floats
    count: NDArray[np.int64]  # readings in the row
    quality: NDArray[np.int8]  # 0 good, 1 suspect, 2 stale, 3 bad
    flags: NDArray[np.int32]  # `drivers.base.Flags`, the reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """What the store holds of one point in [start, end), and a little before, so that a value reaches in."""

    point: str
    name: str
    unit: str
    role: str
    device: str
    start: datetime
    end: datetime
    samples: Samples
    lasts: timedelta  # a value stands so long; a longer silence is a gap
    held: bool  # the value stays until the next one, as a setpoint does; else it moves steadily
    counter: bool  # a register: what matters is its rise
    beside: "HistoryView | None" = None  # of the same unit, to be compared: a temperature with its setpoint
