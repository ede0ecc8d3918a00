"""Meter registers: one that runs backwards has rolled over, was reset, was exchanged, or has told nonsense once."""

from datetime import datetime, timedelta
from itertools import count

from controller.validation.expected import Expected
from controller.validation.sensor import BELIEVED, LONG_AGO, Sensor
from controller.validation.spikes import Doubts
from controller.validation.units import Jump, ratio_jump
from drivers.base import Flags

HOUR = timedelta(hours=1)
SPAN = timedelta(minutes=30)  # a coarse register rises by a whole count in a moment: speed is judged over this
ROLLS_FROM = 0.9  # of a full scale that the site file states
GUESSED_FROM = 0.999  # of the next power of ten, where it states none
FEWEST_SPANS = 24  # until the usual speed is known
SPEED_MARGIN = 100.0  # a boiler's meter in summer and in winter
JITTER = 1e-4  # of the register: rounding, not another meter
RATIO_MARGIN = 0.01
LEAST_COMPARED = 100.0  # with less than that a factor of 1000 may be chance
NEVER = float("inf")


class Register(Sensor):
    """Judges a register by how far it may have risen since it was last believed.

    An impossible value is doubted until a second one goes on from it; then the register has another beginning.
    """

    __slots__ = ("_doubts", "_fastest_per_h", "_good_at", "_jump", "_mark", "_right", "_spans")

    def __init__(self, expected: Expected) -> None:
        super().__init__(expected)
        self.moves = True
        self._good_at = LONG_AGO  # of the last believed reading, while there are doubts
        self._doubts = Doubts()
        self._jump: Jump | None = None  # the other unit in which values come now
        self._right = 0.0  # the last value of those, in the right unit
        self._mark: tuple[datetime, float] | None = None  # where the span began over which the speed is judged
        self._spans, self._fastest_per_h = 0, 0.0
        self._shut()

    def calm(self, value: float, time: datetime) -> None:
        if self._mark is None:
            self._mark = time, value
        elif time - self._mark[0] >= SPAN:
            speed = (value - self._mark[1]) / ((time - self._mark[0]) / HOUR)
            self._spans, self._fastest_per_h = self._spans + 1, max(self._fastest_per_h, speed)
            self._mark = time, value
        while_unknown = max(value, LEAST_COMPARED)
        self.calm_low = value
        self.calm_high = min(self.expected.high, value + min(self._allowed(SPAN), while_unknown))

    def weigh(self, value: float, time: datetime) -> tuple[Flags, bool]:
        before = self.value
        found = None if before is None else self._strange(value, before, time)
        if before is None or found is None:
            return self._believe(value, time)
        if found in (Flags.ROLLED_OVER, Flags.REPLACED):
            return self._begin_anew(value, time, found)
        if found is not Flags.UNIT_JUMP:
            first = self._doubts.confirms(-NEVER, value)
            if first is not None and value - first <= max(self._allowed(SPAN), 2 * abs(first - before)):
                return self._begin_anew(value, time, self._what_happened(first, before, time))
            self._doubt(value)
        return found, False

    def _doubt(self, value: float) -> None:
        if not self._doubts:
            self._good_at = self.time
        self._doubts.add(value)
        self._shut()

    def weigh_outside(self, value: float, time: datetime) -> Flags:  # noqa: ARG002  other kinds look at it
        return Flags.UNIT_JUMP if self.value and ratio_jump(value, self.value, margin=RATIO_MARGIN) else BELIEVED

    def _strange(self, value: float, before: float, time: datetime) -> Flags | None:
        """What is strange about the rise to a value; None = nothing."""
        if self._jump is not None:
            right = self._jump.back(value)
            if 0 <= right - self._right <= max(self._allowed(SPAN), RATIO_MARGIN * self._right):
                self._right = right
                return Flags.UNIT_JUMP
            self._jump = None
        rise, allowed = value - before, self._allowed(self._elapsed(time))
        jump = ratio_jump(value, before, margin=RATIO_MARGIN) if min(before, value) >= LEAST_COMPARED else None
        if 0 <= rise <= allowed and (jump is None or allowed < NEVER):
            return None
        meter = self.expected.meter
        if meter is not None and any(self.time < exchange.time <= time for exchange in meter.exchanges):
            return Flags.REPLACED
        if jump is not None:
            self._jump, self._right = jump, jump.back(value)
            self._shut()
            return Flags.UNIT_JUMP
        if rise > 0:
            return Flags.SPIKE
        return Flags.ROLLED_OVER if self._rolled(value, before, time) else Flags.BACKWARDS

    def _rolled(self, value: float, before: float, time: datetime) -> bool:
        digits = None if self.expected.meter is None else self.expected.meter.digits
        scale = 10.0 ** (next(n for n in count() if 10.0**n > before) if digits is None else digits)
        if before < scale * (GUESSED_FROM if digits is None else ROLLS_FROM):
            return False
        return scale - before + value <= min(self._allowed(self._elapsed(time)), (1.0 - ROLLS_FROM) * scale)

    def _what_happened(self, first: float, before: float, time: datetime) -> Flags:
        """Why a register goes on from another value than it had."""
        if 0 < before - first <= JITTER * before:
            return Flags.BACKWARDS
        nearly_nought = min(self._allowed(self._elapsed(time)), 0.01 * before)
        return Flags.RESET if first <= nearly_nought else Flags.REPLACED

    def _begin_anew(self, value: float, time: datetime, why: Flags) -> tuple[Flags, bool]:
        self._mark = None  # the difference to the old register is no rise
        self._believe(value, time)
        return why, True

    def _believe(self, value: float, time: datetime) -> tuple[Flags, bool]:
        self._doubts.clear()
        self.calm(value, time)
        return BELIEVED, True

    def _elapsed(self, time: datetime) -> timedelta:
        """Time since the last believed reading, at least the span that speed is judged over."""
        return max(time - (self._good_at if self._doubts else self.time), SPAN)

    def _allowed(self, elapsed: timedelta) -> float:
        """How far the register may rise in a time; infinite while nothing is known."""
        per_h = self.expected.rise_per_h
        if per_h is None:
            per_h = SPEED_MARGIN * self._fastest_per_h if self._spans >= FEWEST_SPANS else NEVER
        return per_h * (elapsed / HOUR)

    def _shut(self) -> None:
        self.calm_low, self.calm_high = NEVER, -NEVER
