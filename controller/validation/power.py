"""Power: jumps when machines start, so only what a machine cannot draw is strange."""

from collections import deque
from datetime import datetime
from statistics import median

from controller.validation.expected import Expected
from controller.validation.sensor import BELIEVED, Sensor
from controller.validation.units import THOUSANDFOLD
from drivers.base import Flags

RECENT = 15
FEWEST = 3
WITHIN = 5.0  # times the usual power


class Power(Sensor):
    """Judges power by its range, and tells watts for kilowatts."""

    __slots__ = ("_recent",)

    def __init__(self, expected: Expected) -> None:
        super().__init__(expected)
        self.moves = True
        self._recent: deque[float] = deque(maxlen=RECENT)

    def calm(self, value: float, time: datetime) -> None:  # noqa: ARG002  other kinds look at it
        self._recent.append(abs(value))

    def weigh(self, value: float, time: datetime) -> tuple[Flags, bool]:
        self.calm(value, time)
        return BELIEVED, True

    def weigh_outside(self, value: float, time: datetime) -> Flags:  # noqa: ARG002  other kinds look at it
        if len(self._recent) < FEWEST:
            return BELIEVED
        usual, right = median(self._recent), abs(THOUSANDFOLD.back(value))
        return Flags.UNIT_JUMP if usual / WITHIN <= right <= usual * WITHIN and right > 0 else BELIEVED
