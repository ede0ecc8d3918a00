"""The electricity outside, now and in the hours to come, in words."""

from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from controller.history import STEP
from controller.naming import Names
from controller.service import Service
from controller.web.view import Grid

DAY_STEPS = int(timedelta(days=1) / STEP)
LOW_SHARE, HIGH_SHARE = 1 / 3, 2 / 3  # of the range of the next day

Values = NDArray[np.float64]


class Outside:
    """Price and intensity now and for the next day; worked out once in a quarter hour."""

    def __init__(self, service: Service, names: Names) -> None:
        self._service, self._names = service, names
        self._kept: tuple[datetime, Grid] | None = None

    def grid(self, now: datetime) -> Grid:
        """The electricity outside at `now`."""
        start = now - timedelta(seconds=now.timestamp() % STEP.total_seconds())
        if self._kept is None or self._kept[0] != start:
            self._kept = start, self._look(start)
        return self._kept[1]

    def _look(self, start: datetime) -> Grid:
        gatherer = self._service.gatherer
        price = gatherer.prices.electricity(start, STEP, DAY_STEPS)
        carbon = gatherer.outlook.intensity_g_per_kwh(start, STEP, DAY_STEPS)
        if carbon.source == "none":
            return Grid(price=float(price[0]), intensity_g_per_kwh=None, word="not known", source="none", text="")
        words = bands(carbon.values)
        text = self._until(words, start)
        return Grid(
            price=float(price[0]),
            intensity_g_per_kwh=float(carbon.values[0]),
            word=words[0],
            source=carbon.source,
            text=text,
        )

    def _until(self, words: list[str], start: datetime) -> str:
        change = next((n for n, word in enumerate(words) if word != words[0]), None)
        if change is None:
            return "much the same all day"
        text = f"until {self._names.clock(start + change * STEP)}, then {words[change]}"
        low = next((n for n, word in enumerate(words) if word == "low"), None)
        if words[0] != "low" and low is not None and low != change:
            text += f", low from {self._names.clock(start + low * STEP)}"
        return text


def bands(values: Values) -> list[str]:
    """Low, medium or high, each step against the range of all of them; all medium if they hardly differ."""
    low, high = float(np.min(values)), float(np.max(values))
    if high - low < 0.1 * max(high, 1e-9):
        return ["medium"] * len(values)
    share = (values - low) / (high - low)
    return ["low" if s <= LOW_SHARE else "high" if s >= HIGH_SHARE else "medium" for s in share.tolist()]
