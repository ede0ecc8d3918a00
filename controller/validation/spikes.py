"""Spikes of slow quantities: a step beyond six times the rolling deviation is believed when a second reading agrees."""

from collections import deque
from collections.abc import Sequence
from statistics import median

DEVIATIONS = 6.0  # of the median absolute deviation


def is_spike(value: float, recent: Sequence[float], *, last: float, step: float) -> bool:
    """Whether a value is too far from the last one and from what the recent ones leave open."""
    if abs(value - last) <= step:
        return False
    centre = median(recent)
    spread = median(abs(each - centre) for each in recent)
    return abs(value - centre) > DEVIATIONS * spread


class Doubts:
    """The last readings that were not believed: two of three that agree are true after all."""

    __slots__ = ("_lately",)

    def __init__(self) -> None:
        self._lately: deque[float | None] = deque(maxlen=2)  # None = was believed

    def __bool__(self) -> bool:
        return any(value is not None for value in self._lately)

    def confirms(self, low: float, high: float) -> float | None:
        """The doubted value of the last two that lies in [low, high]; None if there is none."""
        return next((value for value in self._lately if value is not None and low <= value <= high), None)

    def add(self, value: float | None) -> None:
        """Note a reading; None = it was believed."""
        self._lately.append(value)

    def clear(self) -> None:
        self._lately.clear()
