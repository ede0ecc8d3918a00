"""Slow quantities, such as temperatures and CO2: spikes, other units, and sensors that have stuck."""

from collections import deque
from datetime import datetime, timedelta

from controller.validation.expected import Expected
from controller.validation.sensor import BELIEVED, Sensor
from controller.validation.spikes import Doubts, is_spike
from controller.validation.units import Jump, degree_jump, lasts, ratio_jump
from drivers.base import Flags

RECENT = 15  # values from which the usual deviation is taken
FEWEST = 3  # of them to know anything
STEP_WITHIN = timedelta(minutes=5)  # over a longer time a larger step is nothing strange
FORGETS = timedelta(hours=1)  # after such a silence nothing recent is known
LEAST_CHANGES = 5  # until the resolution is known
NEVER = float("inf")


class Steady(Sensor):
    """Judges a quantity that changes in small steps, and learns its resolution."""

    __slots__ = ("_changes", "_doubts", "_jump", "_recent", "_resolution", "_right", "changed_at", "stuck")

    def __init__(self, expected: Expected) -> None:
        super().__init__(expected)
        self.moves = True
        self.stuck = False  # set by who compares it with its neighbours, cleared when it moves
        self.changed_at: datetime | None = None  # when the value was last another one
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._doubts = Doubts()
        self._jump: Jump | None = None  # the other unit in which values come now
        self._right = 0.0  # the last value of those, in the right unit
        self._resolution, self._changes = NEVER, 0
        self._shut()  # until something is known

    @property
    def resolution(self) -> float | None:
        """The smallest step ever seen; None until it has moved a few times."""
        return self._resolution if self._changes >= LEAST_CHANGES else None

    def stick(self) -> None:
        """Believe nothing until the value moves again."""
        self.stuck = True
        self._shut()

    def calm(self, value: float, time: datetime) -> None:
        before = self.value
        if before is not None:
            change = abs(value - before)
            if 1e-6 < change < self._resolution:
                self._resolution = change
            self._changes += 1
        self.changed_at = time
        self._recent.append(value)
        self._open(value)

    def weigh(self, value: float, time: datetime) -> tuple[Flags, bool]:
        if self.stuck and value == self.value:
            return Flags.STUCK, False
        if self._still_in_another_unit(value, time):
            return Flags.UNIT_JUMP, False
        if self.value is None or time - self.time > FORGETS:
            self._forget()
        elif self._is_spike(value, time):
            if self._now_in_another_unit(value):
                return Flags.UNIT_JUMP, False
            step = self.expected.step
            if self._doubts.confirms(value - step, value + step) is None:
                self._doubts.add(value)
                self._shut()
                return Flags.SPIKE, False
            self._forget()
        self._believe(value, time)
        return BELIEVED, True

    def weigh_outside(self, value: float, time: datetime) -> Flags:
        jumped = self._still_in_another_unit(value, time) or self._now_in_another_unit(value)
        return Flags.UNIT_JUMP if jumped else BELIEVED

    def _believe(self, value: float, time: datetime) -> None:
        if value != self.value:
            self.stuck = False
            self.calm(value, time)
        self._doubts.add(None)
        if self._doubts:  # a later reading may still agree with the one that was doubted
            self._shut()
        else:
            self._open(value)

    def _open(self, value: float) -> None:
        """Let the gate take what is near this value."""
        expected = self.expected
        self.calm_low = max(expected.low, value - expected.step)
        self.calm_high = min(expected.high, value + expected.step)

    def _shut(self) -> None:
        """Look at every reading."""
        self.calm_low, self.calm_high = NEVER, -NEVER

    def _is_spike(self, value: float, time: datetime) -> bool:
        if self.value is None or not self._recent:
            return False
        return is_spike(value, self._recent, last=self.value, step=self._step(time))

    def _step(self, time: datetime) -> float:
        """The largest change since the last reading that is nothing strange."""
        return self.expected.step * max(1.0, (time - self.time) / STEP_WITHIN)

    def _still_in_another_unit(self, value: float, time: datetime) -> bool:
        jump = self._jump
        if jump is None:
            return False
        if lasts(jump, value, self._right, step=self._step(time)):
            self._right = jump.back(value)
            return True
        self._forget()
        return False

    def _now_in_another_unit(self, value: float) -> bool:
        if len(self._recent) < FEWEST or self.value is None:
            return False
        jump = ratio_jump(value, self.value)
        if jump is None and self.value >= self.expected.degf_from:
            jump = degree_jump(value, self.value)
        if jump is None:
            return False
        self._jump, self._right = jump, jump.back(value)
        self._shut()
        return True

    def _forget(self) -> None:
        """Begin anew: what was usual before tells nothing about what is now."""
        self._jump = None
        self._recent.clear()
        self._doubts.clear()
